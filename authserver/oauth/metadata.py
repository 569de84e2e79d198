"""Discovery documents (RFC 8414) and the JWKS (RFC 7517).

Both are made from the key ring as it is now, so a withdrawn key is gone at once
and no algorithm is advertised that nothing signs with.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from authserver.oauth.authorization_endpoint import PATH as AUTHORIZE
from authserver.oauth.http import Request, Response, dump
from authserver.rules.client_authentication.certificate import SELF_SIGNED, TLS_CLIENT_AUTH
from keys.keyring import KeyInfo, State, jwks, post_quantum_jwks
from keys.public_keys import ALGORITHMS as CLIENT_ALGORITHMS
from keys.public_keys import SAME_AS
from keys.rotation import JWKS_MAX_AGE

MAX_AGE = JWKS_MAX_AGE
_SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
_CLIENT_METHODS = [*_SECRET_METHODS, "private_key_jwt"]
_ASSERTION_ALGORITHMS = [*CLIENT_ALGORITHMS, *SAME_AS]
"""RFC 8414 §2: never ``none``, and no HMAC."""

_ENDPOINTS = {
    "token_endpoint": "/oauth/token",
    "introspection_endpoint": "/oauth/introspect",
    "revocation_endpoint": "/oauth/revoke",
}
_MTLS_ENDPOINTS = ("token_endpoint", "revocation_endpoint")
"""Those that clients authenticate at by a certificate; resource servers have none."""


class MutualTls(NamedTuple):
    """What the metadata tells of RFC 8705.

    ``is_on``: a proxy passes on the certificates of clients; ``has_authorities``: those of authorities count by their
    names; ``url``: stands for the issuer in the addresses where clients are asked for one, empty for the same.
    """

    is_on: bool = False
    has_authorities: bool = False
    url: str = ""

    @property
    def methods(self) -> list[str]:
        """The ways to authenticate that it adds (RFC 8705 §2.1.1, §2.2.1)."""
        return [TLS_CLIENT_AUTH] * (self.is_on and self.has_authorities) + [SELF_SIGNED] * self.is_on


NO_MTLS = MutualTls()

Ring = Callable[[], Sequence[KeyInfo]]
OnFetch = Callable[[Request, Sequence[KeyInfo]], None]


def document(
    issuer: str,
    algorithms: Sequence[str],
    *,
    openid: bool = False,
    scopes: Sequence[str] | None = None,
    mtls: MutualTls = NO_MTLS,
) -> dict[str, object]:
    """RFC 8414 §2; with ``openid``, the members that OpenID Connect Discovery 1.0 §3 requires as well.

    ``response_types_supported`` is required and there are none, so it is the one empty array. Some clients refuse
    metadata without ``authorization_endpoint``; ours says that no grant uses it.

    Args:
        issuer: our issuer identifier.
        algorithms: of the active keys.
        openid: whether for OpenID discovery.
        scopes: names of the roles a token may carry; None: not published.
        mtls: what is offered of RFC 8705.
    """
    members: dict[str, object] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}{AUTHORIZE}",
        "response_types_supported": [],
        "service_documentation": f"{issuer}/console/help",
        **{name: f"{issuer}{path}" for name, path in _ENDPOINTS.items()},
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": [*_CLIENT_METHODS, *mtls.methods],
        "token_endpoint_auth_signing_alg_values_supported": _ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": _CLIENT_METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": _ASSERTION_ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": [*_CLIENT_METHODS, *mtls.methods],
        "revocation_endpoint_auth_signing_alg_values_supported": _ASSERTION_ALGORITHMS,
    }
    members["dpop_signing_alg_values_supported"] = _ASSERTION_ALGORITHMS
    if mtls.is_on:
        members["tls_client_certificate_bound_access_tokens"] = True
        if mtls.url:  # RFC 8705 §5
            members["mtls_endpoint_aliases"] = {name: f"{mtls.url}{_ENDPOINTS[name]}" for name in _MTLS_ENDPOINTS}
    if algorithms:  # RFC 8414 §3.2: no empty arrays
        members["introspection_signing_alg_values_supported"] = list(algorithms)
    if scopes:
        members["scopes_supported"] = list(scopes)
    if openid:
        members["subject_types_supported"] = ["public"]
        if algorithms:
            members["id_token_signing_alg_values_supported"] = list(algorithms)
    return members


def metadata_endpoint(
    issuer: str,
    ring: Ring,
    *,
    openid: bool,
    scopes: Callable[[], Sequence[str]] | None = None,
    mtls: MutualTls = NO_MTLS,
) -> Callable[[Request], Response]:
    """Make the endpoint of one of the two well-known places; ``scopes`` reads the names to publish, if any."""

    def make_body(keys: Sequence[KeyInfo]) -> bytes:
        algorithms = sorted({key.alg for key in keys if key.state is State.ACTIVE and not key.apart})
        return dump(document(issuer, algorithms, openid=openid, scopes=scopes() if scopes else None, mtls=mtls))

    # Roles change without the ring, so a document with scopes is made each time; ETags still spare its transfer.
    return _cached_endpoint(ring, make_body, "application/json", cache=scopes is None)


def jwks_endpoint(ring: Ring, on_fetch: OnFetch | None = None) -> Callable[[Request], Response]:
    """Make the endpoint of the JWKS; ``on_fetch`` is called with the request and the keys it was given."""
    return _cached_endpoint(ring, jwks, "application/jwk-set+json", on_fetch)


def post_quantum_endpoint(ring: Ring) -> Callable[[Request], Response]:
    """Make the endpoint of the set of post-quantum keys (RFC 9964)."""
    return _cached_endpoint(ring, post_quantum_jwks, "application/jwk-set+json")


def _cached_endpoint(
    ring: Ring,
    make_body: Callable[[Sequence[KeyInfo]], bytes],
    media: str,
    on_fetch: OnFetch | None = None,
    *,
    cache: bool = True,
) -> Callable[[Request], Response]:
    """Make an endpoint that reads the key ring for each request and renders its response again only after a change."""
    last: tuple[Sequence[KeyInfo], str, Response, Response] | None = None

    def endpoint(request: Request) -> Response:
        nonlocal last
        keys, cached = ring(), last
        if on_fetch is not None:
            on_fetch(request, keys)
        if cached is None or not cache or (cached[0] is not keys and cached[0] != keys):
            body = make_body(keys)
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            headers = (
                ("Cache-Control", f"public, max-age={MAX_AGE}"),
                ("ETag", tag),
                ("Access-Control-Allow-Origin", "*"),
            )
            cached = last = (keys, tag, Response(200, body, media, headers), Response(304, b"", media, headers))
        _, tag, full, unchanged = cached
        if_none_match = request.headers.get("if-none-match", "")
        return unchanged if if_none_match and _matches(if_none_match, tag) else full

    return endpoint


def _matches(if_none_match: str, tag: str) -> bool:
    """RFC 9110 §13.1.2: ``*`` or a list of tags, compared weakly."""
    return if_none_match.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
