"""What is written down for ever: audit events and the keyed hash chain.

Each record's hash covers the record and the hash before it, keyed with a key
that is not in the database: whoever can write the table still cannot forge,
alter, drop or reorder a record without ``verify`` noticing (INV-19). The head
(sequence and hash of the newest record) is sealed the same way, so cutting off
the tail shows too.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from authserver.rules.facts import Instant

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Event:
    """One administrative change: what happened to what, and by whom.

    ``name`` has the grammar ``noun.verb``; ``detail`` holds plain JSON values
    and never a secret (INV-20).
    """

    name: str
    actor: str
    target: str
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """An event in its place in the chain; ``at`` in seconds of UTC."""

    seq: int
    at: Instant
    actor: str
    event: str
    target: str
    detail: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``verify`` found: how many records hold, and the first that does not."""

    records: int
    first_bad: int | None = None
    fault: str = ""


def canonical(detail: Mapping[str, object]) -> str:
    """One spelling for one value: sorted keys, no blanks, ASCII only, a single line."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def seal(key: bytes, *, seq: int, at: Instant, actor: str, event: str, target: str, detail: str, previous: str) -> str:
    """Hash one record: HMAC-SHA-256 over an unambiguous spelling, in hex."""
    body = json.dumps(["audit-record", seq, at, actor, event, target, detail, previous], ensure_ascii=True)
    return hmac.new(key, body.encode("ascii"), hashlib.sha256).hexdigest()


def seal_head(key: bytes, seq: int, last_hash: str) -> str:
    """Hash the head of the chain."""
    body = json.dumps(["audit-head", seq, last_hash])
    return hmac.new(key, body.encode("ascii"), hashlib.sha256).hexdigest()


def verify(key: bytes, records: Iterable[Record], head_seq: int, head_hash: str, head_seal: str) -> Verdict:
    """Walk the chain from the first record and name the first bad one."""
    previous, expected = GENESIS, 0
    for record in records:
        expected += 1
        if record.seq != expected:
            return Verdict(expected - 1, expected, f"record {expected} is missing")
        if record.previous_hash != previous:
            return Verdict(expected - 1, record.seq, "does not follow the record before it")
        sealed = seal(
            key,
            seq=record.seq,
            at=record.at,
            actor=record.actor,
            event=record.event,
            target=record.target,
            detail=record.detail,
            previous=previous,
        )
        if not hmac.compare_digest(sealed, record.hash):
            return Verdict(expected - 1, record.seq, "was altered")
        previous = record.hash
    if head_seq > expected:
        return Verdict(expected, expected + 1, f"record {expected + 1} is missing")
    if head_seq < expected:
        return Verdict(head_seq, head_seq + 1, "is newer than the sealed head of the chain")
    if not hmac.compare_digest(previous, head_hash):
        return Verdict(expected, expected or None, "the head names another last record")
    if not hmac.compare_digest(seal_head(key, head_seq, head_hash), head_seal):
        return Verdict(expected, expected or None, "the seal of the head was altered")
    return Verdict(expected)
