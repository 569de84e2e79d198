"""Who fetches the JWKS: a resource server by Basic credentials or its ``jwks_client``, else a program by its name.

The answer is the same for all, so nothing is refused here and nothing is learned: a
wrong secret counts as anonymous, and what cannot be looked up now is not counted.
"""

import hmac
import re
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import parse_qsl

from authserver.oauth.client_authentication import NoCredentials, presented_credentials
from authserver.oauth.http import BadRequest, Request
from authserver.ports.clock import Clock
from authserver.ports.errors import Refusal, Unavailable
from authserver.ports.hot_path import HotPathReads
from authserver.rules.facts import Instant
from authserver.rules.names import CLIENT_ID
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX, keyed_hash, well_formed
from keys.keyring import PUBLISHED, KeyInfo

JWKS_CLIENT = re.compile(r"[A-Za-z0-9_-]{22}")
_PROGRAM = re.compile(r"[!-~]{1,64}")
_MAX_QUERY = 256


class FetchRecorder(Protocol):
    """Where fetches are recorded."""

    def named(self, token: str) -> str | None:
        """The id of the resource server with this token."""
        ...

    def fetched(self, server_id: str, at: Instant, kids: Sequence[str]) -> None:
        """Record a fetch by a resource server."""
        ...

    def fetched_by_agent(self, agent: str, at: Instant) -> None:
        """Record an anonymous fetch."""
        ...


class JwksFetchObserver:
    """Records each fetch of the JWKS."""

    def __init__(self, *, hot_path: HotPathReads, recorder: FetchRecorder, pepper: bytes, clock: Clock) -> None:
        self._hot_path, self._recorder, self._pepper, self._clock = hot_path, recorder, pepper, clock

    def observe(self, request: Request, keys: Sequence[KeyInfo]) -> None:
        """Record who was given ``keys``; never raises what a caller could bring about."""
        try:
            now = self._clock.now()
            server = self._authenticated(request) if request.headers.get("authorization", "") else None
            if server is None and request.query:
                server = self._registered(request.query)
            if server is None:
                found = _PROGRAM.match(request.headers.get("user-agent", ""))
                self._recorder.fetched_by_agent(found.group() if found else "unnamed", now)
            else:
                self._recorder.fetched(server, now, [key.kid for key in keys if key.state in PUBLISHED])
        except (Unavailable, Refusal):
            return

    def _authenticated(self, request: Request) -> str | None:
        try:
            presented = presented_credentials(request, {})
        except (NoCredentials, BadRequest):
            return None
        if not CLIENT_ID.fullmatch(presented.client_id) or not well_formed(presented.secret, RESOURCE_SERVER_PREFIX):
            return None
        caller = self._hot_path.introspection_facts(presented.client_id, None).caller
        if caller is None or caller.disabled:
            return None
        return (
            caller.id if hmac.compare_digest(caller.secret_hash, keyed_hash(self._pepper, presented.secret)) else None
        )

    def _registered(self, query: str) -> str | None:
        if len(query) > _MAX_QUERY:
            return None
        tokens = [value for name, value in parse_qsl(query) if name == "jwks_client"]
        return self._recorder.named(tokens[0]) if len(tokens) == 1 and JWKS_CLIENT.fullmatch(tokens[0]) else None
