"""The verifier: what an API asks whether a call may be served."""

import asyncio
import contextlib
import hashlib
import math
import os
import random
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from resource_server.background import Background
from resource_server.bounded import Bounded
from resource_server.clocks import Clock, ServerTime, SystemClock
from resource_server.errors import ConfigurationError, InvalidToken, Refused, Unavailable
from resource_server.events import Events, Hook
from resource_server.feed import Feed
from resource_server.introspection import Exact, Introspector, Judge, Use
from resource_server.jose import parse, strict_object, verify
from resource_server.keys import KeySource
from resource_server.leased import Leased
from resource_server.options import Options
from resource_server.settings import Settings, from_environment
from resource_server.steps import Steps
from resource_server.token import Token, check_time, token_of
from resource_server.transport import Transport
from resource_server.usage import UsageReports

_ALL: "weakref.WeakSet[Core]" = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child: connections, threads and locks were the parent's; what it knew is asked for anew."""
    for each in list(_ALL):
        each.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _State:
    """Everything that changes; a forked child gets a new one."""

    def __init__(self, settings: Settings, clock: Clock, events: Events, transports: dict[str, Any]) -> None:
        self.time = ServerTime(clock)
        self.transport = Transport(settings, self.time, **transports)
        self.keys = KeySource(settings, clock, events)
        self.verified: Bounded[bytes, tuple[str, object, Token]] = Bounded(settings.cache_size)
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
        self._settings, self._clock = settings, clock
        self._threads.append(Background("resource-server-usage", self._report, self._until_report()))

    def begin(self) -> None:
        """Start the threads, unless they run."""
        for thread in self._threads:
            thread.ensure()

    def finish(self) -> None:
        """End the threads, report what is unreported, close the connections."""
        for thread in self._threads:
            thread.stop()
        if self.usage.waiting:
            with contextlib.suppress(Unavailable):
                self.transport.run(self.usage.flush())
        self.transport.close()

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


class Core:
    """What the verifier for threads and the one for asyncio share.

    Args:
        issuer: the server's issuer identifier, such as ``https://auth.example.com``.
        audience: the audience this API is registered with.
        credentials: the resource server's own client id and secret.
        mode: ``exact``, ``leased`` or ``feed``.
        max_staleness: S, in whole seconds.
        on_event: is told what happens (``resource_server.events``).
        clock: where the time comes from.
        transport, async_transport: httpx transports for special networks and tests.
        **options: the other fields of ``resource_server.settings.Settings``.

    Raises:
        ConfigurationError: with the sentence that mends it.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        credentials: tuple[str, str],
        *,
        on_event: Hook | None = None,
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
        async_transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None:
        try:
            self.settings = Settings(issuer=issuer, audience=audience, credentials=credentials, **options)
        except TypeError as error:
            raise ConfigurationError(f"{error}".partition("() ")[2] or str(error)) from None
        if on_event is not None and not callable(on_event):
            raise ConfigurationError("on_event is a function that takes one Event, or None")
        self._clock = clock or SystemClock()
        self._events = Events(on_event)
        self._transports = {"sync_transport": transport, "async_transport": async_transport}
        self._state = self._fresh()
        self._finalizer = weakref.finalize(self, self._state.finish)  # at the end of the process too
        _ALL.add(self)

    @classmethod
    def from_environment(cls, **more: Any) -> Self:
        """Make one from ``RESOURCE_SERVER_*`` variables (each also as ``*_FILE``); ``more`` overrides them."""
        return cls(**{**from_environment(), **more})

    def counts(self) -> dict[str, int]:
        """How often each event happened in this process."""
        return self._events.counts()

    def report_now(self) -> None:
        """Send the usage reports now instead of at their next turn; blocks.

        Raises:
            Unavailable: the server did not take them; they are kept.
        """
        state = self._state
        state.transport.run(state.usage.flush())

    def _fresh(self) -> _State:
        return _State(self.settings, self._clock, self._events, self._transports)

    def start_anew(self) -> None:
        """Forget everything but the settings; called in a forked child."""
        self._finalizer.detach()
        self._state = self._fresh()
        self._finalizer = weakref.finalize(self, self._state.finish)

    def _steps(self, text: str, roles: Iterable[str], method: str, route: str) -> Steps[Token]:
        state, wanted = self._state, (roles,) if isinstance(roles, str) else tuple(roles)
        state.begin()
        try:
            token, digest = yield from self._local(state, text)
            source = yield from state.judge.judge(Use(text, digest, token, method, route))
            token.require(*wanted)
        except Refused as refusal:
            self._events.tell("refused", reason=refusal.reason, status=refusal.status)
            raise
        self._events.tell("accepted", source=source)
        return token

    def _local(self, state: _State, text: str) -> Steps[tuple[Token, bytes]]:
        """What the token and the keys alone tell; a text seen before goes through all but the signature again."""
        settings = self.settings
        try:
            digest = hashlib.sha256(text.encode("ascii")).digest()
        except (UnicodeEncodeError, AttributeError):
            raise InvalidToken("shape") from None
        known = state.verified.get(digest)
        if known is not None:
            kid, key, token = known
            if (yield from state.keys.find(kid)) is key:
                check_time(token, self._now(state), settings)
                return token, digest
        parsed = parse(text, algorithms=settings.algorithms, typ=settings.token_typ)
        key = yield from state.keys.find(parsed.kid)
        verify(parsed, key)
        token = token_of(strict_object(parsed.payload), parsed.kid, settings)
        check_time(token, self._now(state), settings)
        state.verified.put(digest, (parsed.kid, key, token))
        return token, digest

    def _now(self, state: _State) -> float:
        """Seconds since the epoch; a wall clock behind the server's does not prolong a token's life."""
        wall, server = self._clock.wall(), state.time.now()
        return wall if server is None else max(wall, server)


class Verifier(Core):
    """Verifies tokens from any number of threads; make one per process, at start (see ``Core``)."""

    def verify(self, token: str, *, roles: Iterable[str] = (), method: str = "", route: str = "") -> Token:
        """Decide whether a call may be served.

        Args:
            token: the text after ``Bearer``.
            roles: what the call needs, all of it.
            method: HTTP method of the call, for the usage shown to the credential's owner.
            route: which API was called, as a pattern such as ``/things/{id}``, not a URL.

        Raises:
            InvalidToken: 401.
            InsufficientScope: 403.
            Unavailable: 503.
        """
        return self._state.transport.run(self._steps(token, roles, method, route))

    def close(self) -> None:
        """Report what is unreported, end the threads and close the connections; no call is let through after."""
        self._state.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class AsyncVerifier(Core):
    """Verifies tokens in event loops, any number of calls at once (see ``Core``)."""

    async def verify(self, token: str, *, roles: Iterable[str] = (), method: str = "", route: str = "") -> Token:
        """Decide whether a call may be served; as ``Verifier.verify``."""
        return await self._state.transport.arun(self._steps(token, roles, method, route))

    async def aclose(self) -> None:
        """Report what is unreported, end the threads and close the connections."""
        await self._state.transport.aclose()
        await asyncio.to_thread(self._state.finish)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.aclose()
