"""Which events the receiver of a stream has still to get; at least once each, in the order of the list.

A stream keeps the number of the entry up to which everything is done, and the few ids behind it that were acknowledged
before others. Nothing is stored for an event that waits: it is made of its entry again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from authserver.rules.facts import Instant
from authserver.rules.shared_signals.events import (
    STREAM_UPDATED,
    VERIFICATION,
    Entry,
    SecurityEvent,
    events_of,
)

MOST_PENDING = 10
"""Messages about the stream itself that wait for the receiver; the oldest give way."""

ENABLED, PAUSED, DISABLED = STATUSES = ("enabled", "paused", "disabled")


@dataclass(frozen=True, slots=True)
class Message:
    """Something about the stream itself that its receiver is to be told: a verification, or its new status."""

    id: str
    at: Instant
    state: str | None = None
    """Of a verification, where the receiver sent one."""
    status: str = ""
    """The new status; empty for a verification."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is: entries up to ``cursor`` are done, and of later ones the events ``acknowledged``."""

    cursor: int
    acknowledged: frozenset[str] = frozenset()
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a receiver wants, and who it is: types of events, not these users, tokens of this audience."""

    issuer: str
    audience: str
    types: Collection[str]
    without: Collection[str] = frozenset()
    status: str = ENABLED


def wanted_events(entry: Entry, wanted: Wanted) -> list[SecurityEvent]:
    """The events of an entry that the receiver wants."""
    found = events_of(entry, wanted.issuer, wanted.audience)
    return [event for event in found if event.type in wanted.types and event.user not in wanted.without]


def waiting(
    progress: Progress, entries: Sequence[Entry], wanted: Wanted, stream_id: str, most: int
) -> tuple[list[SecurityEvent], bool]:
    """The next events, ``most`` of them, and whether there are more among ``entries``.

    A stream that is not enabled holds its events; what is to be said of the stream itself is sent all the same.
    """
    found = list(islice(_all_waiting(progress, entries, wanted, stream_id), most + 1))
    return found[:most], len(found) > most


def _all_waiting(
    progress: Progress, entries: Sequence[Entry], wanted: Wanted, stream_id: str
) -> Iterable[SecurityEvent]:
    subject = {"format": "opaque", "id": stream_id}
    for message in progress.messages:
        if message.status:
            reason = {"reason": message.reason} if message.reason else {}
            yield SecurityEvent(message.id, STREAM_UPDATED, subject, {"status": message.status, **reason})
        elif wanted.status == ENABLED:
            state = {} if message.state is None else {"state": message.state}
            yield SecurityEvent(message.id, VERIFICATION, subject, state)
    if wanted.status != ENABLED:
        return
    for entry in entries:
        for event in wanted_events(entry, wanted):
            if entry.seq > progress.cursor and event.id not in progress.acknowledged:
                yield event


def outstanding(progress: Progress, entries: Sequence[Entry], wanted: Wanted) -> frozenset[str]:
    """The ids of all events that the receiver has not acknowledged yet."""
    behind = (entry for entry in entries if entry.seq > progress.cursor)
    ids = {event.id for entry in behind for event in wanted_events(entry, wanted)} - progress.acknowledged
    return frozenset(ids) | {each.id for each in progress.messages}


def settled(progress: Progress, done: Collection[str], entries: Sequence[Entry], wanted: Wanted) -> Progress:
    """The progress when the events ``done`` were acknowledged; ids that are none of these entries count for nothing.

    Args:
        progress: as it is on record now, which may be further than when ``entries`` were read.
        done: ids of events.
        entries: in their order, from the one behind the cursor on.
        wanted: what the receiver wants.
    """
    messages = tuple(each for each in progress.messages if each.id not in done)
    cursor, acknowledged, reached = progress.cursor, set(progress.acknowledged), True
    for entry in entries:
        if entry.seq <= cursor:
            continue
        ids = {event.id for event in wanted_events(entry, wanted)}
        known = {each for each in ids if each in done or each in acknowledged}
        reached = reached and known == ids
        if reached:
            cursor = entry.seq
            acknowledged -= known
        else:
            acknowledged |= known
    kept = frozenset(each for each in acknowledged if int(each.partition(".")[0]) > cursor)
    return Progress(cursor, kept, messages)


def with_message(progress: Progress, message: Message) -> Progress:
    """The progress with one more message to tell."""
    return replace(progress, messages=(*progress.messages, message)[-MOST_PENDING:])
