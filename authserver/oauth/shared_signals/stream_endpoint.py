"""/ssf/streams: a receiver makes, reads, sets and deletes its streams (SSF 1.0 §8.1.1).

POST creates, GET reads one (``?stream_id=``) or all, PATCH sets what is sent, PUT sets all of it, DELETE deletes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from authserver.actions.shared_signals import streams as stream_actions
from authserver.actions.shared_signals.streams import VERIFICATION_SECONDS, StreamSettings, UrlFault, events_delivered
from authserver.oauth.http import BadRequest, Request, Response
from authserver.oauth.shared_signals.metadata import POLL as POLL_PATH
from authserver.oauth.shared_signals.receiver import (
    Caller,
    ReceiverAccess,
    member,
    method_not_allowed,
    read_object,
    respond,
    stream_id_in_query,
)
from authserver.ports.shared_signals.streams import POLL, EventStream
from authserver.rules.shared_signals.events import EVENT_TYPES

_MOST_TYPES = 100


class StreamEndpoint:
    """Serves the streams of the calling resource server."""

    def __init__(self, access: ReceiverAccess, url_fault: UrlFault) -> None:
        """``url_fault`` says what is wrong with the address that a receiver wants to be pushed to."""
        self._access, self._url_fault = access, url_fault

    def __call__(self, request: Request) -> Response:
        """GET, POST, PATCH, PUT or DELETE."""
        actions: dict[str, Callable[[Request, Caller], Response]] = {
            "GET": self._read,
            "POST": self._create,
            "PATCH": self._patch,
            "PUT": self._replace,
            "DELETE": self._delete,
        }
        action = actions.get(request.method)
        if action is None:
            return method_not_allowed(*actions)
        return self._access.answer(request, lambda caller: action(request, caller))

    def _read(self, request: Request, caller: Caller) -> Response:
        stream_id, streams = stream_id_in_query(request), caller.streams
        if stream_id:
            found = stream_actions.find(streams, caller.server.id, stream_id)
            return respond(caller, "read", self._as_document(caller, found))
        return respond(
            caller, "read", [self._as_document(caller, each) for each in streams.of_server(caller.server.id)]
        )

    def _create(self, request: Request, caller: Caller) -> Response:
        wanted, who = _settings(read_object(request), StreamSettings()), caller.server.id
        stream = stream_actions.create(caller.streams, who, wanted, self._url_fault, actor=who, now=caller.now)
        return respond(caller, "created", self._as_document(caller, stream), 201)

    def _patch(self, request: Request, caller: Caller) -> Response:
        return self._set(request, caller, as_settings)

    def _replace(self, request: Request, caller: Caller) -> Response:
        return self._set(request, caller, lambda _stream: StreamSettings(authorization=""))

    def _set(self, request: Request, caller: Caller, before: Callable[[EventStream], StreamSettings]) -> Response:
        found, who = read_object(request), caller.server.id
        stream = stream_actions.configure(
            caller.streams,
            who,
            member(found, "stream_id"),
            lambda stream: _settings(found, before(stream)),
            self._url_fault,
            actor=who,
            now=caller.now,
        )
        return respond(caller, "edited", self._as_document(caller, stream))

    def _delete(self, request: Request, caller: Caller) -> Response:
        stream_id, who = stream_id_in_query(request), caller.server.id
        stream_actions.find(caller.streams, who, stream_id)
        caller.streams.delete(stream_id, actor=who, now=caller.now)
        return respond(caller, "deleted", status=204)

    def _as_document(self, caller: Caller, stream: EventStream) -> dict[str, object]:
        return configuration(stream, self._access.issuer, caller.server.client_id)


def configuration(stream: EventStream, issuer: str, audience: str) -> dict[str, object]:
    """A stream as its receiver sees it (SSF 1.0 §8.1.1); the header that is sent along is not told."""
    polled = stream.method == POLL
    document: dict[str, object] = {
        "stream_id": stream.id,
        "iss": issuer,
        "aud": audience,
        "delivery": {
            "method": stream.method,
            "endpoint_url": f"{issuer}{POLL_PATH}?stream_id={stream.id}" if polled else stream.endpoint_url,
        },
        "events_supported": list(EVENT_TYPES),
        "events_delivered": list(events_delivered(stream, EVENT_TYPES)),
        "min_verification_interval": VERIFICATION_SECONDS,
    }
    if stream.events_requested is not None:
        document["events_requested"] = list(stream.events_requested)
    if stream.description:
        document["description"] = stream.description
    return document


def as_settings(stream: EventStream) -> StreamSettings:
    """What was set of a stream."""
    return StreamSettings(stream.method, stream.endpoint_url, None, stream.events_requested, stream.description)


def _settings(found: Mapping[str, Any], before: StreamSettings) -> StreamSettings:
    """What a receiver sent, over what was set before; members that we set, and unknown ones, are passed over.

    Raises:
        BadRequest: a member has the wrong type.
    """
    method, url, header = before.method, before.endpoint_url, before.authorization
    delivery = found.get("delivery")
    if delivery is not None:
        if not isinstance(delivery, dict):
            msg = "delivery is an object with method and, for push, endpoint_url and authorization_header."
            raise BadRequest(msg)
        method, url = member(delivery, "method"), member(delivery, "endpoint_url", "")
        header = member(delivery, "authorization_header", "")
        if method == POLL:
            url = ""  # it is ours, and a receiver that sends back what it read sends it too
    requested = found.get("events_requested", before.events_requested)
    if requested is not None:
        if (
            not isinstance(requested, list | tuple)
            or len(requested) > _MOST_TYPES
            or not all(isinstance(each, str) and each.isascii() and each.isprintable() for each in requested)
        ):
            msg = f"events_requested is an array of at most {_MOST_TYPES} URIs of event types."
            raise BadRequest(msg)
        requested = tuple(dict.fromkeys(requested))
    return StreamSettings(method, url, header, requested, member(found, "description", before.description))
