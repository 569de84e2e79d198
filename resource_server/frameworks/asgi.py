"""Any ASGI application behind a verifier; HTTP and WebSocket."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from resource_server.certificate import certificate_of_call
from resource_server.dpop import Proof
from resource_server.errors import Refused
from resource_server.frameworks.wsgi import TOKEN, is_public
from resource_server.http import (
    Response,
    metadata,
    metadata_path,
    metadata_response,
    metadata_url,
    refusal,
    token_and_proof,
)
from resource_server.settings import Settings
from resource_server.verifier import AsyncVerifier

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_POLICY_VIOLATION = 1008


class BearerMiddleware:
    """Lets only good tokens through to an application, and serves the metadata of RFC 9728.

    The verified ``Token`` is in the scope, under ``resource_server.token``.

    Args:
        app: the application.
        verifier: decides.
        roles: what every call needs.
        public: paths that need no token; one that ends with a slash stands for all below it.
    """

    def __init__(
        self, app: App, verifier: AsyncVerifier, *, roles: Iterable[str] = (), public: Iterable[str] = ()
    ) -> None:
        self._app, self._verifier, self._roles = app, verifier, tuple(roles)
        self._public = tuple(public)
        settings = verifier.settings
        self._metadata_path = metadata_path(settings) if metadata_url(settings) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a WebSocket or the lifespan."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        settings = self._verifier.settings
        path, method = scope["path"], scope.get("method", "GET")
        scope.pop(TOKEN, None)
        if path == self._metadata_path and method in {"GET", "HEAD"} and scope["type"] == "http":
            await respond(metadata_response(metadata(settings, self._roles)), send)
            return
        if not is_public(path, self._public):
            try:
                text, proof = token_of_scope(settings, scope)
                scope[TOKEN] = await self._verifier.verify(
                    text, roles=self._roles, method=method, proof=proof, certificate=certificate_of(settings, scope)
                )
            except Refused as refused:
                if scope["type"] == "websocket":
                    await receive()  # websocket.connect
                    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                else:
                    await respond(refusal(settings, refused), send)
                return
        await self._app(scope, receive, send)


def token_of_scope(settings: Settings, scope: Scope) -> tuple[str, Proof | None]:
    """The token of a request and its proof; raises as ``token_and_proof``."""
    return token_and_proof(
        settings,
        _values(scope, b"authorization"),
        scope.get("query_string", b"").decode("latin-1"),
        proofs=_values(scope, b"dpop"),
        method=scope.get("method", "GET"),
        path=scope["path"],
        url="".join([scope.get("scheme", "http"), "://", *_values(scope, b"host"), scope["path"]]),
    )


def certificate_of(settings: Settings, scope: Scope) -> str:
    """The TLS certificate of a call, from the header that the settings name, else from the server itself.

    Servers tell it by the ASGI extension ``tls``, whose chain begins with the one of the client.
    """
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or [""]
    return certificate_of_call(settings, _values(scope, settings.client_certificate_header.lower().encode()), chain[0])


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted]


async def respond(response: Response, send: Send) -> None:
    """Send an answer."""
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
