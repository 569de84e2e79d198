"""Event streams: who gets security events, how, and how far each one is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from authserver.audit import Event
from authserver.ports.hot_path import CallingResourceServer
from authserver.rules.facts import Instant
from authserver.rules.shared_signals.events import Entry
from authserver.rules.shared_signals.progress import ENABLED, Progress

PUSH, POLL = METHODS = ("urn:ietf:rfc:8935", "urn:ietf:rfc:8936")
"""SSF 1.0 §6.1: how a stream is delivered."""


@dataclass(frozen=True, slots=True)
class EventStream:
    """One stream of one resource server."""

    id: str
    resource_server_id: str
    method: str
    created_at: Instant
    progress: Progress
    endpoint_url: str = ""
    """Of the receiver; empty for a stream that is polled."""
    authorized: bool = False
    """Whether an ``Authorization`` header is sent along; it is kept sealed."""
    events_requested: tuple[str, ...] | None = None
    """None: whatever there is."""
    description: str = ""
    status: str = ENABLED
    reason: str = ""
    without: frozenset[str] = frozenset()
    """Users whose events are not told."""
    verified_at: Instant | None = None
    """When the receiver asked for a verification last."""
    delivered: int = 0
    delivered_at: Instant | None = None
    failures: int = 0
    """Pushes that failed since the last one that did not."""
    next_push_at: Instant = 0
    last_error: str = ""
    last_error_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class DuePush:
    """A stream to push now, claimed by this process; ``authorization`` is the header, or empty."""

    stream: EventStream
    receiver: CallingResourceServer
    authorization: str = field(repr=False)


class Outcome(NamedTuple):
    """Of one push of an event: accepted, or why not; ``final`` when sending it again would be in vain."""

    accepted: bool
    error: str = ""
    final: bool = False


class EventStreams(Protocol):
    """The streams on record."""

    def of_server(self, server_id: str) -> Sequence[EventStream]:
        """All streams of a resource server, oldest first."""
        ...

    def entries(self, after: int, most: int) -> Sequence[Entry]:
        """What ended behind number ``after``, in order, ``most`` entries at most."""
        ...

    def newest(self) -> int:
        """The number of the newest entry."""
        ...

    def create(self, stream: EventStream, authorization: str, most: int, *, actor: str, now: Instant) -> None:
        """Add a stream, on record in the audit; ``Conflict`` where the resource server has ``most`` already."""
        ...

    def change(
        self,
        event: Event,
        change: Callable[[EventStream], EventStream],
        authorization: str | None = None,
        *,
        now: Instant,
    ) -> EventStream:
        """Change what is set of the stream that is the target of ``event``, which goes on record in the audit.

        ``change`` gets it as it is on record, locked; ``authorization`` of None leaves the header. ``NotFound`` when
        there is none.
        """
        ...

    def delete(self, stream_id: str, *, actor: str, now: Instant) -> None:
        """Delete a stream, on record in the audit; ``NotFound`` when there is none."""
        ...

    def settle(
        self, stream_id: str, change: Callable[[EventStream], EventStream], *, release: bool = False
    ) -> EventStream | None:
        """Change how far a stream is, which is no change of what is set; None when it is gone meanwhile.

        With ``release`` whoever claimed it to push lets go of it.
        """
        ...

    def any_pushed(self) -> bool:
        """Whether there is a stream that is pushed; one prepared statement."""
        ...

    def claim_due(self, now: Instant, until: Instant, most: int) -> Sequence[DuePush]:
        """Streams whose receivers are to be sent something now; no other process gets them before ``until``."""
        ...
