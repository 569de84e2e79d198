"""Starlette: checks requests in endpoints, answers refusals, serves the metadata.

::

    guard = Guard(verifier, app)

    async def thing(request):
        token = await guard.check(request, "reader")
        return JSONResponse({"for": token.sub})
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response as StarletteResponse

from resource_server.errors import Refused
from resource_server.frameworks.asgi import certificate_of, token_of_scope
from resource_server.http import Response, metadata, metadata_path, metadata_response, metadata_url, refusal
from resource_server.token import Token
from resource_server.verifier import AsyncVerifier


class Guard:
    """Guards endpoints with a verifier.

    Args:
        verifier: decides.
        app: serves the metadata and answers refusals; or call ``init_app`` later.
        **members: further members of the metadata, such as ``resource_name``.
    """

    def __init__(self, verifier: AsyncVerifier, app: Starlette | None = None, **members: Any) -> None:
        self.verifier, self._members = verifier, members
        self._roles: set[str] = set()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Starlette) -> None:
        """Serve the metadata (RFC 9728) and answer refusals as RFC 6750 says."""
        app.add_exception_handler(Refused, self._refused)
        if metadata_url(self.verifier.settings):
            app.router.add_route(metadata_path(self.verifier.settings), self._metadata, methods=["GET"])

    async def check(self, request: HTTPConnection, *roles: str) -> Token:
        """Check a request; the token is in ``request.state.token`` too.

        Raises:
            Refused: which the application answers by itself after ``init_app``.
        """
        self._roles.update(roles)  # the metadata names all of them as scopes_supported
        route = getattr(request.scope.get("route"), "path", "")
        method = request.scope.get("method", "GET")
        text, proof = token_of_scope(self.verifier.settings, request.scope)
        certificate = certificate_of(self.verifier.settings, request.scope)
        token = await self.verifier.verify(
            text, roles=roles, method=method, route=route, proof=proof, certificate=certificate
        )
        request.state.token = token
        return token

    async def _refused(self, _: Request, refused: Exception) -> StarletteResponse:
        if not isinstance(refused, Refused):
            raise refused
        return _starlette(refusal(self.verifier.settings, refused))

    async def _metadata(self, _: Request) -> StarletteResponse:
        return _starlette(metadata_response(metadata(self.verifier.settings, self._roles, **self._members)))


def _starlette(response: Response) -> StarletteResponse:
    return StarletteResponse(response.body, response.status, dict(response.headers))
