"""POST introspect (RFC 7662, RFC 9701) and POST revoke (RFC 7009): the doors that take a token in.

The request alone is looked at first (``invalid_request``), then the caller
(``invalid_client``), then whether a token was sent, then the token. A token that
is not active is no error; why it is not is for the log alone. An answer counts
for the moment it is given: resource servers should not keep it (RFC 7662 §4).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from authserver.actions.end_token import revoke
from authserver.actions.introspect import FOREIGN_TOKEN, UNKNOWN_TOKEN, Answer, introspect
from authserver.actions.issue_token import authenticate
from authserver.oauth.client_auth import RESOURCE_SERVER, NoCredentials, invalid_client, presented, unauthenticated
from authserver.oauth.reading import REMEMBERED, Known, TokenBook
from authserver.oauth.request import NO_STORE, Ask, Readings, Reply, mark_of, read_form, refusal
from authserver.oauth.throttle import Strike
from authserver.ports import ActivityClock, HotReads, InvalidClient, NotYours, Sessions
from authserver.rules.claimant import Claimant, NotWhole, claimant
from authserver.rules.secret_format import CREDENTIAL_PREFIX, RESOURCE_SERVER_PREFIX

SignAnswer = Callable[[dict[str, Any], str], str]
"""Claims and algorithm -> the text of a signed answer."""

INACTIVE = b'{"active":false}'
SIGNED = "application/token-introspection+jwt"
_METHOD = re.compile(r"[A-Za-z-]{1,16}")
_MAX_ROUTE = 200
_PROBING = frozenset({UNKNOWN_TOKEN, FOREIGN_TOKEN})


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """What one request asks, read from its bytes alone; ``known`` is None for a text that is no token of ours."""

    who: Claimant
    known: Known | None
    method: str
    route: str


class IntrospectionDoor:
    """RFC 7662 §2; the signed form when ``Accept`` asks for it (RFC 9701 §4).

    APIs send the same bytes again for as long as a token is used. How such a request reads is
    remembered, under a hash of them; whether caller and token are good is judged each time.
    """

    def __init__(
        self,
        *,
        hot: HotReads,
        sessions: Sessions,
        activity: ActivityClock,
        book: TokenBook,
        sign: SignAnswer,
        issuer: str,
        pepper: bytes,
    ) -> None:
        self._hot, self._sessions, self._activity = hot, sessions, activity
        self._book, self._sign, self._issuer, self._pepper = book, sign, issuer, pepper
        self._read_before: Readings[Question] = Readings(REMEMBERED)

    def door(self, ask: Ask) -> Reply:
        """POST introspect."""
        mark = mark_of(ask)
        before = self._read_before.get(mark)
        asked = before or self._read(ask)
        if isinstance(asked, Reply):
            return asked
        try:
            answer = introspect(
                asked.who,
                asked.known.start if asked.known else None,
                hot=self._hot,
                sessions=self._sessions,
                activity=self._activity,
                method=asked.method,
                route=asked.route,
                peer=ask.peer,
            )
        except InvalidClient as error:
            if before is not None:
                self._read(ask)  # so that a secret that was right once is refused no faster than any other (INV-29)
            return invalid_client(error.reason, asked.who.client_id, RESOURCE_SERVER)
        if answer.idle_expires_at is not None and before is None:
            self._read_before.keep(mark, asked)
        return self._told(answer, asked.known, asked.who.client_id, ask.headers.get("accept", ""))

    def _read(self, ask: Ask) -> Question | Reply:
        form = read_form(ask)
        try:
            who = presented(ask, form)
            asking = claimant(who.client_id, who.secret, prefix=RESOURCE_SERVER_PREFIX, pepper=self._pepper)
        except NoCredentials as error:
            return unauthenticated(error)
        except NotWhole as error:
            return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
        text = form.get("token")
        known = self._book.look_up(text) if text else None
        if text is None:
            return self._without_token(asking)
        return Question(asking, known, _method(form.get("http_method", "")), _route(form.get("http_route", "")))

    def _without_token(self, who: Claimant) -> Reply:
        """Who calls is looked at first also here."""
        try:
            introspect(who, None, hot=self._hot, sessions=self._sessions, activity=self._activity)
        except InvalidClient as error:
            return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
        return refusal("invalid_request", "token is missing.", note={"client": who.client_id})

    def _told(self, answer: Answer, known: Known | None, caller: str, accept: str) -> Reply:
        until = answer.idle_expires_at
        note = {"outcome": "inactive" if until is None else "active", "reason": answer.reason, "client": caller}
        strike = Strike("token", caller) if answer.reason in _PROBING else None
        if not (accept and wants_signed(accept)):
            body = INACTIVE if known is None or until is None else known.answer(until)
            return Reply(200, body, note=note, strike=strike)
        claims = {
            "iss": self._issuer,
            # RFC 9701 §5: it names the caller, by its audience as in the RFC's example and by the id it
            # authenticated with, which is what oauth4webapi and openid-client compare.
            "aud": [answer.audience, caller],
            "iat": answer.now,
            "token_introspection": {"active": False} if known is None or until is None else known.members(until),
        }
        return Reply(200, self._sign(claims, answer.alg).encode(), SIGNED, NO_STORE, note, strike)


class RevocationDoor:
    """RFC 7009 §2: a client ends its own token."""

    def __init__(self, *, hot: HotReads, sessions: Sessions, book: TokenBook, pepper: bytes) -> None:
        self._hot, self._sessions, self._book, self._pepper = hot, sessions, book, pepper

    def door(self, ask: Ask) -> Reply:
        """POST revoke."""
        form = read_form(ask)
        try:
            who = presented(ask, form)
            asking = claimant(who.client_id, who.secret, prefix=CREDENTIAL_PREFIX, pepper=self._pepper)
            proven = authenticate(asking, None, hot=self._hot)
            if "token" not in form:
                return refusal("invalid_request", "token is missing.", note={"client": who.client_id})
            known = self._book.look_up(form["token"])
            start = known.start if known else None
            revoke(proven.facts.client_id, start, proven.facts.now, sessions=self._sessions)
        except NoCredentials as error:
            return unauthenticated(error)
        except (InvalidClient, NotWhole) as error:
            return invalid_client(error.reason, who.client_id)
        except NotYours as error:
            return refusal("invalid_grant", str(error), note={"reason": FOREIGN_TOKEN, "client": who.client_id})
        return Reply(200, b"{}", note={"outcome": "revoked", "client": who.client_id})


def wants_signed(accept: str) -> bool:
    """Whether ``Accept`` prefers the signed answer (RFC 9110 §12.5.1); it must be named, a wildcard is not enough."""
    weights: dict[str, float] = {}
    for piece in accept.lower().split(","):
        media, *parameters = (part.strip() for part in piece.split(";"))
        weights[media] = _weight(parameters)
    signed = weights.get(SIGNED, 0.0)
    plain = weights.get("application/json", 0.0)
    return signed > 0 and signed >= plain


def _weight(parameters: list[str]) -> float:
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def _method(text: str) -> str:
    return text.upper() if _METHOD.fullmatch(text) else ""


def _route(text: str) -> str:
    """A route is a pattern, not a URL: what follows ``?`` or ``#`` may be anybody's secret and is not kept."""
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    return "".join(char for char in path if char.isprintable())[:_MAX_ROUTE]
