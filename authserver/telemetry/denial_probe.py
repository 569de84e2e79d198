"""Measures, on each serving process, how long after the commit of an end its tokens are refused here.

The probe follows the list of what ended and, for a token that a new entry ended, asks what an introspection asks:
the same statement on a connection of its own, and the same rules. Nothing is used up by that and nothing is written.
The instant of the end and the instant of the refusal are both the database's clock, so the clocks of the nodes do not
matter. The end is stamped just before its commit and the probe looks every ``LOOK_SECONDS``, so what it measures can
only be longer than what a caller waits for: an introspection asks by itself, and never for the probe.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from authserver.ports.changes import Kill, KillReads
from authserver.ports.errors import Unavailable
from authserver.ports.hot_path import HotPathReads, TokenKeys
from authserver.rules.claims import SessionStart
from authserver.rules.liveness import decide
from authserver.telemetry.logs import logger

LOOK_SECONDS = 0.5
MOST_AT_ONCE = 20
"""How many ends are followed at a time: a thousand sessions that end together are one event for this."""

_GIVEN_UP_MS = 600_000

REFUSED, STILL_ACTIVE, UNAVAILABLE = "refused", "still_active", "unavailable"


@dataclass(slots=True)
class _Awaited:
    """An end whose refusal was not seen yet."""

    kill: Kill
    token: SessionStart
    found_active: bool = False


class DenialProbe:
    """One thread for each serving process; ``look`` is one round of it."""

    def __init__(
        self,
        reads: KillReads,
        hot_path: HotPathReads,
        denied: Callable[[float], None],
        count: Callable[[str], None],
    ) -> None:
        """Take where ends are read, what introspections read, and what is told seconds and outcomes."""
        self._reads, self._hot_path, self._denied, self._count = reads, hot_path, denied, count
        self._after: int | None = None
        self._awaited: list[_Awaited] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="denial-probe", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when what is under way is done."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def look(self) -> None:
        """Follow what ended since the last time, and ask again for what was not refused yet."""
        try:
            self._after, kills = self._reads.kills(self._after, MOST_AT_ONCE)
            for kill in kills:
                token = self._reads.token_ended_by(kill)
                # One change may be several entries: a deleted credential ends its secrets as well.
                if token is not None and all(each.token.jti != token.jti for each in self._awaited):
                    self._awaited.append(_Awaited(kill, token))
            if self._awaited:
                self._ask()
        except Unavailable:
            # The node answers 503 to everybody meanwhile; what ended is measured once it can read again.
            self._count(UNAVAILABLE)

    def _ask(self) -> None:
        refused: list[_Awaited] = []
        active: list[_Awaited] = []
        for awaited in self._awaited:
            (refused if self._refuses(awaited.token) else active).append(awaited)
        now = self._reads.clock_ms()
        for awaited in refused:
            self._count(REFUSED)
            self._denied(max(0, now - awaited.kill.stamped_ms) / 1000)
        for awaited in active:
            if not awaited.found_active:
                awaited.found_active = True
                self._count(STILL_ACTIVE)
                logger().error("ended_token_is_active", kind=awaited.kill.kind, seq=awaited.kill.seq)
        self._awaited = [each for each in active if now - each.kill.stamped_ms < _GIVEN_UP_MS]

    def _refuses(self, token: SessionStart) -> bool:
        keys = TokenKeys(token.jti, token.client_id, token.secret_id, token.kid)
        facts = self._hot_path.introspection_facts("", keys)
        if facts.standing is None:
            return True
        recorded = facts.recorded
        last_used_at = recorded.last_used_at if recorded else token.issued_at
        record = token.as_token(last_used_at, recorded.ended if recorded else None)
        return not decide(record, facts.now, facts.standing).alive

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - measuring goes on whatever happens once
                logger().warning("denial_probe_failed", reason=type(error).__name__)
                self._count(UNAVAILABLE)
