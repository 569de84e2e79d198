"""What a receiver gets next, and what it acknowledged: RFC 8936 by poll, RFC 8935 by push; at least once each.

The events are made of the list of what ended, which is the change feed's too; a stream only keeps how far it is.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from authserver.actions.shared_signals.streams import events_delivered
from authserver.ports.hot_path import CallingResourceServer
from authserver.ports.shared_signals.streams import EventStream, EventStreams
from authserver.rules.facts import Instant
from authserver.rules.shared_signals.events import EVENT_TYPES, Entry, SecurityEvent
from authserver.rules.shared_signals.progress import Wanted, outstanding, settled, waiting

WINDOW = 500
"""Entries that are looked at in one go; what is acknowledged out of order stays within it."""

MOST_AT_ONCE = 100
"""Events in one answer to a poll."""

LONGEST_WAIT = 3600
"""Seconds between two pushes to a receiver that fails."""


class Sets(NamedTuple):
    """Claims of Security Event Tokens (RFC 8417 §2.2) by their ``jti``, in order, and whether there are more."""

    claims: Mapping[str, Mapping[str, Any]]
    more: bool


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets the events of a stream, and from whom."""

    stream: EventStream
    caller: CallingResourceServer
    issuer: str
    epoch: int

    @property
    def wanted(self) -> Wanted:
        """What the receiver wants."""
        stream, types = self.stream, events_delivered(self.stream, EVENT_TYPES)
        return Wanted(self.issuer, self.caller.audience, types, stream.without, stream.status)

    def jti(self, event_id: str) -> str:
        """The ``jti`` of an event; with the epoch, since a restored database counts its entries again."""
        return f"{self.stream.id}.{self.epoch}.{event_id}"

    def event_ids(self, jtis: Collection[str]) -> frozenset[str]:
        """The ids of events among what a receiver sent back; others are passed over."""
        prefix = self.jti("")
        return frozenset(each.removeprefix(prefix) for each in jtis if each.startswith(prefix))


def next_sets(receiver: Receiver, most: int, *, streams: EventStreams, now: Instant) -> Sets:
    """The next events of a stream. Where a long stretch of the list concerns nobody, it is passed by on record."""
    while True:
        progress = receiver.stream.progress
        entries = streams.entries(progress.cursor, WINDOW)
        found, more = waiting(progress, entries, receiver.wanted, receiver.stream.id, most)
        if found or len(entries) < WINDOW:
            claims = {receiver.jti(each.id): _claims(each, receiver, now) for each in found}
            return Sets(claims, more or len(entries) == WINDOW)
        passed = _settle(receiver, frozenset(), entries, streams)
        if passed is None or passed.progress.cursor == progress.cursor:
            return Sets({}, more=False)
        receiver = replace(receiver, stream=passed)


def _claims(event: SecurityEvent, receiver: Receiver, now: Instant) -> dict[str, Any]:
    """RFC 8417 §2.2, SSF 1.0 §4: ``sub_id`` and neither ``sub`` nor ``exp``.

    The audience is the resource server's client id and not that of its tokens, so that no verifier of access tokens
    could take one for the other even if it did not look at ``typ``.
    """
    return {
        "iss": receiver.issuer,
        "jti": receiver.jti(event.id),
        "iat": now,
        "aud": receiver.caller.client_id,
        "sub_id": event.subject,
        "events": {event.type: event.members},
    }


class Answers(NamedTuple):
    """What a receiver said of events, by their ``jti``: acknowledged, or refused with a reason."""

    acknowledged: Collection[str] = ()
    refused: Mapping[str, str] = {}


def acknowledge(receiver: Receiver, answers: Answers, *, streams: EventStreams, now: Instant) -> Receiver | None:
    """Note what a receiver has got; what it refused will not be sent again either (RFC 8936 §2.4).

    Returns:
        The receiver with its stream as it stands, or None when the stream is gone.
    """
    done = receiver.event_ids((*answers.acknowledged, *answers.refused))
    if not done:
        return receiver
    refused = next(iter(answers.refused.values()), "")

    def with_outcome(stream: EventStream, newly: frozenset[str]) -> EventStream:
        stream = _delivered(stream, newly & receiver.event_ids(answers.acknowledged), now)
        return replace(stream, last_error=refused, last_error_at=now) if answers.refused else stream

    entries = streams.entries(receiver.stream.progress.cursor, WINDOW)
    stream = _settle(receiver, done, entries, streams, with_outcome)
    return None if stream is None else replace(receiver, stream=stream)


def note_push(
    receiver: Receiver,
    answers: Answers,
    failure: str,
    *,
    streams: EventStreams,
    now: Instant,
    jitter: float,
) -> None:
    """Note the outcome of a round of pushes, and when the next one is due.

    Args:
        receiver: who got them.
        answers: what it acknowledged or refused for good.
        failure: why the round ended early; empty when it did not.
        streams: where it is written.
        now: the instant.
        jitter: from 0 to 1, at random: many streams that fail at once do not come back at once.
    """
    done = receiver.event_ids((*answers.acknowledged, *answers.refused))
    error = failure or next(iter(answers.refused.values()), "")

    def with_outcome(stream: EventStream, newly: frozenset[str]) -> EventStream:
        failures = stream.failures + 1 if failure else 0
        wait = min(2**failures, LONGEST_WAIT) if failures else 0
        stream = replace(stream, failures=failures, next_push_at=now + round(wait * (1 + jitter) / 2))
        stream = _delivered(stream, newly & receiver.event_ids(answers.acknowledged), now)
        return replace(stream, last_error=error, last_error_at=now) if error else stream

    entries = streams.entries(receiver.stream.progress.cursor, WINDOW)
    _settle(receiver, done, entries, streams, with_outcome, release=True)


def _delivered(stream: EventStream, events: Collection[str], now: Instant) -> EventStream:
    if not events:
        return stream
    return replace(stream, delivered=stream.delivered + len(events), delivered_at=now)


def _settle(
    receiver: Receiver,
    done: Collection[str],
    entries: Sequence[Entry],
    streams: EventStreams,
    also: Callable[[EventStream, frozenset[str]], EventStream] = lambda stream, _newly: stream,
    *,
    release: bool = False,
) -> EventStream | None:
    """Note that the events ``done`` are; ``also`` gets the stream, and those of them that were not done before."""

    def change(stream: EventStream) -> EventStream:
        wanted = replace(receiver, stream=stream).wanted
        newly = outstanding(stream.progress, entries, wanted) & frozenset(done)
        return also(replace(stream, progress=settled(stream.progress, done, entries, wanted)), newly)

    return streams.settle(receiver.stream.id, change, release=release)
