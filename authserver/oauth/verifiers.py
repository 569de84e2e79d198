"""Who fetches the JWKS: a resource server by Basic credentials or its ``jwks_client``, else a program by its name.

The answer is the same for all, so nothing is refused here and nothing is learned: a
wrong secret counts as anonymous, and what cannot be looked up now is not counted.
"""

import hmac
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from urllib.parse import parse_qsl

from authserver.oauth.client_auth import NoCredentials, presented
from authserver.oauth.request import Ask, Malformed
from authserver.ports import Clock, HotReads, Refusal, Unavailable
from authserver.rules.facts import Instant
from authserver.rules.names import CLIENT_ID
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX, keyed_hash, well_formed
from keys.keyring import PUBLISHED, KeyInfo

JWKS_CLIENT = re.compile(r"[A-Za-z0-9_-]{22}")
_PROGRAM = re.compile(r"[!-~]{1,64}")
_MAX_QUERY = 256


class Book(Protocol):
    """Where fetches are noted."""

    def named(self, token: str) -> str | None:
        """The id of the resource server with this token."""
        ...

    def fetched(self, server_id: str, at: Instant, kids: Sequence[str]) -> None:
        """Note a resource server."""
        ...

    def fetched_by_agent(self, agent: str, at: Instant) -> None:
        """Note an anonymous one."""
        ...


class Readers:
    """Notes each fetch of the JWKS."""

    def __init__(self, *, hot: HotReads, book: Book, pepper: bytes, clock: Clock) -> None:
        self._hot, self._book, self._pepper, self._clock = hot, book, pepper, clock

    def saw(self, ask: Ask, keys: Sequence[KeyInfo]) -> None:
        """Note who was given ``keys``; never raises what a caller could bring about."""
        with suppress(Unavailable, Refusal):
            now = self._clock.now()
            server = self._authenticated(ask) or self._registered(ask)
            if server is None:
                found = _PROGRAM.match(ask.headers.get("user-agent", ""))
                self._book.fetched_by_agent(found.group() if found else "unnamed", now)
            else:
                self._book.fetched(server, now, [key.kid for key in keys if key.state in PUBLISHED])

    def _authenticated(self, ask: Ask) -> str | None:
        if not ask.headers.get("authorization", ""):
            return None
        try:
            who = presented(ask, {})
        except (NoCredentials, Malformed):
            return None
        if not CLIENT_ID.fullmatch(who.client_id) or not well_formed(who.secret, RESOURCE_SERVER_PREFIX):
            return None
        caller = self._hot.introspection_facts(who.client_id, None).caller
        if caller is None or caller.disabled:
            return None
        return caller.id if hmac.compare_digest(caller.secret_hash, keyed_hash(self._pepper, who.secret)) else None

    def _registered(self, ask: Ask) -> str | None:
        if not ask.query or len(ask.query) > _MAX_QUERY:
            return None
        tokens = [value for name, value in parse_qsl(ask.query) if name == "jwks_client"]
        return self._book.named(tokens[0]) if len(tokens) == 1 and JWKS_CLIENT.fullmatch(tokens[0]) else None
