"""The claims of a token: made at issue, and read back at introspection (RFC 9068 §2.2).

The private claim ``standing`` carries what the server must compare at every
introspection, so that no row is needed before a token is used: the id of the
secret that obtained it, the credential version and the epoch.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from authserver.rules.client_authentication.certificate import THUMBPRINT
from authserver.rules.facts import Instant, Reason, Token
from authserver.rules.names import MAX_AUDIENCE


class SessionStart(NamedTuple):
    """Everything fixed when a token is issued, in the order of its row; ``roles`` is the scope, space-separated."""

    jti: str
    client_id: str
    secret_id: str
    kid: str
    audience: str
    roles: str
    role_version: int
    credential_version: int
    epoch: int
    issued_at: Instant
    expires_at: Instant

    def as_token(self, last_used_at: Instant, ended: Reason | None) -> Token:
        """The token as the liveness rules need it; ``last_used_at`` is never before it was issued."""
        return Token(
            self.jti,
            self.issued_at,
            self.expires_at,
            max(self.issued_at, last_used_at),
            self.role_version,
            self.credential_version,
            self.epoch,
            ended,
        )


class Confirmation(NamedTuple):
    """What a token is bound to: a key (``jkt``, RFC 9449 §6.1) or a certificate (``x5t#S256``, RFC 8705 §3.1)."""

    method: str
    thumbprint: str


JKT = "jkt"
_METHODS = (JKT, THUMBPRINT)


def claims_of(
    start: SessionStart, *, issuer: str, owner_id: str, confirmation: Confirmation | None = None
) -> dict[str, Any]:
    """The claims to sign. ``act`` marks delegation: the client acts for the owner (RFC 8693 §4.1).

    ``confirmation`` is what the token is bound to (RFC 7800 §3.1); None: nothing, a bearer token.
    """
    claims = {
        "iss": issuer,
        "aud": start.audience,
        "sub": owner_id,
        "client_id": start.client_id,
        "act": {"sub": start.client_id},
        "scope": start.roles,
        "roles": start.roles.split(),
        "role_version": start.role_version,
        "iat": start.issued_at,
        "exp": start.expires_at,
        "jti": start.jti,
        "standing": {
            "secret": start.secret_id,
            "credential_version": start.credential_version,
            "epoch": start.epoch,
        },
    }
    if confirmation is not None:
        claims["cnf"] = {confirmation.method: confirmation.thumbprint}
    return claims


def confirmation_of(claims: Mapping[str, Any]) -> Confirmation | None:
    """What a token is bound to (RFC 7800 §3.1); None for a bearer token.

    Raises:
        TypeError: the claim is not as we make it.
    """
    members = claims.get("cnf")
    if members is None:
        return None
    if not isinstance(members, dict) or len(members) != 1:
        raise TypeError
    ((method, thumbprint),) = members.items()
    if method not in _METHODS:
        raise TypeError
    return Confirmation(method, _text(thumbprint, _MAX_ID))


def session_of(kid: str, claims: Mapping[str, Any], issuer: str) -> SessionStart | None:
    """Read verified claims back; None when the issuer is another or a member is not as we make it."""
    try:
        standing = claims["standing"]
        start = SessionStart(
            jti=_text(claims["jti"], _MAX_ID),
            client_id=_text(claims["client_id"], _MAX_ID),
            secret_id=_text(standing["secret"], _MAX_ID),
            kid=kid,
            audience=_text(claims["aud"], MAX_AUDIENCE),
            roles=_text(claims["scope"], _MAX_SCOPE),
            role_version=_number(claims["role_version"], _MAX_VERSION),
            credential_version=_number(standing["credential_version"], _MAX_VERSION),
            epoch=_number(standing["epoch"], _MAX_VERSION),
            issued_at=_number(claims["iat"], _MAX_INSTANT),
            expires_at=_number(claims["exp"], _MAX_INSTANT),
        )
        owner_id, confirmation = _text(claims["sub"], _MAX_ID), confirmation_of(claims)
        made = claims_of(start, issuer=issuer, owner_id=owner_id, confirmation=confirmation)
    except (KeyError, TypeError):
        return None
    return start if claims == made else None


def signed_session(kid: str, claims: Mapping[str, Any]) -> SessionStart:
    """Read the claims of a text that this server recorded as issued; nothing is checked."""
    standing = claims["standing"]
    return SessionStart(
        claims["jti"],
        claims["client_id"],
        standing["secret"],
        kid,
        claims["aud"],
        claims["scope"],
        claims["role_version"],
        standing["credential_version"],
        standing["epoch"],
        claims["iat"],
        claims["exp"],
    )


def is_id(value: object) -> bool:
    """Whether a value can be the id of a token, credential, secret or key: printable ASCII of 64 characters at most."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isascii() and value.isprintable()


# A value that this server never issues must not reach the database, which could not store it.
_MAX_ID = 64
_MAX_SCOPE = 4096
_MAX_VERSION = 2**31
_MAX_INSTANT = 2**40


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest or not (value.isascii() and value.isprintable()):
        raise TypeError
    return value


def _number(value: object, end: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
        raise TypeError
    return value
