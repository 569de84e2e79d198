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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field

from authserver.rules.facts import Instant

GENESIS = "0" * 64

PEER = "peer"
"""The detail that says from which address a change was asked for; inside the chain like every other detail."""

CLIENT = "client"
"""The detail that says which credential asked for a change in its owner's name; absent where people asked."""


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
    """What ``verify`` found: how many records hold, and the first that does not (0: the empty chain's head)."""

    records: int
    first_bad: int | None = None
    fault: str = ""


def canonical(detail: Mapping[str, object]) -> str:
    """One spelling for one value: sorted keys, no blanks, ASCII only, a single line."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def seal(key: bytes, *, seq: int, at: Instant, actor: str, event: str, target: str, detail: str, previous: str) -> str:
    """Hash one record: HMAC-SHA-256 over an unambiguous spelling, in hex."""
    body = json.dumps(["audit-record", seq, at, actor, event, target, detail, previous], ensure_ascii=True)
    return hmac.new(key, body.encode("ascii"), hashlib.sha256).hexdigest()


def seal_head(key: bytes, seq: int, last_hash: str) -> str:
    """Hash the head of the chain."""
    body = json.dumps(["audit-head", seq, last_hash])
    return hmac.new(key, body.encode("ascii"), hashlib.sha256).hexdigest()


def digest(previous: str, record: Record) -> str:
    """Add one record to the digest of all before it: SHA-256 in hex, without a key, so that anybody can compute it.

    Begins with ``GENESIS``. What a signed checkpoint names; ``hash`` alone proves nothing to whoever lacks the key.
    """
    body = json.dumps(["audit-digest", previous, *astuple(record)], ensure_ascii=True)
    return hashlib.sha256(body.encode("ascii")).hexdigest()


def seal_checkpoint(key: bytes, values: Sequence[int | str]) -> str:
    """Hash a checkpoint as it is on record."""
    body = json.dumps(["audit-checkpoint", *values], ensure_ascii=True)
    return hmac.new(key, body.encode("ascii"), hashlib.sha256).hexdigest()


def verify(key: bytes, records: Iterable[Record], head_seq: int, head_hash: str, head_seal: str) -> Verdict:
    """Walk the chain from the first record and name the first bad one.

    A fault of the head itself names the last record: nobody can tell whether it is the last.
    """
    previous, walked = GENESIS, 0
    for record in records:
        fault = record_fault(key, record, walked + 1, previous)
        if fault:
            return Verdict(walked, walked + 1, fault)
        previous, walked = record.hash, walked + 1
    if head_seq > walked:
        return Verdict(walked, walked + 1, f"record {walked + 1} is missing")
    if head_seq < walked:
        return Verdict(head_seq, head_seq + 1, "is newer than the sealed head of the chain")
    fault = _head_fault(key, head_seq, head_hash, head_seal, previous)
    return Verdict(walked, walked, fault) if fault else Verdict(walked)


def piece_fault(key: bytes, records: Iterable[Record], seq: int, previous: str) -> tuple[int, str] | None:
    """The first record that does not follow number ``seq`` with the hash ``previous``, and why; None: all do."""
    for number, record in enumerate(records, seq + 1):
        fault = record_fault(key, record, number, previous)
        if fault:
            return number, fault
        previous = record.hash
    return None


def record_fault(key: bytes, record: Record, seq: int, previous: str) -> str:
    """What is wrong with a record in the place of number ``seq``; empty when nothing is."""
    if record.seq != seq:
        return f"record {seq} is missing"
    if record.previous_hash != previous:
        return "does not follow the record before it"
    try:
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
    except TypeError:  # SQLite keeps bytes in a column for text, if somebody puts them there
        return "was altered"
    return "" if sealed == record.hash else "was altered"


def _head_fault(key: bytes, seq: int, last_hash: str, head_seal: str, previous: str) -> str:
    """What is wrong with the head of a chain that ends with the hash ``previous``; empty when nothing is."""
    if last_hash != previous:
        return "the head names another last record"
    return "" if seal_head(key, seq, last_hash) == head_seal else "the seal of the head was altered"
