"""POST /ssf/poll: a receiver fetches its events and acknowledges those of before (RFC 8936 §2).

The body has ``maxEvents``, ``returnImmediately``, ``ack`` and ``setErrs``, all optional; the answer ``sets`` by ``jti``
and ``moreAvailable``. An event that was not acknowledged is sent again with the next poll. Unless ``returnImmediately``
the answer waits for an event, as a long poll of the change feed does and for as long.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from authserver.actions.shared_signals import streams as stream_actions
from authserver.actions.shared_signals.delivery import (
    MOST_AT_ONCE,
    Answers,
    Receiver,
    Sets,
    acknowledge,
    next_sets,
)
from authserver.oauth.changes_endpoint import MAX_LONG_POLL_SECONDS, POLL_SECONDS
from authserver.oauth.http import BadRequest, Request, Response
from authserver.oauth.shared_signals.receiver import (
    Caller,
    ReceiverAccess,
    read_object,
    respond,
    stream_id_in_query,
)
from authserver.ports.errors import Conflict, NotFound
from authserver.ports.shared_signals.streams import POLL

Sign = Callable[[dict[str, Any], str, str], str]
"""Claims, algorithm, ``typ`` -> the text of a JWT."""

TYP = "secevent+jwt"
MOST_ACKNOWLEDGED = 1000

_LOOKS = 5
"""Of so many looks for something that ended, one is also for a message about the stream itself."""

_SHOWN = 180


class _Poll(NamedTuple):
    most: int
    at_once: bool
    answers: Answers


class PollEndpoint:
    """Serves the events of one stream of the calling resource server."""

    def __init__(
        self,
        access: ReceiverAccess,
        *,
        sign: Sign,
        count: Callable[[str, str, int], None],
        seats: threading.BoundedSemaphore | None = None,
    ) -> None:
        """Make the endpoint.

        Args:
            access: authenticates receivers.
            sign: makes a JWT of claims.
            count: counts events by delivery and outcome.
            seats: a request that waits takes one of them.
        """
        self._access, self._sign, self._count, self._seats = access, sign, count, seats

    def __call__(self, request: Request) -> Response:
        """POST."""
        return self._access.answer(request, lambda caller: self._poll(request, caller), counted=False)

    def _poll(self, request: Request, caller: Caller) -> Response:
        poll, streams = _read(request), caller.streams
        stream = stream_actions.find(streams, caller.server.id, stream_id_in_query(request))
        if stream.method != POLL:
            msg = "this stream is pushed; set its delivery to urn:ietf:rfc:8936 to poll it"
            raise Conflict(msg)
        asking = Receiver(stream, caller.server, self._access.issuer, caller.epoch)
        receiver = acknowledge(asking, poll.answers, streams=streams, now=caller.now)
        self._count("poll", "acknowledged", len(asking.event_ids(poll.answers.acknowledged)))
        self._count("poll", "refused", len(asking.event_ids(poll.answers.refused)))
        if receiver is None:
            msg = "there is no such stream"
            raise NotFound(msg)
        sets = Sets({}, more=False)
        if poll.most:
            sets = next_sets(receiver, poll.most, streams=streams, now=caller.now)
            if not sets.claims and not poll.at_once:
                sets = self._wait(receiver, caller, poll)
        document: dict[str, object] = {
            "sets": {jti: self._sign(dict(claims), caller.server.alg, TYP) for jti, claims in sets.claims.items()}
        }
        if sets.more:
            document["moreAvailable"] = True
        return respond(caller, "events" if sets.claims else "no_events", document)

    def _wait(self, receiver: Receiver, caller: Caller, poll: _Poll) -> Sets:
        """What there is as soon as there is something, or nothing in the end."""
        nothing = Sets({}, more=False)
        if self._seats is None or not self._seats.acquire(blocking=False):
            return nothing
        try:
            until, looks, last = time.monotonic() + MAX_LONG_POLL_SECONDS, 0, caller.last
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(POLL_SECONDS, left))
                looks += 1
                caller = caller.again()
                if caller.last == last and looks % _LOOKS:
                    continue
                last = caller.last
                stream = stream_actions.find(caller.streams, caller.server.id, receiver.stream.id)
                receiver = replace(receiver, stream=stream, caller=caller.server)
                sets = next_sets(receiver, poll.most, streams=caller.streams, now=caller.now)
                if sets.claims:
                    return sets
        finally:
            self._seats.release()
        return nothing


def _read(request: Request) -> _Poll:
    """RFC 8936 §2.2.

    Raises:
        BadRequest: a member has the wrong type.
    """
    found = read_object(request)
    most, at_once = found.get("maxEvents", MOST_AT_ONCE), found.get("returnImmediately", False)
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        msg = "maxEvents is a whole number, 0 or more."
        raise BadRequest(msg)
    if not isinstance(at_once, bool):
        msg = "returnImmediately is true or false."
        raise BadRequest(msg)
    acknowledged, refused = found.get("ack", []), found.get("setErrs", {})
    if not isinstance(acknowledged, list) or not all(isinstance(each, str) for each in acknowledged):
        msg = "ack is an array of the jti of events."
        raise BadRequest(msg)
    if not isinstance(refused, dict) or not all(isinstance(each, dict) for each in refused.values()):
        msg = "setErrs is an object with an object of err and description for each jti."
        raise BadRequest(msg)
    if len(acknowledged) + len(refused) > MOST_ACKNOWLEDGED:
        msg = f"Acknowledge {MOST_ACKNOWLEDGED} events at most in one request."
        raise BadRequest(msg)
    errors = {jti: error_text(error.get("err"), error.get("description")) for jti, error in refused.items()}
    return _Poll(min(most, MOST_AT_ONCE), at_once, Answers(acknowledged, errors))


def error_text(code: object, description: object) -> str:
    """What a receiver says is wrong with an event, as one short line for the console."""
    parts = [part for part in (code, description) if isinstance(part, str)]
    text = "".join(char if char.isprintable() and char.isascii() else "?" for char in ": ".join(parts))
    return (text or "refused without a reason")[:_SHOWN]
