"""What ended, in order, so that a change feed can tell the whole state or what was added since."""

import secrets
import threading
from typing import Any

from resource_server.modes.changes import FeedState

_SETS = ("disabled_users", "removed_keys")
_MAPS = ("role_versions", "ended_tokens", "ended_credentials", "ended_secrets")


class CursorTooOld(LookupError):
    """What was added since then is not remembered: 410."""


class ChangeLog:
    """Numbered changes; a cursor is ``<log>.<number>``.

    Args:
        lock: guards it together with what it tells of.
    """

    def __init__(self, lock: Any) -> None:
        self._name = secrets.token_hex(4)
        self._changed = threading.Condition(lock)
        self._entries: list[tuple[str, str, int]] = []
        self.kept_from = 0
        """Changes with smaller numbers are forgotten."""
        self.state = FeedState("", "", complete=True, as_of=0, idle_seconds=1)

    def tell(self, kind: str, key: str, value: int) -> None:
        """Add a change and wake who waits for one."""
        with self._changed:
            self._entries.append((kind, key, value))
            _put(self.state, kind, key, value)
            self._changed.notify_all()

    def forget(self) -> None:
        """Have every cursor be too old."""
        with self._changed:
            self.kept_from = len(self._entries) + 1
            self._entries.append(("epoch", "", 0))

    def since(self, cursor: str, wait: float) -> dict[str, Any]:
        """The claims of a document: what was added since the cursor, or everything for "".

        Args:
            cursor: of an earlier document.
            wait: seconds to wait for a change.

        Raises:
            CursorTooOld: fetch the whole state.
        """
        with self._changed:
            if not cursor:
                return self._document(self.state, complete=True)
            name, _, number = cursor.partition(".")
            if name != self._name or not number.isdigit() or int(number) < self.kept_from:
                raise CursorTooOld
            start = int(number)
            self._changed.wait_for(lambda: len(self._entries) > start, timeout=wait)
            delta = FeedState("", "", complete=False, as_of=0, idle_seconds=1)
            for kind, key, value in self._entries[start:]:
                _put(delta, kind, key, value)
            return self._document(delta, complete=False)

    def _document(self, ends: FeedState, *, complete: bool) -> dict[str, Any]:
        return {
            "cursor": f"{self._name}.{len(self._entries)}",
            "complete": complete,
            **{kind: dict(getattr(ends, kind)) for kind in _MAPS},
            **{kind: sorted(getattr(ends, kind)) for kind in _SETS},
        }


def _put(ends: FeedState, kind: str, key: str, value: int) -> None:
    if kind in _SETS:
        getattr(ends, kind).add(key)
    elif kind in _MAPS:
        getattr(ends, kind)[key] = value
