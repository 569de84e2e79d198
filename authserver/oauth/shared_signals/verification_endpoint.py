"""POST /ssf/verify: a receiver asks for a verification event, to see that its stream works (SSF 1.0 §8.1.4)."""

from authserver.actions.shared_signals.streams import TooSoon, request_verification
from authserver.oauth.http import BadRequest, Request, Response, error_response
from authserver.oauth.shared_signals.receiver import Caller, ReceiverAccess, member, read_object, respond

_MOST_STATE = 1000


class VerificationEndpoint:
    """Sends a verification event with the next delivery."""

    def __init__(self, access: ReceiverAccess) -> None:
        self._access = access

    def __call__(self, request: Request) -> Response:
        """POST."""
        return self._access.answer(request, lambda caller: self._verify(request, caller))

    def _verify(self, request: Request, caller: Caller) -> Response:
        found = read_object(request)
        stream_id, state = member(found, "stream_id"), member(found, "state") if "state" in found else None
        if state is not None and len(state) > _MOST_STATE:
            msg = f"state has {_MOST_STATE} characters at most."
            raise BadRequest(msg)
        try:
            request_verification(caller.streams, caller.server.id, stream_id, state, now=caller.now)
        except TooSoon as error:
            log_fields = {"outcome": "throttled", "reason": "verification", "client": caller.server.client_id}
            headers = (("Retry-After", str(error.wait)),)
            return error_response("temporarily_unavailable", f"{error}.", 429, headers, log_fields)
        return respond(caller, "verification", status=204)
