"""The mutable state of a verifier: caches, threads, connections."""

import contextlib
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt

from resource_server.background import Background
from resource_server.clocks import Clock, ServerTime
from resource_server.dpop import Nonces, SeenProofs
from resource_server.errors import Unavailable
from resource_server.events import Events
from resource_server.keys import KeySource
from resource_server.lru_cache import LruCache
from resource_server.modes.feed import Feed
from resource_server.modes.introspection import Exact, Introspector, Judge
from resource_server.modes.leased import Leased
from resource_server.modes.usage import UsageReports
from resource_server.network.transport import Transport
from resource_server.settings import Settings
from resource_server.token import Token


@dataclass(slots=True)
class Known:
    """A token whose signature was verified, and until when its last acceptance is valid.

    Attributes:
        token: what it says.
        key: verified it.
        view: the keys as they were then.
        generation: of the judge, from before it was accepted.
        until: elapsed time.
    """

    token: Token
    key: jwt.PyJWK
    key_set: object = None
    generation: int = -1
    until: float = 0.0


class State:
    """The mutable state; a forked child gets a new one."""

    def __init__(self, settings: Settings, clock: Clock, events: Events, transports: dict[str, Any]) -> None:
        self._settings, self._clock, self._events = settings, clock, events
        self._closed = False
        # What each call reads, without a look-up through other objects.
        self._elapsed, self._wall, self._clock_skew = clock.elapsed, clock.wall, settings.clock_skew
        self.time = ServerTime(clock)
        self.transport = Transport(settings, self.time, **transports)
        self.keys = KeySource(settings, clock, events)
        self.verified: LruCache[bytes, Known] = LruCache(settings.cache_size)
        self.seen_proofs = SeenProofs()
        seconds = settings.nonce_seconds
        self.nonces = Nonces(settings.credentials[1], seconds) if seconds else None
        introspector = Introspector(settings, clock, events, self.time)
        self.usage = UsageReports(settings, clock, events, self.time)
        self.feed: Feed | None = None
        self._threads: list[Background] = []
        if settings.mode == "exact":
            self.judge: Judge = Exact(introspector)
            return
        if settings.mode == "leased":
            leased = Leased(settings, clock, events, introspector, self.usage)
            self.usage.dead = leased.ended
            self.judge = leased
        else:
            self.feed = Feed(
                settings, clock, events, self.time, keys=self.keys, introspector=introspector, usage=self.usage
            )
            self.usage.dead, self.usage.confirmed = self.feed.ended, self.feed.used
            self.judge = self.feed
            self._threads.append(Background("resource-server-feed", self._follow))
        self._threads.append(Background("resource-server-usage", self._report, self._until_report()))

    def start(self) -> None:
        """Start the threads, unless they run.

        Raises:
            Unavailable: the verifier was closed.
        """
        if self._closed:
            raise Unavailable("closed", "The verifier is closed.")
        for thread in self._threads:
            thread.ensure()

    def close(self) -> None:
        """End the threads, report what is unreported, close the connections."""
        self._closed = True
        self.verified = LruCache(0)
        for thread in self._threads:
            thread.stop()
        if self.usage.waiting:
            with contextlib.suppress(Unavailable):
                self.transport.run(self.usage.flush())
        self.transport.close()

    def from_cache(self, text: str, roles: Iterable[str], method: str, route: str) -> Token | None:
        """The token, if cached facts alone accept it; None where a request or a signature check is needed.

        All checks but the signature are made, on the clocks as they are now.
        """
        try:
            known = self.verified.peek(sha256(text.encode("ascii")).digest())
        except (UnicodeEncodeError, AttributeError):
            return None
        elapsed = self._elapsed()
        if (
            known is None
            or elapsed >= known.until
            or known.generation != self.judge.generation
            or known.key_set is not self.keys.key_set
        ):
            return None
        token, now, wall = known.token, self.time.ahead + elapsed, self._wall()
        issued_at, expires_at, skew = token.issued_at, token.expires_at, self._clock_skew
        if now >= expires_at or wall >= expires_at or (issued_at > now + skew and issued_at > wall + skew):
            return None
        if roles and not token.roles.issuperset(roles):
            return None
        at = issued_at if now < issued_at else int(now)
        self.usage.record_at((token.jti, method, route), at)
        events = self._events
        if events.hooked:
            events.emit("accepted", source="feed" if self.feed else "lease")
        else:
            events.accepted += 1
        return token

    def accepted(self, known: Known, generation: int, until: float) -> None:
        """Cache until when an acceptance is valid; a refusal meanwhile has changed the generation."""
        key_set = self.keys.key_set
        known.key_set, known.generation = key_set, generation
        is_bound = known.token.jkt or known.token.x5t  # what it is bound to is checked with each call
        is_unusable = self.time.now() is None or is_bound
        known.until = 0.0 if key_set is None or is_unusable else min(until, key_set.refresh_at)

    def _follow(self) -> float:
        return self.transport.run(self.feed.follow()) if self.feed else math.inf

    def _report(self) -> float:
        try:
            self.transport.run(self.usage.flush())
        except Unavailable:
            return max(self.usage.backoff.next_try - self._clock.elapsed(), 0.05)
        return self._until_report()

    def _until_report(self) -> float:
        return self._settings.report_interval * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
