"""Checkpoints of the audit trail: taken at least hourly by the server itself, and whenever somebody asks for one.

A checkpoint is a JWS over how many records there are and a digest of all of them. Whoever keeps one elsewhere can show
later that a record was altered, or that the tail was cut off, with an export and the JWK set alone: without the
database, and without the key of the chain.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from authserver.audit import GENESIS
from authserver.ports.console_reads.audit_checkpoints import AuditCheckpoints, Checkpoint
from authserver.rules.facts import Instant, Span
from keys.jws import parse
from keys.keyring import KeyInfo, State

TYP: Final = "audit-checkpoint+jwt"
"""The ``typ`` of a checkpoint (RFC 8725 §3.11), so that it is never taken for another kind of text."""

DUE_AFTER: Final = 3000
"""Seconds from one checkpoint to the next, so that with the time of a periodic task there is one each hour."""

LATE_AFTER: Final = 2 * 3600
"""Seconds after which people are told that none was signed; the alert in ``deploy/monitoring`` says the same."""

MOST_RECORDS: Final = 50_000
"""Records that one checkpoint walks at most: a long trail is covered by several, which follow each other at once."""

Sign = Callable[[Mapping[str, Any]], str]
"""Signs claims with the active key, as ``TYP``."""


def take_if_due(
    checkpoints: AuditCheckpoints, sign: Sign, *, issuer: str, now: Instant, after: Span = DUE_AFTER
) -> Checkpoint | None:
    """Take the next checkpoint when the last one is ``after`` seconds old or left records out; None when it is not due.

    Raises:
        Unavailable: the chain does not hold, or nothing can be signed: no checkpoint says so.
    """
    newest = checkpoints.newest()
    if newest is not None and now - newest.at < after and checkpoints.records() - newest.seq < MOST_RECORDS:
        return None
    return _next(checkpoints, newest, sign, issuer=issuer, now=now)


def take(checkpoints: AuditCheckpoints, sign: Sign, *, issuer: str, now: Instant) -> Checkpoint | None:
    """Take the next checkpoint; None when another node was first.

    Raises:
        Unavailable: the chain does not hold, or nothing can be signed.
    """
    return _next(checkpoints, checkpoints.newest(), sign, issuer=issuer, now=now)


def _next(
    checkpoints: AuditCheckpoints, newest: Checkpoint | None, sign: Sign, *, issuer: str, now: Instant
) -> Checkpoint | None:
    """The one behind ``newest``, as it was read when this one was found due: of many nodes one puts it on record."""
    walked = checkpoints.walk(newest, MOST_RECORDS)
    number = 1 if newest is None else newest.number + 1
    previous = GENESIS if newest is None else fingerprint(newest.jws)
    claims = {
        "iss": issuer,
        "iat": now,
        "number": number,
        "seq": walked.seq,
        "hash": walked.hash,
        "digest": walked.digest,
        "previous": previous,
    }
    text = sign(claims)
    made = Checkpoint(number, now, walked.seq, walked.hash, walked.digest, previous, parse(text).kid, text)
    return made if checkpoints.insert(made) else None


def fingerprint(jws: str) -> str:
    """What a checkpoint calls the one before it: SHA-256 of its text, in hex."""
    return hashlib.sha256(jws.encode("ascii")).hexdigest()


def public_keys(ring: Sequence[KeyInfo]) -> dict[str, list[dict[str, Any]]]:
    """The JWK set that checkpoints are verified with: every key that ever signed, also those that are withdrawn."""
    return {"keys": [json.loads(key.public_jwk) for key in ring if key.state is not State.STAGED]}
