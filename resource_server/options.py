"""The optional arguments of a verifier, for type checkers; ``settings.Settings`` says what each means."""

from typing import Literal, TypedDict

from resource_server.settings import Mode, Unreachable


class Options(TypedDict, total=False):
    """Fields of ``Settings`` beyond issuer, audience and credentials."""

    mode: Mode
    max_staleness: int
    on_unreachable: Unreachable
    algorithms: tuple[str, ...]
    token_typ: Literal["at+jwt", "JWT"]
    max_token_lifetime: int
    clock_skew: int
    timeout: float
    keys_stale: int
    unknown_key_interval: int
    report_interval: float
    cache_size: int
    nonce_seconds: int
    resource: str
    resource_metadata: str
    client_certificate_header: str
    jwks_uri: str
    introspection_endpoint: str
    usage_endpoint: str
    changes_endpoint: str
