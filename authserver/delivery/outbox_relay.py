"""One round of telling: collect, raise, send, forget. One node at a time does it, by a lease in the database.

A node that loses its lease while it sends may send beside the next one: the receiver sees the same ``webhook-id``.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from authserver.actions.events.chain_watch import ChainWatch
from authserver.actions.events.unused import PART, disable_unused
from authserver.delivery.mail_sender import MailSender
from authserver.delivery.webhook_sender import WebhookSender
from authserver.ports.events.outbox import OutboxState
from authserver.ports.store import Store
from authserver.rules.facts import Instant, Span
from authserver.telemetry.logs import logger

LEASE_SECONDS: Final[Span] = 30
"""After so long without a sign of life of the node that holds the lease another one takes it."""

_PROLONG_SECONDS: Final[Span] = 5

SWEEP_SECONDS: Final[Span] = 60
"""How often is looked what follows from time alone."""

UNUSED_SECONDS: Final[Span] = 3600
"""How often is looked whom nobody uses: it reads every credential."""

KEEP_SECONDS: Final[Span] = 30 * 24 * 3600
"""How long an event and what became of it stays to be looked at, and to be replayed."""

_PART: Final = 500
_FORGET_EVERY: Final[Span] = 600
_WALK_EVERY: Final[Span] = 10
_SKIP_EVERY: Final[Span] = 60

_QUIET_WALK_EVERY: Final[Span] = 60
_QUIET_LEASE_SECONDS: Final[Span] = 90
"""While nobody is told of events the chain is walked all the same, slower, by a lease that outlasts the pause."""


class SecretNetworks(Protocol):
    """From which networks secrets are used."""

    def flush(self) -> int:
        """Keep what is new and raise its events."""
        ...


@dataclass(slots=True)
class OutboxRelay:
    """What one process does of it, once a second."""

    store: Store
    sender: WebhookSender
    networks: SecretNetworks
    now: Callable[[], Instant]
    mailer: MailSender | None
    mail: int
    """Whom the configuration mails, as ``rules/events/mail`` has it."""
    watch: Callable[[bool], None]
    """Told whether anybody would be told of a new network."""
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    _chain: ChainWatch = field(init=False)
    _last: dict[str, Instant] = field(default_factory=dict)
    _fault: str = ""

    def __post_init__(self) -> None:
        self._chain = ChainWatch(self.store.accounts, self.store.audit_reads, self.store.outbox)

    def once(self) -> int:
        """One round; how many deliveries were attempted."""
        now, state = self.now(), self.store.outbox.state()
        if state.mail != self.mail:
            self.store.outbox.mail_to(self.mail)
        has_receiver = state.webhooks > 0 or self.mail > 0
        self.watch(has_receiver)
        if not has_receiver and not state.unused_days:
            if state.behind and self._is_time("skip", now, _SKIP_EVERY):
                self.store.outbox.skip()
            if self._is_time("quiet walk", now, _QUIET_WALK_EVERY) and self._leased(state, now, _QUIET_LEASE_SECONDS):
                self._walk(now, has_receiver=False)
            return 0
        self.networks.flush()
        if not self._leased(state, now):
            return 0
        self._raise(state, now, has_receiver=has_receiver)
        mailed = self.mailer.send_due(self.now) if self.mailer is not None else 0
        return mailed + self.sender.send_due(self.now)

    def _leased(self, state: OutboxState, now: Instant, seconds: Span = LEASE_SECONDS) -> bool:
        """Whether this process holds the lease; it is prolonged now and then, so that most of it is left."""
        mine = state.holder == self.holder
        if mine and state.lease_until > now + seconds - _PROLONG_SECONDS:
            return True
        if not mine and state.lease_until > now:
            return False
        return self.store.outbox.acquire(self.holder, now, now + seconds)

    def _raise(self, state: OutboxState, now: Instant, *, has_receiver: bool) -> None:
        outbox = self.store.outbox
        while state.behind and outbox.collect(_PART) == _PART:
            pass
        if now >= state.swept_at + SWEEP_SECONDS:
            outbox.sweep_expiries(now)
        if state.unused_days and self._is_time("unused", now, UNUSED_SECONDS):
            self.store.unused.sweep(now)
            while disable_unused(self.store.accounts, self.store.unused, now) == PART:
                pass
        if self._is_time("walk", now, _WALK_EVERY):
            self._walk(now, has_receiver=has_receiver)
        if self._is_time("forget", now, _FORGET_EVERY):
            outbox.forget(now - KEEP_SECONDS, _PART)

    def _walk(self, now: Instant, *, has_receiver: bool) -> None:
        fault = self._chain.walk(now, has_receiver=has_receiver)
        if fault and fault != self._fault:
            logger().error("audit_chain_broken", reason=fault)
        self._fault = fault

    def _is_time(self, name: str, now: Instant, every: Span) -> bool:
        last = self._last.get(name)
        if last is not None and last <= now < last + every:
            return False
        self._last[name] = now
        return True
