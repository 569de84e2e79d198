"""Signed checkpoints of the audit trail: what was on record at an instant, for whoever keeps a copy elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint. ``jws`` is the signed text that is published; the other members are what it says.

    ``seq`` and ``hash`` are those of the newest record that it covers, ``digest`` is over every record up to it
    (``audit.digest``), ``previous`` is the SHA-256 of the checkpoint before, in hex.
    """

    number: int
    at: Instant
    seq: int
    hash: str
    digest: str
    previous: str
    kid: str
    jws: str


@dataclass(frozen=True, slots=True)
class Walked:
    """How far the chain was walked: ``records`` more hold; ``whole`` when that was up to the head."""

    seq: int
    hash: str
    digest: str
    records: int
    whole: bool


class AuditCheckpoints(Protocol):
    """The checkpoints on record, and the walk that the next one is made of."""

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint. ``Unavailable`` when its row was altered."""
        ...

    def last(self, limit: int) -> Sequence[Checkpoint]:
        """The newest checkpoints, the newest first, as they are on record."""
        ...

    def after(self, number: int, limit: int) -> Sequence[Checkpoint]:
        """Checkpoints behind ``number``, the oldest first."""
        ...

    def records(self) -> int:
        """How many records there are, by the head of the chain."""
        ...

    def walk(self, since: Checkpoint | None, most: int) -> Walked:
        """Verify the records behind a checkpoint, ``most`` at most. ``Unavailable`` when one does not hold."""
        ...

    def insert(self, checkpoint: Checkpoint) -> bool:
        """Put the next checkpoint on record; False when another node was first."""
        ...
