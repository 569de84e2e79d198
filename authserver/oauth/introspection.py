"""POST introspect (RFC 7662, RFC 9701) and POST revoke (RFC 7009): the doors that take a token in."""

from collections.abc import Callable, Mapping
from typing import Any

from authserver.actions.end_token import revoke
from authserver.actions.introspect import Answer, introspect
from authserver.actions.issue_token import authenticate
from authserver.oauth.client_auth import NoCredentials, invalid_client, presented
from authserver.oauth.request import NO_STORE, Ask, Malformed, Reply, json_reply, read_form, refusal
from authserver.ports import ActivityClock, HotReads, InvalidClient, NotYours, Sessions

Read = Callable[[str], tuple[str, Mapping[str, Any]] | None]
SignAnswer = Callable[[dict[str, Any]], str]

INACTIVE = b'{"active":false}'
SIGNED = "application/token-introspection+jwt"
_MAX_ROUTE = 200


class IntrospectionDoor:
    """RFC 7662 §2; the signed form when ``Accept`` asks for it (RFC 9701 §4)."""

    def __init__(
        self,
        *,
        hot: HotReads,
        sessions: Sessions,
        activity: ActivityClock,
        read: Read,
        sign: SignAnswer,
        issuer: str,
        pepper: bytes,
    ) -> None:
        self._hot, self._sessions, self._activity = hot, sessions, activity
        self._read, self._sign, self._issuer, self._pepper = read, sign, issuer, pepper

    def door(self, ask: Ask) -> Reply:
        """POST introspect."""
        try:
            form = read_form(ask)
            who = presented(ask, form)
            if "token" not in form:
                return refusal("invalid_request", "token is missing.")
            answer = introspect(
                who.client_id,
                who.secret,
                self._read(form["token"]),
                issuer=self._issuer,
                hot=self._hot,
                sessions=self._sessions,
                activity=self._activity,
                pepper=self._pepper,
                method=_clean(form.get("http_method", ""), 16).upper(),
                route=_clean(form.get("http_route", ""), _MAX_ROUTE),
            )
        except Malformed as error:
            return refusal("invalid_request", str(error), error.status)
        except (NoCredentials, InvalidClient):
            return invalid_client("Unknown resource server or wrong secret.")
        return self._told(answer, ask)

    def _told(self, answer: Answer, ask: Ask) -> Reply:
        note = {"outcome": "active" if answer.members else "inactive", "reason": answer.reason or ""}
        if SIGNED in ask.headers.get("accept", ""):
            claims = {
                "iss": self._issuer,
                "aud": answer.audience,
                "iat": answer.now,
                "token_introspection": answer.members or {"active": False},
            }
            return Reply(200, self._sign(claims).encode(), SIGNED, NO_STORE, note)
        if answer.members is None:
            return Reply(200, INACTIVE, note=note)
        return Reply(200, json_reply(answer.members).body, note=note)


class RevocationDoor:
    """RFC 7009 §2: a client ends its own token."""

    def __init__(self, *, hot: HotReads, sessions: Sessions, read: Read, issuer: str, pepper: bytes) -> None:
        self._hot, self._sessions, self._read, self._issuer, self._pepper = hot, sessions, read, issuer, pepper

    def door(self, ask: Ask) -> Reply:
        """POST revoke."""
        try:
            form = read_form(ask)
            who = presented(ask, form)
            if "token" not in form:
                return refusal("invalid_request", "token is missing.")
            proven = authenticate(who.client_id, who.secret, None, hot=self._hot, pepper=self._pepper)
            revoke(
                proven.facts.client_id,
                self._read(form["token"]),
                proven.facts.now,
                issuer=self._issuer,
                sessions=self._sessions,
            )
        except Malformed as error:
            return refusal("invalid_request", str(error), error.status)
        except (NoCredentials, InvalidClient):
            return invalid_client()
        except NotYours as error:
            return refusal("invalid_grant", str(error))
        return Reply(200, b"{}", note={"outcome": "revoked"})


def _clean(text: str, limit: int) -> str:
    return "".join(char for char in text if char.isprintable())[:limit]
