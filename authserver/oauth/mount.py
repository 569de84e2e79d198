"""Path -> door, as a bare WSGI callable in front of another one.

Whatever a door is asked, the answer is JSON and never a stack trace (INV-28).
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any

from authserver.oauth.request import MAX_BODY, Ask, Door, Malformed, Reply, refusal
from authserver.ports import Unavailable

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
_CONTENT = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


def routes(posts: Mapping[str, Door], gets: Mapping[str, Door]) -> dict[str, tuple[str, Door]]:
    """One table: lower-case path -> method and door."""
    return {path: ("POST", door) for path, door in posts.items()} | {path: ("GET", door) for path, door in gets.items()}


class Doors:
    """Serves the machine routes itself and hands every other path on."""

    def __init__(
        self,
        table: Mapping[str, tuple[str, Door]],
        behind: Wsgi,
        observe: Callable[[Ask, Reply, float], Reply] | None = None,
    ) -> None:
        self._table, self._behind, self._observe = table, behind, observe

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """WSGI (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        entry = self._table.get(path) or self._table.get(path.lower() if path.lower().endswith("/oauth/token") else "")
        if entry is None:
            return self._behind(environ, start_response)
        began = perf_counter()
        ask, reply = self._answer(environ, path, *entry)
        if self._observe is not None:
            reply = self._observe(ask, reply, began)
        body = b"" if ask.method == "HEAD" else reply.body
        headers = [("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body))), *reply.headers]
        headers.append(("X-Content-Type-Options", "nosniff"))
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
        return [body]

    def _answer(self, environ: dict[str, Any], path: str, method: str, door: Door) -> tuple[Ask, Reply]:
        headers = {
            **{key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")},
            **{name: environ[key] for key, name in _CONTENT.items() if environ.get(key)},
        }
        asked = environ["REQUEST_METHOD"]
        ask = Ask(asked, path, environ.get("QUERY_STRING", ""), headers, b"", environ.get("REMOTE_ADDR", ""))
        if asked != method and not (method == "GET" and asked == "HEAD"):
            allowed = "GET, HEAD" if method == "GET" else method
            return ask, refusal("invalid_request", f"Use {method}.", 405, (("Allow", allowed),))
        try:
            if method == "POST":
                ask = Ask(asked, path, ask.query, headers, _body(environ), ask.peer)
            return ask, door(ask)
        except Malformed as error:
            return ask, refusal("invalid_request", str(error), error.status)
        except Unavailable as error:
            later = (("Retry-After", "2"),)
            text = "The server cannot tell now; try again shortly."
            return ask, refusal("temporarily_unavailable", text, 503, later, str(error))


def _body(environ: dict[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if length and (not length.isdigit() or int(length) > MAX_BODY):
        msg = "The request body may have 64 kB at most."
        raise Malformed(msg, 413)
    stream = environ["wsgi.input"]
    body: bytes = stream.read(int(length)) if length else stream.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        msg = "The request body may have 64 kB at most."
        raise Malformed(msg, 413)
    return body
