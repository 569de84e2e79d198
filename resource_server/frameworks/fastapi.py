"""FastAPI: a dependency, shown in the OpenAPI document as bearer authentication.

::

    guard = Guard(verifier, app)

    @app.get("/things/{id}")
    async def thing(id: str, token: Annotated[Token, guard.require_roles("reader")]):
        return {"for": token.sub}
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from resource_server.frameworks.starlette import Guard as StarletteGuard
from resource_server.token import Token

# It only describes: FastAPI's own reading of the header would answer in other words than RFC 6750.
_SCHEME = HTTPBearer(auto_error=False, bearerFormat="JWT", description="Access token of the authorization server")


class Guard(StarletteGuard):
    """Guards endpoints with a verifier (see ``resource_server.frameworks.starlette.Guard``)."""

    def require_roles(self, *roles: str) -> Any:
        """A dependency that gives the verified token, and lets only calls with all of these roles in."""
        self._roles.update(roles)
        return Depends(self._dependency(roles))

    def _dependency(self, roles: tuple[str, ...]) -> Callable[..., Awaitable[Token]]:
        async def token(request: Request, _: Any = Security(_SCHEME)) -> Token:  # noqa: B008 - FastAPI's way
            return await self.check(request, *roles)

        return token
