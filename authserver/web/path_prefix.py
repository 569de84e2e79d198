"""Serves pages below the path of the issuer (``https://company.example/auth``), as bare WSGI in front of Flask."""

from collections.abc import Callable, Iterable
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def below(prefix: str, app: Wsgi) -> Wsgi:
    """Tell the application that it is mounted at ``prefix`` (PEP 3333, ``SCRIPT_NAME``).

    A proxy may pass the path on whole, or without the prefix: either way every link, redirect and cookie has it.

    Args:
        prefix: the path of the issuer, without a slash at its end; empty where it has none.
        app: the application.
    """
    if not prefix:
        return app

    def mounted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == prefix or path.startswith(f"{prefix}/"):
            path = path[len(prefix) :]
        return app({**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path or "/"}, start_response)

    return mounted
