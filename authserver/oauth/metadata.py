"""Discovery documents (RFC 8414) and the JWKS (RFC 7517)."""

import hashlib
from collections.abc import Callable, Sequence

from authserver.oauth.request import Ask, Reply, json_reply
from keys.keyring import KeyInfo, jwks

JWKS_MAX_AGE = 300
_SECRET_METHODS = ["client_secret_basic", "client_secret_post"]


def document(issuer: str, algorithms: Sequence[str], *, openid: bool = False) -> dict[str, object]:
    """RFC 8414 §2. ``response_types_supported`` is left out: it may not be empty, and there are none."""
    told: dict[str, object] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": _SECRET_METHODS,
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": _SECRET_METHODS,
        "introspection_signing_alg_values_supported": list(algorithms),
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": _SECRET_METHODS,
    }
    if openid:
        told["id_token_signing_alg_values_supported"] = list(algorithms)
        told["subject_types_supported"] = ["public"]
    return told


def metadata_door(issuer: str, algorithms: Sequence[str], *, openid: bool) -> Callable[[Ask], Reply]:
    """Make the door of one of the two well-known places."""
    reply = json_reply(document(issuer, algorithms, openid=openid), 200, (("Cache-Control", "public, max-age=300"),))
    return lambda _ask: reply


def jwks_door(ring: Callable[[], Sequence[KeyInfo]]) -> Callable[[Ask], Reply]:
    """Make the door of the JWKS; it reads the ring each time, so a withdrawn key is gone at once."""

    def door(ask: Ask) -> Reply:
        body = jwks(ring())
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = (
            ("Cache-Control", f"public, max-age={JWKS_MAX_AGE}"),
            ("ETag", tag),
            ("Access-Control-Allow-Origin", "*"),
        )
        if tag in ask.headers.get("if-none-match", ""):
            return Reply(304, b"", headers=headers)
        return Reply(200, body, "application/jwk-set+json", headers)

    return door
