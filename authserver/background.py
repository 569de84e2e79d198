"""What a serving process does by itself, on one thread: each chore in its own rhythm, none stops another."""

import os
import secrets
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from authserver.ports.errors import Refusal, Unavailable
from authserver.telemetry.logs import logger

_SOON = 120.0


@dataclass(slots=True)
class PeriodicTask:
    """One thing to do every so many seconds; ``waited`` is how long it is since the last time."""

    name: str
    every: float
    do: Callable[[], object]
    waited: float = 0.0
    failing: bool = False
    """Only the first of a row of failures is told."""


class PeriodicTasks:
    """The thread that does them; it ends with the process, or when told."""

    def __init__(self, chores: list[PeriodicTask]) -> None:
        self._chores = chores
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="services-keeping", daemon=True)
        for chore in chores:
            # Many processes start at once; what takes long they do one after the other, what is short soon.
            spread = chore.every if chore.every > _SOON else min(chore.every, 5.0)
            chore.waited = chore.every - spread * secrets.randbelow(100) / 100

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when what is under way is done."""
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(5)

    def _run(self) -> None:
        parent = os.getppid()
        while not self._stop.wait(1.0):
            if os.getppid() != parent:
                # The process that started us is gone: nobody would restart or stop us any more.
                os.kill(os.getpid(), signal.SIGTERM)
                return
            for chore in self._chores:
                chore.waited += 1.0
                if chore.waited >= chore.every:
                    chore.waited = 0.0
                    self._do(chore)

    @staticmethod
    def _do(chore: PeriodicTask) -> None:
        reason = ""
        try:
            chore.do()
        except (Unavailable, Refusal) as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - one chore must not end the others
            reason = type(error).__name__
        if reason and not chore.failing:
            logger().warning("chore_failed", chore=chore.name, reason=reason)
        chore.failing = bool(reason)
