"""What a proof of possession must say to be taken (DPoP, RFC 9449 §4.3).

Its signature, by the key that it carries, is judged elsewhere. What is judged here is for which request, and when.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from authserver.rules.client_authentication.nonce import Nonces
from authserver.rules.facts import Instant, Span

TYPE: Final = "dpop+jwt"
"""RFC 9449 §4.2: no assertion, token or answer of ours has it (RFC 8725 §3.11)."""

OLDEST: Span = 60
"""How long ago a proof may have been made: what its way takes, and a clock that is behind."""

SKEW: Span = 10
"""How far ahead of ours a client's clock may run."""

MOST_JTI: Final = 255
_PORTS: Final = {"https": 443, "http": 80}


class ProofWindow(NamedTuple):
    """The id of a good proof, until when it must be remembered, and when it was made, seconds of UTC."""

    jti: str
    ends_at: Instant
    made_at: Instant


def proof_window(
    claims: Mapping[str, Any],
    *,
    method: str,
    uris: frozenset[str],
    now: Instant,
    token_hash: str | None = None,
    nonces: Nonces | None = None,
) -> ProofWindow | str:
    """Judge the claims of a proof.

    Args:
        claims: as they were signed.
        method: of the request that it came with.
        uris: the addresses that this request may have been sent to, as ``target_uri`` makes them.
        now: seconds of UTC.
        token_hash: base64url of the SHA-256 of the token that came with it; None where none does.
        nonces: judges its ``nonce``; None where none is asked for.

    Returns:
        Its window; or the reason why it is refused, for the log:

        - ``proof_method``: ``htm`` is another method (RFC 9449 §4.3 no. 8).
        - ``proof_uri``: ``htu`` is another address, compared without query and fragment (no. 9).
        - ``proof_time``: ``iat`` is missing or outside the window (no. 11).
        - ``proof_id``: there is no ``jti`` (no. 3).
        - ``proof_token``: ``ath`` is not of this token (no. 12).
        - ``proof_nonce``: ``nonce`` is missing, or was not given lately (no. 10).
    """
    issued_at, jti, uri = claims.get("iat"), claims.get("jti"), claims.get("htu")
    fault = ""
    if claims.get("htm") != method:
        fault = "proof_method"
    elif not isinstance(uri, str) or target_uri(uri) not in uris:
        fault = "proof_uri"
    elif not _recent(issued_at, now):
        fault = "proof_time"
    elif not isinstance(jti, str) or not 0 < len(jti) <= MOST_JTI:
        fault = "proof_id"
    elif token_hash is not None and claims.get("ath") != token_hash:
        fault = "proof_token"
    elif nonces is not None and not nonces.takes(claims.get("nonce"), now):
        fault = "proof_nonce"
    return fault or ProofWindow(str(jti), int(claims["iat"]) + OLDEST + 1, int(claims["iat"]))


def token_hash_of(text: str) -> str:
    """``ath`` of a token (RFC 9449 §4.2): base64url of the SHA-256 of its ASCII text, without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode("ascii", "replace")).digest()).decode().rstrip("=")


def _recent(issued_at: object, now: Instant) -> bool:
    number = isinstance(issued_at, int | float) and not isinstance(issued_at, bool)
    return number and now - OLDEST < issued_at <= now + SKEW  # type: ignore[operator] # it is a number


def target_uri(text: str) -> str:
    """An address in the form that two of them are compared in: RFC 3986 §6.2.2 case, §6.2.3 port; no query, fragment.

    Empty for what is no address of HTTP.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return ""
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in _PORTS or not host or parts.username is not None or not text.isascii() or not text.isprintable():
        return ""
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[scheme]:
        place += f":{port}"
    return f"{scheme}://{place}{parts.path or '/'}"
