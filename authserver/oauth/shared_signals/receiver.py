"""Who calls the endpoints of Shared Signals, and the JSON it sends; the same for all of them.

The caller is a resource server, by its secret or by an assertion in the ``Authorization`` header. What it may ask for
in a minute is limited, since each change of a stream is on record in the audit for ever.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from authserver.actions.preconditions.calling_resource_server import (
    ProvenCaller,
    proven,
    require_resource_server,
)
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.oauth.client_authentication import RESOURCE_SERVER, invalid_client, presented_resource_server
from authserver.oauth.http import NO_STORE, BadRequest, Request, Response, dump, error_response
from authserver.oauth.throttle import Buckets, subject_key
from authserver.ports.changes import ChangeReads
from authserver.ports.errors import Conflict, Invalid, InvalidClient, NotFound, Refusal
from authserver.ports.hot_path import CallingResourceServer, HotPathReads
from authserver.ports.shared_signals.streams import EventStreams
from authserver.rules.facts import Instant
from authserver.rules.names import storable
from authserver.rules.presented_secret import PresentedSecret
from keys import strict_json

PER_MINUTE = 60
"""Requests about its streams that a resource server may send one process; polls are not counted."""

_REMEMBERED = 1000


class Caller(NamedTuple):
    """An authenticated resource server; ``epoch`` and ``last`` are those of the list of what ended.

    ``again`` authenticates it once more, for who waits: by one prepared statement.
    """

    server: CallingResourceServer
    now: Instant
    epoch: int
    last: int
    streams: EventStreams
    """Changes are on record as requested from the caller's address."""
    again: Callable[[], "Caller"]


_REFUSALS: Mapping[type[Refusal], tuple[str, int]] = {
    NotFound: ("not_found", 404),
    Conflict: ("conflict", 409),
    Invalid: ("invalid_request", 400),
}


class ReceiverAccess:
    """Authenticates receivers for all endpoints of Shared Signals."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        assertions: AssertionContext,
        streams: Callable[[str], EventStreams],
        changes: ChangeReads,
        issuer: str,
        pepper: bytes,
        per_minute: int = PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``streams`` makes, for the address of a caller, what records its changes as requested from there."""
        self.issuer, self._streams, self._hot_path, self._assertions = issuer, streams, hot_path, assertions
        self._changes, self._pepper, self._clock = changes, pepper, clock
        self._budgets, self._lock = Buckets(per_minute, _REMEMBERED), threading.Lock()

    def answer(self, request: Request, action: Callable[[Caller], Response], *, counted: bool = True) -> Response:
        """Authenticate the caller and answer it by ``action``; what that raises becomes an error response.

        Raises:
            BadRequest: two ways of authentication at once.
            Unavailable: the truth cannot be read or written.
        """
        presented = presented_resource_server(request, self._pepper)
        if isinstance(presented, Response):
            return presented
        log_fields = {"client": presented.client_id}
        try:
            who = proven(presented, hot_path=self._hot_path, assertions=self._assertions)
            caller = self._authenticate(who, request.peer)
            wait = self._take(presented.client_id) if counted else 0.0
            return _too_many(wait, presented.client_id) if wait else action(caller)
        except InvalidClient as error:
            return invalid_client(error.reason, presented.client_id, RESOURCE_SERVER)
        except (NotFound, Conflict, Invalid) as error:
            code, status = next(answer for kind, answer in _REFUSALS.items() if isinstance(error, kind))
            return error_response(code, str(error), status, log_fields=log_fields)

    def _authenticate(self, presented: PresentedSecret | ProvenCaller, peer: str) -> Caller:
        head = self._changes.head(presented.client_id)
        server = require_resource_server(presented, head.caller)
        streams = self._streams(peer)
        return Caller(server, head.now, head.epoch, head.last, streams, lambda: self._authenticate(presented, peer))

    def _take(self, client_id: str) -> float:
        with self._lock:
            return self._budgets.take(subject_key(client_id), self._clock())


def _too_many(wait: float, client_id: str) -> Response:
    log_fields = {"outcome": "throttled", "reason": "shared_signals", "client": client_id}
    text = f"Too many requests about streams; {PER_MINUTE} in a minute are answered."
    headers = (("Retry-After", str(math.ceil(wait))),)
    return error_response("temporarily_unavailable", text, 429, headers, log_fields)


def respond(caller: Caller, outcome: str, document: object = None, status: int = 200) -> Response:
    """A response with JSON, or without a body for None."""
    body = b"" if document is None else dump(document)
    return Response(status, body, headers=NO_STORE, log_fields={"outcome": outcome, "client": caller.server.client_id})


def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        BadRequest: there is none.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        msg = "Send a JSON object as application/json."
        raise BadRequest(msg, 415)
    try:
        found = strict_json.loads(request.body)
    except (ValueError, RecursionError) as error:
        msg = "The request body is no JSON in UTF-8, or names a member twice."
        raise BadRequest(msg) from error
    if not isinstance(found, dict):
        msg = "The request body is a JSON object."
        raise BadRequest(msg)
    return found


def member(found: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A member that is a text any database can hold; a missing one is ``default``.

    Raises:
        BadRequest: it is no text, or missing without a default.
    """
    value = found.get(name, default)
    if not isinstance(value, str) or not storable(value):
        msg = f"{name} is missing, or no text."
        raise BadRequest(msg)
    return value


def stream_id_in_query(request: Request) -> str:
    """``stream_id`` of the query; empty where the query is.

    Raises:
        BadRequest: there is something else in it.
    """
    pairs = parse_qsl(request.query, keep_blank_values=True)
    if not pairs:
        return ""
    if len(pairs) != 1 or pairs[0][0] != "stream_id":
        msg = "Send stream_id, once, and nothing else in the query."
        raise BadRequest(msg)
    return pairs[0][1]


def method_not_allowed(*allowed: str) -> Response:
    """405 with the methods there are (RFC 9110 §15.5.6)."""
    names = ", ".join(allowed)
    return error_response("invalid_request", f"Use {names}.", 405, (("Allow", names),))
