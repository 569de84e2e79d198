"""A verified access token, and the checks of its claims (RFC 9068 §4, RFC 7519 §4.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from resource_server.errors import InsufficientScope, InvalidToken
from resource_server.settings import Settings

_MAX_ID = 255
_MAX_AUDIENCES = 16
_MAX_INSTANT = 2**40
_MAX_ROLES = 1000


@dataclass(frozen=True, slots=True)
class Token:
    """Who calls, for whom, and what they may do; instants are whole seconds UTC.

    Attributes:
        jti: the token's own id.
        sub: the owner, on whose behalf the call is made.
        client_id: the application credential that makes the call.
        roles: what the call may do.
        role_version: which state of the owner's roles it was issued from.
        issued_at: ``iat``.
        expires_at: ``exp``; over from that second on.
        kid: the key that signed it.
        secret_id: which secret of the credential obtained it, or "" where the token does not say.
        epoch: the server's epoch at issue, or "".
        jkt: the thumbprint of the key that it is bound to (RFC 9449 §6.1); "" for none.
        x5t: the thumbprint of the TLS certificate that it is bound to (RFC 8705 §3.1); "" for none.
        claims: all claims, read-only.
    """

    jti: str
    sub: str
    client_id: str
    roles: frozenset[str]
    role_version: int | None
    issued_at: int
    expires_at: int
    kid: str
    secret_id: str
    epoch: str
    claims: Mapping[str, Any]
    jkt: str = ""
    x5t: str = ""

    def require(self, *roles: str) -> None:
        """Refuse unless the token has all of these roles.

        Raises:
            InsufficientScope: one is missing.
        """
        if not self.roles.issuperset(roles):
            raise InsufficientScope(roles)


def token_of(claims: dict[str, Any], kid: str, settings: Settings) -> Token:
    """Read verified claims.

    Raises:
        InvalidToken: one is missing, of the wrong kind, or names another issuer or audience.
    """
    if claims.get("iss") != settings.issuer:
        raise InvalidToken("iss")
    _check_audience(claims.get("aud"), settings.audience)
    issued, expires = _instant(claims, "iat"), _instant(claims, "exp")
    if not issued < expires <= issued + settings.max_token_lifetime:
        raise InvalidToken("lifetime")
    if "nbf" in claims and _instant(claims, "nbf") > issued + settings.clock_skew:
        raise InvalidToken("nbf")
    act = claims.get("act", {})
    if not isinstance(act, dict):
        raise InvalidToken("act")
    version = claims.get("role_version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 0):
        raise InvalidToken("role_version")
    standing = claims.get("standing", {})
    if not isinstance(standing, dict):
        raise InvalidToken("standing")
    return Token(
        jti=_id(claims, "jti"),
        sub=_id(claims, "sub"),
        client_id=_id(claims, "client_id"),
        roles=_roles(claims),
        role_version=version,
        issued_at=issued,
        expires_at=expires,
        kid=kid,
        secret_id=str(standing.get("secret", "")),
        epoch=str(standing.get("epoch", "")),
        claims=MappingProxyType(claims),
        **_bound_to(claims),
    )


def check_time(token: Token, now: float, settings: Settings) -> None:
    """Check the life of a token against the time now, in seconds since the epoch.

    Raises:
        InvalidToken: it is over, or has not begun.
    """
    if now >= token.expires_at:
        raise InvalidToken("expired")
    if token.issued_at > now + settings.clock_skew:
        raise InvalidToken("issued_in_the_future")


_CONFIRMATIONS = {"jkt": "jkt", "x5t#S256": "x5t"}


def _bound_to(claims: dict[str, Any]) -> dict[str, str]:
    """What a token is bound to; one that is bound in a way that is not checked here is refused (RFC 7800 §3.1)."""
    if "cnf" not in claims:
        return {}
    confirmation = claims["cnf"]
    if not isinstance(confirmation, dict) or len(confirmation) != 1 or not confirmation.keys() <= _CONFIRMATIONS.keys():
        raise InvalidToken("cnf")
    return {_CONFIRMATIONS[name]: _id(confirmation, name) for name in confirmation}


def _check_audience(claim: object, audience: str) -> None:
    if claim == audience and isinstance(claim, str):
        return
    if not isinstance(claim, list) or not 0 < len(claim) <= _MAX_AUDIENCES:
        raise InvalidToken("aud")
    if all(isinstance(each, str) for each in claim) and audience in claim:
        return
    raise InvalidToken("aud")


def _instant(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_INSTANT:
        raise InvalidToken(name)
    return value


def _id(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID or not value.isprintable():
        raise InvalidToken(name)
    return value


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    """The claim ``roles``, else the words of ``scope``; never more than both say where both are there."""
    roles, scope = claims.get("roles"), claims.get("scope")
    if scope is not None and not isinstance(scope, str):
        raise InvalidToken("scope")
    if roles is None:
        return frozenset((scope or "").split())
    if not isinstance(roles, list) or len(roles) > _MAX_ROLES or not all(isinstance(each, str) for each in roles):
        raise InvalidToken("roles")
    return frozenset(roles) if scope is None else frozenset(roles) & frozenset(scope.split())
