"""Webhooks, their deliveries, and the attempts of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.rules.facts import Instant

PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"
STATES = (PENDING, DELIVERED, DEAD)
"""Of a delivery: to be sent or tried again, sent and taken, given up."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events are sent.

    ``events`` are the types it takes; none: all. ``generation`` numbers its secrets; the one before is good as well
    until ``old_ends_at``. ``version`` is raised by each edit.
    """

    id: str
    url: str
    description: str
    events: tuple[str, ...]
    created_at: Instant
    disabled_at: Instant | None
    generation: int
    old_ends_at: Instant | None
    version: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one target, such as a webhook.

    ``id`` is its ``webhook-id``; ``next_at`` is None where nothing is due.
    """

    target: str
    seq: int
    id: str
    type: str
    object: str
    at: Instant
    state: str
    attempts: int
    next_at: Instant | None
    delivered_at: Instant | None
    last_status: int | None
    last_error: str
    data: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery; ``status`` is None where no answer came, and ``error`` says why."""

    number: int
    at: Instant
    milliseconds: int
    status: int | None
    error: str


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """How many deliveries of a webhook are in which state."""

    pending: int = 0
    delivered: int = 0
    dead: int = 0


class WebhookChanges(Protocol):
    """What a change writes of webhooks, within its transaction."""

    def find(self, webhook_id: str) -> Webhook:
        """One webhook; ``NotFound`` else."""
        ...

    def count(self) -> int:
        """How many there are."""
        ...

    def insert(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        ...

    def update(self, webhook_id: str, **values: object) -> None:
        """Set columns of one webhook."""
        ...

    def delete(self, webhook_id: str) -> None:
        """Forget a webhook, its deliveries and their attempts."""
        ...

    def replay(self, webhook_id: str, event_id: str, at: Instant) -> bool:
        """Make one delivery due again, whatever became of it; False when there is none."""
        ...

    def replay_dead(self, webhook_id: str, at: Instant) -> int:
        """Make all deliveries that were given up due again; how many."""
        ...


class WebhookReads(Protocol):
    """What lists show of webhooks."""

    def all(self) -> Sequence[Webhook]:
        """All webhooks, the oldest first."""
        ...

    def find(self, webhook_id: str) -> Webhook:
        """One webhook; ``NotFound`` else."""
        ...

    def counts(self) -> dict[str, DeliveryCounts]:
        """The states of the deliveries of each webhook that has any, by its id."""
        ...

    def deliveries(self, webhook_id: str, limit: int, *, before: int | None = None, state: str = "") -> list[Delivery]:
        """Deliveries of a webhook, the newest first, from the one behind the number ``before``."""
        ...

    def delivery(self, webhook_id: str, event_id: str) -> tuple[Delivery, Sequence[Attempt]]:
        """One delivery with its attempts, the first first; ``NotFound`` else."""
        ...
