"""The outbox: what is on record and not told yet.

The audit record of a change commits with the change and is numbered without gaps, so the records behind a cursor are
the outbox. Collecting turns them into events with deliveries and moves the cursor, in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.ports.events.webhooks import Delivery, Webhook
from authserver.rules.events.catalogue import RaisedEvent
from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class ChainWatchState:
    """When all records were last walked and found to hold, about; and what was found wrong since, or empty."""

    walked_at: Instant | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How things stand: ``behind`` records are not collected yet; ``lease_until`` is the end of ``holder``'s lease.

    ``swept_at``: what follows from time alone was raised up to then. ``unused_days``: the policy for what nobody uses.
    ``chain``: what the watch over the chain of audit records found.
    """

    behind: int
    webhooks: int
    holder: str
    lease_until: Instant
    swept_at: Instant
    unused_days: int = 0
    mail: int = 0
    chain: ChainWatchState = ChainWatchState()


@dataclass(frozen=True, slots=True)
class Mail:
    """A delivery by mail: to a user's ``address`` in their ``language``, or, without one, to the security team."""

    delivery: Delivery
    address: str
    language: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. ``next_at`` is None where it is over: delivered, or given up."""

    at: Instant
    milliseconds: int
    status: int | None
    error: str
    delivered: bool
    next_at: Instant | None


class Outbox(Protocol):
    """Collects, hands out what is due, and keeps what became of it. One node at a time does so, by a lease."""

    def state(self) -> OutboxState:
        """How things stand, in one statement."""
        ...

    def acquire(self, holder: str, now: Instant, until: Instant) -> bool:
        """Take or prolong the lease; False while another one holds it."""
        ...

    def collect(self, limit: int) -> int:
        """Turn the next records into events with deliveries; how many records there were."""
        ...

    def skip(self) -> None:
        """Move the cursor to the newest record, if there is no webhook that could miss one."""
        ...

    def raise_events(self, events: Sequence[RaisedEvent]) -> int:
        """Raise events that no change is; those of a known key are raised already. How many were new."""
        ...

    def chain_held(self, now: Instant) -> None:
        """Note that the chain of audit records was walked to its end and holds."""
        ...

    def chain_broke(self, fault: str) -> None:
        """Note what is wrong with it."""
        ...

    def sweep_expiries(self, now: Instant) -> int:
        """Raise what follows from time alone since the last time; how many events."""
        ...

    def due(self, now: Instant, limit: int) -> Sequence[tuple[Webhook, Sequence[Delivery]]]:
        """What is due at each webhook, the oldest first; of one object nothing behind an event that is not due."""
        ...

    def mail_to(self, mail: int) -> None:
        """Mail those whom the configuration names (``rules/events/mail``), from here on."""
        ...

    def due_mail(self, now: Instant, limit: int) -> Sequence[Mail]:
        """Mail that is due, the oldest first; of one object and reader nothing behind a mail that is not due."""
        ...

    def address(self, user_id: str) -> str:
        """The address that a user is mailed at; empty for none."""
        ...

    def record(self, delivery: Delivery, outcome: Outcome) -> None:
        """Keep what became of an attempt."""
        ...

    def forget(self, before: Instant, limit: int) -> int:
        """Delete events of before that are over, with their deliveries; how many."""
        ...
