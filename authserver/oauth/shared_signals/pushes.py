"""The thread of a serving process that pushes security events (RFC 8935).

Once a second it claims the streams that have something to tell, so that of all processes and nodes one sends. A few
threads send, each one stream in its order; the database is used by this thread alone. What a receiver accepted is noted
behind it: a process that ends between leaves the event to be sent again, with the same ``jti``.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from authserver.actions.shared_signals.delivery import Answers, Receiver, next_sets, note_push
from authserver.oauth.shared_signals.poll_endpoint import TYP, Sign
from authserver.ports.errors import Refusal, Unavailable
from authserver.ports.shared_signals.streams import EventStreams, Outcome
from authserver.rules.facts import Instant
from authserver.telemetry.logs import logger

SECONDS = 1.0
IDLE_SECONDS = 5.0
"""Between two looks where there is no stream to push."""

AT_ONCE = 4
"""Streams that are pushed at a time."""

BUSY_SECONDS = 0.1
"""Between two looks where something is under way."""

MOST_IN_A_ROUND = 100
ROUND_SECONDS = 10.0
"""No further push is begun in a round after so long."""

CLAIM_SECONDS = 40
"""For how long a claim holds: longer than a round may take."""

Send = Callable[[str, str, str], Outcome]
"""Address, event, ``Authorization`` -> outcome."""


class _Round(NamedTuple):
    """One stream being pushed; ``sent`` gets the outcome of each event in turn, until one fails."""

    receiver: Receiver
    future: "Future[list[tuple[str, Outcome]]]"


class Pushes:
    """Pushes what the streams have to tell."""

    def __init__(
        self,
        *,
        streams: EventStreams,
        send: Send,
        sign: Sign,
        issuer: str,
        epoch: Callable[[], int],
        now: Callable[[], Instant],
        count: Callable[[str, str, int], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Make the thread, not started yet.

        Args:
            streams: says what is due, and keeps what became of it.
            send: pushes one event.
            sign: makes a JWT of claims.
            issuer: our issuer identifier.
            epoch: reads the epoch of the database.
            now: the clock that nodes share.
            count: counts events by delivery and outcome.
            jitter: from 0 to 1, at random.
        """
        self._streams, self._send, self._sign, self._issuer = streams, send, sign, issuer
        self._epoch, self._now, self._count, self._jitter = epoch, now, count, jitter
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, "push")
        self._rounds: dict[str, _Round] = {}
        self._thread = threading.Thread(target=self._run, name="pushes", daemon=True)
        self._failing = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is sent again later, by whoever is there then."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(SECONDS + 1)

    def _run(self) -> None:
        wait = SECONDS
        while not self._stop.wait(wait):
            reason = ""
            try:
                pushed = self.step()
                wait = BUSY_SECONDS if self._rounds else SECONDS if pushed else IDLE_SECONDS
            except (Unavailable, Refusal) as error:
                reason, wait = str(error), IDLE_SECONDS
            except Exception as error:  # noqa: BLE001 - the next second may do better
                reason, wait = type(error).__name__, IDLE_SECONDS
            if reason and not self._failing:
                logger().warning("pushes_failed", reason=reason)
            self._failing = bool(reason)

    def step(self) -> bool:
        """Note what was sent, and begin with what is due; False where there is no stream to push at all."""
        self._note()
        free = AT_ONCE - len(self._rounds)
        if free <= 0:
            return True
        if not self._streams.any_pushed():
            return bool(self._rounds)
        now = self._now()
        for due in self._streams.claim_due(now, now + CLAIM_SECONDS, free):
            if due.stream.id in self._rounds:
                continue  # it took longer than a claim holds
            receiver = Receiver(due.stream, due.receiver, self._issuer, self._epoch())
            sets = next_sets(receiver, MOST_IN_A_ROUND, streams=self._streams, now=now)
            signed = [(jti, self._sign(dict(claims), due.receiver.alg, TYP)) for jti, claims in sets.claims.items()]
            future = self._pool.submit(self._deliver, due.stream.endpoint_url, due.authorization, signed)
            self._rounds[due.stream.id] = _Round(receiver, future)
        return True

    def drain(self, seconds: float) -> None:
        """Wait until what is under way is sent, and note it."""
        for each in list(self._rounds.values()):
            each.future.exception(seconds)
        self._note()

    def _deliver(self, url: str, authorization: str, signed: Sequence[tuple[str, Any]]) -> list[tuple[str, Outcome]]:
        outcomes: list[tuple[str, Outcome]] = []
        until = time.monotonic() + ROUND_SECONDS
        for jti, event in signed:
            if self._stop.is_set() or time.monotonic() > until:
                break
            outcome = self._send(url, event, authorization)
            outcomes.append((jti, outcome))
            if not (outcome.accepted or outcome.final):
                break  # in order: what comes behind waits
        return outcomes

    def _note(self) -> None:
        for stream_id, (receiver, future) in list(self._rounds.items()):
            if not future.done():
                continue
            del self._rounds[stream_id]
            outcomes = [] if future.cancelled() or future.exception() else future.result()
            accepted = [jti for jti, outcome in outcomes if outcome.accepted]
            refused = {jti: outcome.error for jti, outcome in outcomes if outcome.final}
            failure = next((each.error for _, each in outcomes if not (each.accepted or each.final)), "")
            if future.done() and not future.cancelled() and future.exception():
                failure = "internal"
            note_push(
                receiver,
                Answers(accepted, refused),
                failure,
                streams=self._streams,
                now=self._now(),
                jitter=self._jitter(),
            )
            for outcome, number in (("acknowledged", len(accepted)), ("refused", len(refused))):
                self._count("push", outcome, number)
            if failure:
                self._count("push", "failed", 1)
            if failure or refused:
                logger().warning(
                    "security_event_not_taken",
                    stream=stream_id,
                    client=receiver.caller.client_id,
                    reason=failure or next(iter(refused.values())),
                    failures=receiver.stream.failures + bool(failure),
                )
