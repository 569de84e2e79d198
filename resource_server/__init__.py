"""Protects an API with the access tokens of the authorization server.

Three lines are enough::

    from resource_server import Verifier
    verifier = Verifier(ISSUER, AUDIENCE, (API_ID, API_SECRET), mode="leased", max_staleness=30)
    token = verifier.verify(text_after_bearer, roles=["reader"])

``docs/resource-servers.md`` says which mode learns when of which kind of death, and has a snippet for each framework.

- ``verifier``: the two verifiers, for threads and asyncio; ``state``: their caches, threads and connections.
- ``settings``, ``options``: configuration; ``errors``: refusals; ``events``: hooks; ``token``: a verified token.
- ``http``: bearer tokens, challenges, metadata; ``jose``: signatures; ``keys``: the JWKS; ``dpop``: proofs.
- ``certificate``: the TLS certificate of a call.
- ``modes``: exact, leased and feed; ``network``: requests to the server.
- ``clocks``, ``background``, ``lru_cache``: time, a thread, a bounded cache.
- ``frameworks``: adapters for web frameworks; ``kit``: the attack kit.
"""

from resource_server.dpop import Proof
from resource_server.errors import (
    ConfigurationError,
    InsufficientScope,
    InvalidProof,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Refused,
    Unavailable,
    UseNonce,
)
from resource_server.events import Event
from resource_server.settings import Settings
from resource_server.token import Token
from resource_server.verifier import AsyncVerifier, Verifier

__all__ = [
    "AsyncVerifier",
    "ConfigurationError",
    "Event",
    "InsufficientScope",
    "InvalidProof",
    "InvalidRequest",
    "InvalidToken",
    "MissingToken",
    "Proof",
    "Refused",
    "Settings",
    "Token",
    "Unavailable",
    "UseNonce",
    "Verifier",
]
