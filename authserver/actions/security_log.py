"""Writes the first refusal of each kind per caller and minute into the audit (PRODUCT.md §2.14).

The security log has every refusal; the audit trail has enough of them to show an
attack, and a limit so that an attacker cannot flood it. A thread of its own writes,
so a refusal takes the same time whether it is the first or not (INV-29).
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
_UNKNOWN_CLIENT = frozenset({"unknown_client", "malformed_client_id", "malformed_secret", "no_credentials"})
"""Reasons where the client id is not a known one: the caller is then identified by its address."""


class SecurityLog:
    """Records the first refusal of each kind and minute in the audit trail, on a thread of its own."""

    def __init__(self, accounts: Accounts, now: Callable[[], Instant]) -> None:
        self._accounts, self._now = accounts, now
        self._minute = -1
        self._seen: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()
        self._pending: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def record(self, endpoint: str, reason: str, *, client: str, peer: str, minute: int) -> bool:
        """Record a refusal.

        Args:
            endpoint: which endpoint refused, such as ``token``.
            reason: the true cause, one of a closed set.
            client: the client id that was claimed, or empty.
            peer: the address of the caller.
            minute: a number that changes every minute.

        Returns:
            Whether it was the first of its kind and goes to the audit.
        """
        client = "" if reason in _UNKNOWN_CLIENT else client
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
