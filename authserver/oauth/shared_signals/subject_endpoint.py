"""/ssf/subjects/add and /ssf/subjects/remove: whose events a stream tells (SSF 1.0 §8.1.3).

Every user's events are told at first, so a receiver removes those it does not want, and may add them again. A user is
named as in tokens: ``{"format": "iss_sub", "iss": our issuer, "sub": the id}`` (RFC 9493 §3.2.3).
"""

from typing import Any

from authserver.actions.shared_signals.streams import choose_subject
from authserver.oauth.http import BadRequest, Request, Response
from authserver.oauth.shared_signals.receiver import Caller, ReceiverAccess, member, read_object, respond
from authserver.ports.errors import NotFound

_MOST_ID = 64


class SubjectEndpoint:
    """Adds subjects, or removes them."""

    def __init__(self, access: ReceiverAccess, *, include: bool) -> None:
        """``include``: whether events of the subjects it is sent are in the stream from then on, or no longer."""
        self._access, self._include = access, include

    def __call__(self, request: Request) -> Response:
        """POST."""
        return self._access.answer(request, lambda caller: self._choose(request, caller))

    def _choose(self, request: Request, caller: Caller) -> Response:
        found, who = read_object(request), caller.server.id
        choose_subject(
            caller.streams,
            who,
            member(found, "stream_id"),
            self._user(found.get("subject")),
            include=self._include,
            actor=who,
            now=caller.now,
        )
        return respond(caller, "added", {}) if self._include else respond(caller, "removed", status=204)

    def _user(self, subject: Any) -> str:
        if not isinstance(subject, dict) or subject.get("format") != "iss_sub":
            msg = 'subject is a user, as {"format": "iss_sub", "iss": ..., "sub": ...}; no other can be chosen.'
            raise BadRequest(msg)
        user = member(subject, "sub")
        if member(subject, "iss") != self._access.issuer or not 0 < len(user) <= _MOST_ID:
            msg = "no such subject; iss is our issuer, and sub the id of a user as tokens name it"
            raise NotFound(msg)
        return user
