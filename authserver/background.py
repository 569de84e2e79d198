"""What a serving process does by itself, on one thread: each task in its own rhythm, none stops another."""

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
    """Only the first of a row of failures is logged."""


class PeriodicTasks:
    """The thread that runs them; it ends with the process, or by ``stop``."""

    def __init__(self, tasks: list[PeriodicTask]) -> None:
        self._tasks = tasks
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="periodic-tasks", daemon=True)
        for task in tasks:
            # Many processes start at once; what takes long they do one after the other, what is short soon.
            spread = task.every if task.every > _SOON else min(task.every, 5.0)
            task.waited = task.every - spread * secrets.randbelow(100) / 100

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
                # The parent process is gone, so nothing would restart or stop this one.
                os.kill(os.getpid(), signal.SIGTERM)
                return
            for task in self._tasks:
                task.waited += 1.0
                if task.waited >= task.every:
                    task.waited = 0.0
                    self._do(task)

    @staticmethod
    def _do(task: PeriodicTask) -> None:
        reason = ""
        try:
            task.do()
        except (Unavailable, Refusal) as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - one task must not end the others
            reason = type(error).__name__
        if reason and not task.failing:
            logger().warning("periodic_task_failed", task=task.name, reason=reason)
        task.failing = bool(reason)
