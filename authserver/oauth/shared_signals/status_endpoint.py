"""/ssf/status: a receiver reads the status of a stream, or enables, pauses or disables it (SSF 1.0 §8.1.2)."""

from authserver.actions.shared_signals import streams as stream_actions
from authserver.oauth.http import Request, Response
from authserver.oauth.shared_signals.receiver import (
    Caller,
    ReceiverAccess,
    member,
    method_not_allowed,
    read_object,
    respond,
    stream_id_in_query,
)
from authserver.ports.errors import Conflict
from authserver.ports.shared_signals.streams import EventStream


class StatusEndpoint:
    """Serves the status of a stream of the calling resource server."""

    def __init__(self, access: ReceiverAccess) -> None:
        self._access = access

    def __call__(self, request: Request) -> Response:
        """GET or POST."""
        if request.method == "GET":
            return self._access.answer(request, lambda caller: self._read(request, caller))
        if request.method == "POST":
            return self._access.answer(request, lambda caller: self._set(request, caller))
        return method_not_allowed("GET", "POST")

    def _read(self, request: Request, caller: Caller) -> Response:
        stream = stream_actions.find(caller.streams, caller.server.id, stream_id_in_query(request))
        return respond(caller, "read", _as_document(stream))

    def _set(self, request: Request, caller: Caller) -> Response:
        found, streams, who = read_object(request), caller.streams, caller.server.id
        stream_id, status = member(found, "stream_id"), member(found, "status")
        try:
            stream = stream_actions.set_status(
                streams,
                who,
                stream_id,
                status,
                member(found, "reason", ""),
                by_receiver=True,
                actor=who,
                now=caller.now,
            )
        except Conflict:  # it has that status already, which is what was wanted
            stream = stream_actions.find(streams, who, stream_id)
        return respond(caller, "status", _as_document(stream))


def _as_document(stream: EventStream) -> dict[str, object]:
    document: dict[str, object] = {"stream_id": stream.id, "status": stream.status}
    return {**document, "reason": stream.reason} if stream.reason else document
