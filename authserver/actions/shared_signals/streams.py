"""The streams of one resource server (SSF 1.0 §8.1): create, set, switch, choose subjects, ask for a verification.

Each change is on record in the audit; the resource server itself is the actor.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from authserver.audit import Event
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.ports.shared_signals.streams import METHODS, POLL, EventStream, EventStreams
from authserver.rules.facts import Instant
from authserver.rules.shared_signals.progress import (
    DISABLED,
    ENABLED,
    PAUSED,
    STATUSES,
    Message,
    Progress,
    with_message,
)

MOST_STREAMS = 5
MOST_SUBJECTS = 1000
VERIFICATION_SECONDS = 60
"""SSF 1.0 §8.1.1 ``min_verification_interval``: at most one verification in so many seconds."""

_MOST_TEXT = 200
_MOST_URL = 2000
_MOST_HEADER = 4000


class TooSoon(Exception):
    """A verification was asked for a moment ago; ``wait`` is in seconds."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"ask for one verification in {VERIFICATION_SECONDS} s")
        self.wait = wait


@dataclass(frozen=True, slots=True, repr=False)
class StreamSettings:
    """What a receiver sets of its stream; has no repr, for the header is a secret.

    ``authorization`` of None leaves the header as it is.
    """

    method: str = POLL
    endpoint_url: str = ""
    authorization: str | None = None
    events_requested: tuple[str, ...] | None = None
    description: str = ""


UrlFault = Callable[[str], str]
"""What is wrong with the address of a receiver, or empty."""


def find(streams: EventStreams, server_id: str, stream_id: str) -> EventStream:
    """One stream of a resource server.

    Raises:
        NotFound: it has no such stream.
    """
    for stream in streams.of_server(server_id):
        if stream.id == stream_id:
            return stream
    msg = "there is no such stream"
    raise NotFound(msg)


def create(
    streams: EventStreams, server_id: str, wanted: StreamSettings, url_fault: UrlFault, *, actor: str, now: Instant
) -> EventStream:
    """Create a stream; it tells what ends from now on.

    Raises:
        Invalid: the settings cannot be.
        Conflict: the resource server has as many as it may.
    """
    _require(wanted, url_fault)
    stream = _set(EventStream(secrets.token_hex(12), server_id, wanted.method, now, Progress(0)), wanted)
    header = wanted.authorization or ""
    streams.create(replace(stream, authorized=bool(header)), header, MOST_STREAMS, actor=actor, now=now)
    return stream


def configure(
    streams: EventStreams,
    server_id: str,
    stream_id: str,
    change: Callable[[EventStream], StreamSettings],
    url_fault: UrlFault,
    *,
    actor: str,
    now: Instant,
) -> EventStream:
    """Set a stream anew; ``change`` makes of what it is what it is to be. What changes nothing is not on record.

    Raises:
        NotFound: there is no such stream.
        Invalid: the settings cannot be.
    """
    before = find(streams, server_id, stream_id)
    wanted = change(before)
    _require(wanted, url_fault)

    def changed(stream: EventStream) -> EventStream:
        # Another address is another receiver: what failed before says nothing about it.
        return replace(_set(stream, change(stream)), failures=0, next_push_at=0)

    header = "" if wanted.method == POLL else wanted.authorization
    if _set(before, wanted) == before and not header and (header is None or not before.authorized):
        return before
    return streams.change(Event("event_stream.edited", actor, stream_id), changed, header, now=now)


def _set(stream: EventStream, wanted: StreamSettings) -> EventStream:
    return replace(
        stream,
        method=wanted.method,
        endpoint_url=wanted.endpoint_url,
        events_requested=wanted.events_requested,
        description=wanted.description,
    )


def _require(wanted: StreamSettings, url_fault: UrlFault) -> None:
    fault = ""
    if wanted.method not in METHODS:
        fault = f"delivery.method is one of {', '.join(METHODS)}"
    elif wanted.method == POLL and (wanted.endpoint_url or wanted.authorization):
        fault = "a stream that is polled gets its endpoint_url from us, and sends no authorization_header"
    elif len(wanted.endpoint_url) > _MOST_URL or len(wanted.authorization or "") > _MOST_HEADER:
        fault = f"endpoint_url has {_MOST_URL} characters at most, authorization_header {_MOST_HEADER}"
    elif any(not " " <= char <= "~" for char in wanted.authorization or ""):
        fault = "authorization_header is one line of printable ASCII"
    elif len(wanted.description) > _MOST_TEXT or not wanted.description.isprintable():
        fault = f"description is one line of {_MOST_TEXT} characters at most"
    elif wanted.method != POLL:
        fault = url_fault(wanted.endpoint_url)
    if fault:
        raise Invalid(fault)


def set_status(
    streams: EventStreams,
    server_id: str,
    stream_id: str,
    status: str,
    reason: str,
    *,
    by_receiver: bool,
    actor: str,
    now: Instant,
) -> EventStream:
    """Enable, pause or disable a stream (SSF 1.0 §8.1.2).

    What ends while it is paused is told later; what ends while it is disabled is not. A receiver is told of what it did
    not do itself (§8.1.5).

    Raises:
        NotFound: there is no such stream.
        Invalid: no such status.
    """
    find(streams, server_id, stream_id)
    if status not in STATUSES:
        msg = f"status is one of {', '.join(STATUSES)}"
        raise Invalid(msg)
    if len(reason) > _MOST_TEXT or not reason.isprintable():
        msg = f"reason is one line of {_MOST_TEXT} characters at most"
        raise Invalid(msg)
    newest = streams.newest()

    def changed(stream: EventStream) -> EventStream:
        if stream.status == status and stream.reason == reason:
            msg = f"the stream is {status} already"
            raise Conflict(msg)
        progress = stream.progress
        if stream.status == DISABLED and status != DISABLED:
            progress = Progress(max(progress.cursor, newest), messages=progress.messages)
        if not by_receiver:
            progress = with_message(progress, Message(_message_id(), now, status=status, reason=reason))
        return replace(stream, status=status, reason=reason, progress=progress, failures=0, next_push_at=0)

    return streams.change(_EVENTS[status](actor, stream_id), changed, now=now)


_EVENTS: Mapping[str, Callable[[str, str], Event]] = {
    ENABLED: lambda actor, stream_id: Event("event_stream.enabled", actor, stream_id),
    PAUSED: lambda actor, stream_id: Event("event_stream.paused", actor, stream_id),
    DISABLED: lambda actor, stream_id: Event("event_stream.disabled", actor, stream_id),
}


def choose_subject(
    streams: EventStreams, server_id: str, stream_id: str, user: str, *, include: bool, actor: str, now: Instant
) -> None:
    """Leave the events of a user out of a stream, or include them again; all are in it at first (§8.1.3).

    Raises:
        NotFound: there is no such stream.
        Conflict: so many users were removed that a stream for some is no longer what is wanted.
    """
    stream = find(streams, server_id, stream_id)
    if include == (user not in stream.without):
        return

    def changed(stream: EventStream) -> EventStream:
        without = stream.without - {user} if include else stream.without | {user}
        if len(without) > MOST_SUBJECTS:
            msg = f"{MOST_SUBJECTS} users may be removed from a stream; leave the others out on your side"
            raise Conflict(msg)
        return replace(stream, without=without)

    added = Event("event_stream.subject_added", actor, stream_id)
    removed = Event("event_stream.subject_removed", actor, stream_id)
    streams.change(added if include else removed, changed, now=now)


def request_verification(
    streams: EventStreams, server_id: str, stream_id: str, state: str | None, *, now: Instant
) -> None:
    """Send a verification event next, with the receiver's own ``state`` (§8.1.4).

    Raises:
        NotFound: there is no such stream.
        Conflict: the stream is not enabled, so nothing would be sent.
        TooSoon: one was asked for a moment ago.
    """
    stream = find(streams, server_id, stream_id)
    if stream.status != ENABLED:
        msg = f"the stream is {stream.status}; enable it first"
        raise Conflict(msg)

    def verified(stream: EventStream) -> EventStream:
        before = stream.verified_at
        if before is not None and now < before + VERIFICATION_SECONDS:
            raise TooSoon(before + VERIFICATION_SECONDS - now)
        message = Message(_message_id(), now, state=state)
        return replace(stream, verified_at=now, progress=with_message(stream.progress, message), next_push_at=0)

    streams.settle(stream_id, verified)


def _message_id() -> str:
    return f"m.{secrets.token_hex(8)}"


def events_delivered(stream: EventStream, supported: Sequence[str]) -> tuple[str, ...]:
    """SSF 1.0 §8.1.1: what is both requested and supported."""
    requested = stream.events_requested
    return tuple(each for each in supported if requested is None or each in requested)
