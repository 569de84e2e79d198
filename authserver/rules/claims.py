"""What a token of ours says about itself: the claims we make, and the facts we read back (RFC 9068 §2.2).

The private claim ``standing`` carries what the server must compare at every
introspection, so that no row is needed before a token is used: the id of the
secret that obtained it, the credential version and the epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Everything fixed when a token is issued; ``roles`` is the scope, space-separated."""

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


def claims_of(start: SessionStart, *, issuer: str, owner_id: str) -> dict[str, Any]:
    """The claims to sign. ``act`` marks delegation: the client acts for the owner (RFC 8693 §4.1)."""
    return {
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


def session_of(kid: str, claims: Mapping[str, Any], issuer: str) -> SessionStart | None:
    """Read verified claims back; None when the issuer is another or a member is not as we make it."""
    try:
        standing = claims["standing"]
        start = SessionStart(
            jti=_text(claims["jti"]),
            client_id=_text(claims["client_id"]),
            secret_id=_text(standing["secret"]),
            kid=kid,
            audience=_text(claims["aud"]),
            roles=_text(claims["scope"]),
            role_version=_number(claims["role_version"]),
            credential_version=_number(standing["credential_version"]),
            epoch=_number(standing["epoch"]),
            issued_at=_number(claims["iat"]),
            expires_at=_number(claims["exp"]),
        )
        made = claims_of(start, issuer=issuer, owner_id=_text(claims["sub"]))
    except (KeyError, TypeError):
        return None
    return start if claims == made else None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value
