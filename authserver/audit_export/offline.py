"""Verifies an export of the audit trail on any machine, by checkpoints and a JWK set: no database, no key of the chain.

What each part proves: the records follow each other without a gap (``seq``, ``previous_hash``). A checkpoint that the
server signed names a digest of every record up to its own; so what it covers is just as it was then, and an export
that ends before it lacks records. Records behind the newest checkpoint are only known to follow.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authserver.audit import GENESIS, Record, digest
from authserver.audit_export.checkpoints import TYP, fingerprint
from authserver.ports.console_reads.audit_checkpoints import Checkpoint
from authserver.ports.errors import Invalid
from keys.signing import TokenReader

MAX_BYTES: Final = 50_000_000
"""Of a file of checkpoints: an hour has one, so this is more than a life."""

_MEMBERS: Final[Mapping[str, type]] = {
    "iss": str,
    "iat": int,
    "number": int,
    "seq": int,
    "hash": str,
    "digest": str,
    "previous": str,
}


@dataclass(frozen=True, slots=True)
class OfflineVerdict:
    """What was found. ``fault`` is empty when everything holds; ``first_bad`` the record at which it does not.

    ``first`` and ``last`` are numbers of records; ``proven`` is the last one that a checkpoint covers, 0 for none.
    """

    records: int
    first: int
    last: int
    proven: int
    checkpoints: int
    first_bad: int | None = None
    fault: str = ""


def read_checkpoints(text: str, jwks: str) -> tuple[Checkpoint, ...]:
    """The checkpoints of a file, in their order, each verified with a key of the JWK set.

    Args:
        text: one JWS a line, or JSON: one text, a list of texts, or what ``/api/v1/audit/checkpoints`` answers.
        jwks: the JWK set that was kept with them.

    Raises:
        Invalid: no checkpoints, one that no key of the set signed, or two that do not follow each other.
    """
    try:
        reader = TokenReader(_keys(jwks))
    except (ValueError, KeyError) as error:
        raise Invalid(f"the JWK set cannot be used: {error}") from None
    found = sorted((_checkpoint(reader, each) for each in _texts(text)), key=lambda each: each.number)
    if not found:
        raise Invalid("the file has no checkpoint")
    for before, after in itertools.pairwise(found):
        if after.number == before.number and after.jws != before.jws:
            raise Invalid(f"there are two checkpoints {after.number}; one of them tells another history")
        if after.number == before.number + 1 and after.previous != fingerprint(before.jws):
            raise Invalid(f"checkpoint {after.number} does not follow checkpoint {before.number}; one was replaced")
        if after.seq < before.seq or after.at < before.at:
            raise Invalid(f"checkpoint {after.number} covers less than checkpoint {before.number} before it")
    return tuple(found)


def verify_export(records: Iterable[Record], checkpoints: Sequence[Checkpoint] = ()) -> OfflineVerdict:
    """Walk an export, one record at a time.

    A part of the trail is proven where a checkpoint ends right before its first record, and another one within it.
    """
    at_seq = {each.seq: each for each in checkpoints}
    newest = max(at_seq, default=0)
    first = last = proven = count = 0
    previous: str | None = GENESIS
    total: str | None = GENESIS
    for record in records:
        if not count:
            first, last = record.seq, record.seq - 1
            if first != 1:
                known = at_seq.get(first - 1)
                previous, total = (known.hash, known.digest) if known else (None, None)
        fault = _fault(record, last + 1, previous)
        if not fault and total is not None:
            total = digest(total, record)
            known = at_seq.get(record.seq)
            if known is not None and (known.digest, known.hash) != (total, record.hash):
                fault = f"it or one before it is not what checkpoint {known.number} covers"
                return OfflineVerdict(count, first, last, proven, len(checkpoints), record.seq, fault)
            proven = record.seq if known is not None else proven
        if fault:
            return OfflineVerdict(count, first, last, proven, len(checkpoints), last + 1, fault)
        previous, last, count = record.hash, record.seq, count + 1
    verdict = OfflineVerdict(count, first, last, proven, len(checkpoints))
    return _judged(verdict, newest, whole=total is not None)


def _judged(verdict: OfflineVerdict, newest: int, *, whole: bool) -> OfflineVerdict:
    """Add what only the end shows: a tail that is missing, and a part that no checkpoint reaches."""
    counts = (verdict.records, verdict.first, verdict.last, verdict.proven, verdict.checkpoints)
    if verdict.last < newest:
        missing = f"is missing: a checkpoint covers {newest} records, the export ends with {verdict.last}"
        return OfflineVerdict(*counts, verdict.last + 1, missing)
    if verdict.checkpoints and verdict.records and not whole:
        fault = f"no checkpoint ends with record {verdict.first - 1}; export from the beginning, or behind one"
        return OfflineVerdict(*counts, verdict.first, fault)
    return verdict


def _fault(record: Record, seq: int, previous: str | None) -> str:
    if record.seq != seq:
        return "is missing, or out of place"
    return "" if previous is None or record.previous_hash == previous else "does not follow the record before it"


def _texts(text: str) -> list[str]:
    stripped = text.strip()
    if not stripped.startswith(("[", "{", '"')):
        return stripped.split()
    try:
        found: Any = json.loads(stripped)
    except (ValueError, RecursionError):
        found = [json_of(line) for line in stripped.splitlines()]
    found = found.get("items", [found]) if isinstance(found, dict) else found
    found = [found] if isinstance(found, str) else found
    texts = [each.get("jws") if isinstance(each, dict) else each for each in found]
    known = [each for each in texts if isinstance(each, str)]
    if len(known) != len(texts):
        raise Invalid("the file has something else than checkpoints in it")
    return known


def json_of(line: str) -> Any:
    """A line of JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise Invalid("the file has something else than checkpoints in it") from None


def _keys(jwks: str) -> dict[str, Any]:
    try:
        found = json.loads(jwks)
        return {each["kid"]: each for each in found["keys"]}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Invalid("the JWK set is none: a JSON object with the keys of the server in its member `keys`") from None


def _checkpoint(reader: TokenReader, text: str) -> Checkpoint:
    read = reader.read(text, TYP)
    if read is None:
        raise Invalid("a checkpoint was not signed by any key of the JWK set, or was altered")
    kid, claims = read
    if not all(type(claims.get(name)) is kind for name, kind in _MEMBERS.items()):
        raise Invalid("a checkpoint lacks what checkpoints say")
    return Checkpoint(
        number=claims["number"],
        at=claims["iat"],
        seq=claims["seq"],
        hash=claims["hash"],
        digest=claims["digest"],
        previous=claims["previous"],
        kid=kid,
        jws=text,
    )
