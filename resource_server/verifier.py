"""The verifier: an API calls it to decide whether a request may be served."""

import asyncio
import hashlib
import os
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from resource_server.certificate import check_certificate
from resource_server.clocks import Clock, SystemClock
from resource_server.dpop import Proof, check_binding
from resource_server.errors import ConfigurationError, InvalidToken, Refused
from resource_server.events import Events, Hook
from resource_server.jose import parse, strict_object, verify
from resource_server.modes.introspection import Use
from resource_server.network.steps import Steps
from resource_server.options import Options
from resource_server.settings import Settings, from_environment
from resource_server.state import Known, State
from resource_server.token import Token, check_time, token_of

_ALL: "weakref.WeakSet[Core]" = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child: drop the parent's connections, threads, locks and caches."""
    for each in list(_ALL):
        each.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Core:
    """What the verifier for threads and the one for asyncio share.

    Args:
        issuer: the server's issuer identifier, such as ``https://auth.example.com``.
        audience: the audience this API is registered with.
        credentials: the resource server's own client id and secret.
        mode: ``exact``, ``leased`` or ``feed``.
        max_staleness: S, in whole seconds.
        on_event: is called with each event (``resource_server.events``).
        clock: source of time.
        transport, async_transport: httpx transports for special networks and tests.
        **options: the other fields of ``resource_server.settings.Settings``.

    Raises:
        ConfigurationError: says how to repair it.
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
        self._state = self._new_state()
        self._finalizer = weakref.finalize(self, self._state.close)  # at the end of the process too
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

    def _new_state(self) -> State:
        return State(self.settings, self._clock, self._events, self._transports)

    def reset_after_fork(self) -> None:
        """Drop everything but the settings; called in a forked child."""
        self._finalizer.detach()
        self._state = self._new_state()
        self._finalizer = weakref.finalize(self, self._state.close)

    def _steps(
        self, text: str, roles: tuple[str, ...], method: str, route: str, *, proof: Proof | None, certificate: str
    ) -> Steps[Token]:
        state = self._state
        try:
            state.start()
            generation = state.judge.generation
            known, digest = yield from self._local(state, text)
            check_certificate(known.token, certificate)
            check_binding(known.token, text, proof, self._now(state), seen=state.seen_proofs, nonces=state.nonces)
            use = Use(text, digest, known.token, method, route)
            source = yield from state.judge.judge(use)
            if source != "stale":
                state.accepted(known, generation, state.judge.trusted(use))
            known.token.require(*roles)
        except Refused as refusal:
            self._events.emit("refused", reason=refusal.reason, status=refusal.status)
            raise
        self._events.emit("accepted", source=source)
        return known.token

    def _local(self, state: State, text: str) -> Steps[tuple[Known, bytes]]:
        """Check the token against the keys; a text seen before skips only the signature."""
        settings = self.settings
        try:
            digest = hashlib.sha256(text.encode("ascii")).digest()
        except (UnicodeEncodeError, AttributeError):
            raise InvalidToken("shape") from None
        known = state.verified.get(digest)
        if known is None or (yield from state.keys.find(known.token.kid)) is not known.key:
            parsed = parse(text, algorithms=settings.algorithms, typ=settings.token_typ)
            key = yield from state.keys.find(parsed.kid)
            verify(parsed, key)
            known = Known(token_of(strict_object(parsed.payload), parsed.kid, settings), key)
        check_time(known.token, self._now(state), settings)
        state.verified.put(digest, known)
        return known, digest

    def _now(self, state: State) -> float:
        """Seconds since the epoch; a wall clock behind the server's does not prolong a token's life."""
        wall, server = self._clock.wall(), state.time.now()
        return wall if server is None else max(wall, server)


class Verifier(Core):
    """Verifies tokens from any number of threads; make one per process, at start (see ``Core``)."""

    def verify(
        self,
        token: str,
        *,
        roles: Iterable[str] = (),
        method: str = "",
        route: str = "",
        proof: Proof | None = None,
        certificate: str = "",
    ) -> Token:
        """Decide whether a call may be served.

        Args:
            token: the text after ``Bearer`` or ``DPoP``.
            roles: what the call needs, all of it.
            method: HTTP method of the call, for the usage shown to the credential's owner.
            route: which API was called, as a pattern such as ``/things/{id}``, not a URL.
            proof: what came with ``Authorization: DPoP`` (RFC 9449 §7.1); None for ``Bearer``.
            certificate: the TLS certificate of the call, as PEM or in any form of ``resource_server.certificate``; ""
                for none. A token that is bound to one (RFC 8705 §3) needs it.

        Raises:
            InvalidToken: 401.
            InvalidProof: 401.
            InsufficientScope: 403.
            Unavailable: 503.
        """
        needed = roles if type(roles) is tuple else (roles,) if isinstance(roles, str) else tuple(roles)
        state = self._state
        found = state.from_cache(token, needed, method, route) if proof is None else None
        if found is not None:
            return found
        return state.transport.run(self._steps(token, needed, method, route, proof=proof, certificate=certificate))

    def close(self) -> None:
        """Report what is unreported, end the threads and close the connections; no call is let through after."""
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class AsyncVerifier(Core):
    """Verifies tokens in event loops, any number of calls at once (see ``Core``)."""

    async def verify(
        self,
        token: str,
        *,
        roles: Iterable[str] = (),
        method: str = "",
        route: str = "",
        proof: Proof | None = None,
        certificate: str = "",
    ) -> Token:
        """Decide whether a call may be served; as ``Verifier.verify``."""
        needed = roles if type(roles) is tuple else (roles,) if isinstance(roles, str) else tuple(roles)
        state = self._state
        found = state.from_cache(token, needed, method, route) if proof is None else None
        if found is not None:
            return found
        return await state.transport.arun(
            self._steps(token, needed, method, route, proof=proof, certificate=certificate)
        )

    async def aclose(self) -> None:
        """Report what is unreported, end the threads and close the connections."""
        await self._state.transport.aclose()
        await asyncio.to_thread(self._state.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.aclose()
