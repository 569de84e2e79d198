"""MCP: protects a server made with the official Python SDK (``mcp`` on PyPI).

::

    server = MCPServer("things", token_verifier=BearerTokenVerifier(verifier, "reader"), auth=auth_settings(verifier))
    app = protect(server.streamable_http_app(), verifier)

The SDK serves the metadata of RFC 9728 and knows the caller (``get_access_token()``); ``protect`` answers refusals as
RFC 6750 says, and with 503 where the truth cannot be read, which the SDK would call an invalid token.
"""

from contextvars import ContextVar
from typing import Any

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings

from resource_server.errors import MissingToken, Refused
from resource_server.frameworks.asgi import App, Receive, Scope, Send, respond
from resource_server.http import bearer_token, refusal
from resource_server.verifier import AsyncVerifier

_REFUSED: ContextVar[list[Refused]] = ContextVar("resource_server_refused")
_UNAUTHORIZED = 401


class BearerTokenVerifier:
    """What the SDK asks about a token (its protocol ``TokenVerifier``).

    Args:
        verifier: decides.
        *roles: that every call needs.
    """

    def __init__(self, verifier: AsyncVerifier, *roles: str) -> None:
        self._verifier, self._roles = verifier, roles

    async def verify_token(self, token: str) -> AccessToken | None:
        """What a good token says; None for any other."""
        try:
            text = bearer_token([f"Bearer {token}"])
            found = await self._verifier.verify(text, roles=self._roles, method="POST", route="/mcp")
        except Refused as refused:
            _REFUSED.get([]).append(refused)
            return None
        return AccessToken(
            token=token,
            client_id=found.client_id,
            scopes=sorted(found.roles),
            expires_at=found.expires_at,
            resource=self._verifier.settings.resource or self._verifier.settings.audience,
            subject=found.sub,
            claims=dict(found.claims),
        )


def auth_settings(verifier: AsyncVerifier) -> AuthSettings:
    """The SDK's settings for a verifier.

    They name no roles: clients of the SDK would ask for exactly those that the metadata lists, which fails for an
    agent that was given fewer, and hides the others from one that was given more.
    """
    settings = verifier.settings
    # As texts: an AnyHttpUrl that was made elsewhere ends with a slash, and issuers are compared exactly.
    return AuthSettings.model_validate(
        {
            "issuer_url": settings.issuer,
            "resource_server_url": settings.resource or settings.audience,
            "validate_token_resource": True,
        }
    )


def protect(app: App, verifier: AsyncVerifier) -> App:
    """An application that answers in the words of RFC 6750 where the SDK refuses.

    Args:
        app: what ``streamable_http_app`` gave.
        verifier: the one of ``BearerTokenVerifier``.
    """

    async def protected(scope: Scope, receive: Receive, send: Send) -> None:
        refusals: list[Refused] = []
        _REFUSED.set(refusals)
        replaced = False

        async def sent(message: Any) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == _UNAUTHORIZED:
                replaced = True
                await respond(refusal(verifier.settings, refusals[0] if refusals else MissingToken()), send)
            elif not replaced:
                await send(message)

        await app(scope, receive, sent if scope["type"] == "http" else send)

    return protected
