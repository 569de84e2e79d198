"""Audit records, time lines and the history of settings as the console shows them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from authserver.audit import Record
from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which audit records to show; empty means all. ``until`` is not included; ``text`` is part of the target."""

    actor: str = ""
    events: tuple[str, ...] = ()
    target: str = ""
    text: str = ""
    since: Instant | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True, order=True)
class AuditPlace:
    """Where a page ends: the next one begins behind it."""

    at: Instant
    seq: int


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Records, newest first. ``after`` is handed to the next call; None at the end.

    With ``text`` a call looks at a bounded number of records, so a page may be short or empty and still have an
    ``after``: "searched back to" its instant.
    """

    records: tuple[Record, ...]
    after: AuditPlace | None


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """Whether the newest record and the sealed head agree: the cheap part of ``audit verify``."""

    records: int
    newest_at: Instant | None
    fault: str = ""

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong at the head; only ``Accounts.audit_verify`` looks at every record."""
        return not self.fault


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A general setting, and the change that gave it its value; None where it is as it was at first."""

    name: str
    value: object
    changed_by: str | None = None
    changed_at: Instant | None = None
    before: object = field(default=None)


class AuditReads(Protocol):
    """Reads of the audit trail for the console."""

    def audit_page(self, query: AuditQuery, limit: int = 50, after: AuditPlace | None = None) -> AuditPage:
        """Records that match, newest first."""
        ...

    def audit_export(self, query: AuditQuery) -> Iterator[Record]:
        """Records that match, whatever their ``text``, oldest first; read in batches, no connection is held between.

        By instant and number: where the clock was set back, that is another order than the chain's.
        """
        ...

    def audit_events(self) -> Sequence[str]:
        """The names of all events on record, sorted."""
        ...

    def timeline(
        self, client_id: str, limit: int = 50, after: AuditPlace | None = None, *, owner_id: str | None = None
    ) -> AuditPage:
        """What happened to a credential since it was made: to itself, its sessions, and its owner's roles.

        ``NotFound`` when it is unknown, deleted or not the owner's.
        """
        ...

    def chain_status(self) -> ChainStatus:
        """The head of the chain and its newest record; two rows, whatever its length."""
        ...

    def chain_fault(self, records: Iterable[Record], seq: int, previous: str) -> tuple[int, str] | None:
        """The first record that does not follow number ``seq`` with the hash ``previous``, and why; None: all do."""
        ...

    def setting_rows(self) -> Sequence[SettingRow]:
        """All general settings with who gave them their value."""
        ...

    def setting_history(self, name: str, limit: int = 20) -> Sequence[SettingRow]:
        """The last changes of one setting, newest first."""
        ...
