"""A thread that does one thing again and again, ends when told, and is begun by the first who needs it."""

import logging
import threading
from collections.abc import Callable

_LOG = logging.getLogger("resource_server")
_AFTER_FAULT = 5.0


class Background:
    """Runs ``work`` in a daemon thread.

    Args:
        name: of the thread.
        work: returns the seconds until it is to be run again.
        first: seconds until it is run the first time.
    """

    def __init__(self, name: str, work: Callable[[], float], first: float = 0.0) -> None:
        self._name, self._work, self._first = name, work, first
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._begun = False
        self._end = threading.Event()

    def ensure(self) -> None:
        """Begin, unless it runs."""
        if self._thread is not None:
            return
        with self._starting:
            if self._begun or self._end.is_set():
                return
            self._begun = True
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self, seconds: float = 0.0) -> None:
        """Tell it to end, and wait so long for it."""
        self._end.set()
        thread = self._thread
        if thread is not None and seconds and thread is not threading.current_thread():
            thread.join(seconds)

    def _run(self) -> None:
        self._end.wait(self._first)
        while not self._end.is_set():
            try:
                wait = self._work()
            except Exception:  # noqa: BLE001 - a fault in one turn must not end the turns after it
                _LOG.exception("%s failed; it goes on", self._name)
                wait = _AFTER_FAULT
            self._end.wait(wait)
