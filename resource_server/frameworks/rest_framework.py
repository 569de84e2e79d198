"""Django REST framework: an authentication class and a permission.

::

    class Things(APIView):
        authentication_classes = [BearerAuthentication]
        permission_classes = [HasRoles("reader")]

``request.user`` is a ``Caller``; ``request.auth`` the verified token.
"""

from dataclasses import dataclass
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from resource_server.errors import InsufficientScope, MissingToken, Refused, Unavailable
from resource_server.frameworks.django import check, configured_verifier
from resource_server.http import challenge
from resource_server.token import Token


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, without an account in this Django."""

    token: Token
    is_authenticated: bool = True
    is_anonymous: bool = False
    is_active: bool = True

    @property
    def pk(self) -> str:
        """The owner's id at the authorization server."""
        return self.token.sub

    def __str__(self) -> str:
        return self.token.sub


class BearerAuthentication(BaseAuthentication):  # type: ignore[misc] # DRF ships no types
    """Authenticates by the bearer token."""

    def authenticate(self, request: Request) -> tuple[Caller, Token] | None:
        """The caller and the token; None without a token, which a permission then refuses."""
        try:
            token = check(request._request)  # noqa: SLF001 - Django's own request, which DRF wraps
        except MissingToken:
            return None
        except Refused as refused:
            raise _api_exception(refused) from refused
        return Caller(token), token

    def authenticate_header(self, _: Request) -> str:
        """The challenge of a 401 (RFC 6750 §3)."""
        return challenge(configured_verifier().settings, MissingToken())


def HasRoles(*roles: str) -> type[BasePermission]:  # noqa: N802 - it stands where a class stands
    """A permission that needs a good token with all of these roles."""

    class _HasRoles(BasePermission):  # type: ignore[misc] # DRF ships no types
        def has_permission(self, request: Request, _: Any) -> bool:
            if not isinstance(request.auth, Token):
                return False
            try:
                request.auth.require(*roles)
            except InsufficientScope as refused:
                raise _api_exception(refused) from refused
            return True

    return _HasRoles


def _api_exception(refused: Refused) -> APIException:
    """The exception by which DRF answers so."""
    # Not AuthenticationFailed: DRF would put the plain challenge, without the error, in place of ours.
    error = APIException({"error": refused.error, "error_description": refused.description})
    error.status_code = refused.status
    if isinstance(refused, Unavailable):
        error.wait = refused.retry_after  # DRF sends it as Retry-After
    else:
        error.auth_header = challenge(configured_verifier().settings, refused)  # and this as WWW-Authenticate
    return error
