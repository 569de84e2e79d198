"""Discovery documents (RFC 8414) and the JWKS (RFC 7517).

Both are made from the key ring as it is now, so a withdrawn key is gone at once
and no algorithm is advertised that nothing signs with.
"""

import hashlib
from collections.abc import Callable, Sequence

from authserver.oauth.http import Request, Response, dump
from keys.keyring import KeyInfo, State, jwks, post_quantum_jwks
from keys.rotation import JWKS_MAX_AGE

MAX_AGE = JWKS_MAX_AGE
_SECRET_METHODS = ["client_secret_basic", "client_secret_post"]

Ring = Callable[[], Sequence[KeyInfo]]
OnFetch = Callable[[Request, Sequence[KeyInfo]], None]


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
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": _SECRET_METHODS,
    }
    if algorithms:  # RFC 8414 §3.2: no empty arrays
        told["introspection_signing_alg_values_supported"] = list(algorithms)
    if openid:
        told["subject_types_supported"] = ["public"]
        if algorithms:
            told["id_token_signing_alg_values_supported"] = list(algorithms)
    return told


def metadata_endpoint(issuer: str, ring: Ring, *, openid: bool) -> Callable[[Request], Response]:
    """Make the door of one of the two well-known places."""

    def made(keys: Sequence[KeyInfo]) -> bytes:
        algorithms = sorted({key.alg for key in keys if key.state is State.ACTIVE and not key.apart})
        return dump(document(issuer, algorithms, openid=openid))

    return _kept(ring, made, "application/json")


def jwks_endpoint(ring: Ring, saw: OnFetch | None = None) -> Callable[[Request], Response]:
    """Make the door of the JWKS; ``saw`` is told who was given which keys."""
    return _kept(ring, jwks, "application/jwk-set+json", saw)


def post_quantum_endpoint(ring: Ring) -> Callable[[Request], Response]:
    """Make the door of the set of post-quantum keys (RFC 9964)."""
    return _kept(ring, post_quantum_jwks, "application/jwk-set+json")


def _kept(
    ring: Ring, made: Callable[[Sequence[KeyInfo]], bytes], media: str, saw: OnFetch | None = None
) -> Callable[[Request], Response]:
    """Read the ring each time; make the answer anew only when it has changed."""
    last: tuple[Sequence[KeyInfo], str, Response, Response] | None = None

    def door(request: Request) -> Response:
        nonlocal last
        keys, known = ring(), last
        if saw is not None:
            saw(request, keys)
        if known is None or known[0] != keys:
            body = made(keys)
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            headers = (
                ("Cache-Control", f"public, max-age={MAX_AGE}"),
                ("ETag", tag),
                ("Access-Control-Allow-Origin", "*"),
            )
            known = last = (keys, tag, Response(200, body, media, headers), Response(304, b"", media, headers))
        _, tag, whole, unchanged = known
        asked = request.headers.get("if-none-match", "")
        return unchanged if asked and _matches(asked, tag) else whole

    return door


def _matches(asked: str, tag: str) -> bool:
    """RFC 9110 §13.1.2: ``*`` or a list of tags, compared weakly."""
    return asked.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in asked.split(",")}
