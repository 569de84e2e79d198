"""Writes the first refusal of each kind per caller and minute into the audit (PRODUCT.md §2.14).

The security log has every refusal; the audit has enough of them to see an
attack and never so many that an attacker could flood it. Writing happens on a
thread of its own, so a refusal takes the same time whether it is the first or
not (INV-29).
"""

import queue
import threading
from collections.abc import Callable

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Refusal, Unavailable
from authserver.rules.facts import Instant

PER_MINUTE = 60
"""How many refusals of all kinds together reach the audit in one minute."""

_MINUTE = 60
_NOBODY = frozenset({"unknown_client", "malformed_client_id", "malformed_secret", "no_credentials"})
"""Here the claimed client was never looked up or not found: made-up ids are one caller, told by its address."""


class SecurityLog:
    """Remembers what was refused in this minute, and hands what is new to the audit."""

    def __init__(self, accounts: Accounts, now: Callable[[], Instant]) -> None:
        self._accounts, self._now = accounts, now
        self._minute = -1
        self._seen: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()
        self._pending: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def record(self, endpoint: str, reason: str, *, client: str, peer: str, minute: int) -> bool:
        """Note a refusal.

        Args:
            endpoint: which endpoint refused, such as ``token``.
            reason: the true cause, one of a closed set.
            client: the client id that was claimed, or empty.
            peer: the address of the caller.
            minute: a number that changes every minute.

        Returns:
            Whether it was the first of its kind and goes to the audit.
        """
        client = "" if reason in _NOBODY else client
        kind = (endpoint, reason, client or peer)
        with self._lock:
            if minute != self._minute:
                self._minute = minute
                self._seen.clear()
            if kind in self._seen or len(self._seen) >= PER_MINUTE:
                return False
            self._seen.add(kind)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
                self._thread.start()
        self._pending.put(Event(f"{endpoint}.refused", f"peer:{peer}", client or "-", {"reason": reason}))
        return True

    def close(self) -> None:
        """Write what is pending and stop."""
        if self._thread is not None:
            self._pending.put(None)
            self._thread.join(_MINUTE)

    def _run(self) -> None:
        while (event := self._pending.get()) is not None:
            try:
                with self._accounts.change(event, self._now()):
                    pass
            except (Unavailable, Refusal):
                continue
