"""What a client's signed assertion must say to be taken (RFC 7523 §3, RFC 7521 §4.2, draft-ietf-oauth-rfc7523bis).

Whose key signed it is judged elsewhere. What is judged here is for whom, by whom, from when until when.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from authserver.rules.facts import Instant, Span, over

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 §2.2; the one value of ``client_assertion_type``."""

TYPES: Final = frozenset({"", "jwt", "client-authentication+jwt"})
"""Values of ``typ``. rfc7523bis names the last; older clients say ``JWT`` or nothing. A token of ours, a DPoP proof or
an introspection answer is none of these, so it can never be taken for an assertion (RFC 8725 §3.12)."""

MAX_LIFETIME: Span = 3600
"""RFC 7523 §3 (4): an ``exp`` that is unreasonably far away may be refused. A copied assertion that was not used yet is
good until then; an hour is what common libraries ask for when told nothing."""

SKEW: Span = 10
"""How far ahead of ours a client's clock may run (FAPI 2.0 Security Profile §5.3.2.1 no. 13)."""

MOST_JTI: Final = 255


class AssertionWindow(NamedTuple):
    """The id of a good assertion, until when it must be remembered, and when it was made, where it says so."""

    jti: str
    ends_at: Instant
    made_at: Instant | None = None


def subject_of(claims: Mapping[str, Any]) -> str:
    """The client id it is for, unverified (RFC 7523 §3 (2) B); empty when ``iss`` and ``sub`` are not one text."""
    subject = claims.get("sub")
    return subject if isinstance(subject, str) and claims.get("iss") == subject else ""


def window(claims: Mapping[str, Any], *, issuer: str, now: Instant) -> AssertionWindow | str:
    """Judge the claims of an assertion whose ``sub`` is the client.

    Args:
        claims: as they were signed.
        issuer: our issuer identifier.
        now: seconds of UTC.

    Returns:
        Its window; or the reason why it is refused, for the log:

        - ``assertion_audience``: ``aud`` is not our issuer identifier as one text. Neither an array nor the address of
          the token endpoint is taken (rfc7523bis §4): else an assertion for another server could be made to serve here.
        - ``assertion_expiry``: no ``exp`` (RFC 7523 §3 (4): required), or one that is no number.
        - ``assertion_expired``: it is over; no grace, since clients make a fresh one for each request.
        - ``assertion_too_long``: it lives for longer than ``MAX_LIFETIME``.
        - ``assertion_from_the_future``: ``iat`` or ``nbf`` lies ahead by more than ``SKEW`` (RFC 7523 §3 (5), (6)).
        - ``assertion_id``: no ``jti``; RFC 7523 §3 (7) lets us ask for one, and replay cannot be seen without.
    """
    jti, ends_at = claims.get("jti"), _instant(claims.get("exp"))
    if claims.get("aud") != issuer:
        return "assertion_audience"
    if ends_at is None:
        return "assertion_expiry"
    fault = _span_fault(claims, ends_at, now)
    if not fault and (not isinstance(jti, str) or not 0 < len(jti) <= MOST_JTI):
        fault = "assertion_id"
    return fault or AssertionWindow(str(jti), ends_at, _instant(claims.get("iat")))


def _span_fault(claims: Mapping[str, Any], ends_at: Instant, now: Instant) -> str:
    if over(now, ends_at):
        return "assertion_expired"
    begins = {name: _instant(claims[name]) for name in ("iat", "nbf") if name in claims}
    if any(each is None or each > now + SKEW for each in begins.values()):
        return "assertion_from_the_future"
    issued_at = begins.get("iat")
    start = now if issued_at is None else min(now, issued_at)
    return "assertion_too_long" if ends_at - start > MAX_LIFETIME + SKEW else ""


def one_time_key(kind: str, holder: str, jti: str) -> str:
    """What an id that is good once is remembered by: a hash, in which no part can run into the next.

    Args:
        kind: what the id is of, such as ``assertion``.
        holder: who chose it; two clients may choose the same id.
        jti: the id.
    """
    parts = (kind, holder, jti)
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _instant(value: object) -> Instant | None:
    """A NumericDate (RFC 7519 §2) as a whole second; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:
        return None
    return int(value)


_LAST: Final = 2**40
