"""The limit: read the body, answer a constant."""

from collections.abc import Callable, Iterable
from typing import Any

_BODY = b'{"active":true}'
_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(_BODY)))]


def wsgi() -> Callable[..., Iterable[bytes]]:
    """Make the WSGI callable."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", _HEADERS)
        return [_BODY]

    return app
