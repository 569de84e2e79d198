"""The clocks that are handed in everywhere else."""

import time
from collections.abc import Callable

from authserver.ports.clock import Clock
from authserver.ports.errors import Unavailable
from authserver.rules.facts import Instant

MAX_SKEW_SECONDS = 30
"""How far this machine's clock may be from the database's before the node stops serving."""


class SystemClock:
    """The database's clock where its time is known, else this machine's."""

    def now(self, database: Instant | None = None) -> Instant:
        """Whole seconds of UTC.

        Raises:
            Unavailable: this machine's clock is too far from the database's.
        """
        mine = int(time.time())
        if database is None:
            return mine
        if abs(mine - database) > MAX_SKEW_SECONDS:
            msg = f"this machine's clock is {mine - database} s away from the database's; set it right (NTP)"
            raise Unavailable(msg)
        return database


class DatabaseClock:
    """The clock for changes: the database's, which all nodes share, where there is one."""

    def __init__(self, system: Clock, database_now: Callable[[], Instant]) -> None:
        self._system, self._database_now = system, database_now

    def now(self, database: Instant | None = None) -> Instant:
        """Whole seconds of UTC."""
        return self._system.now(database) if database is not None else self._database_now()
