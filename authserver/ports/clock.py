"""The clock that is injected everywhere: whole seconds of UTC."""

from typing import Protocol

from authserver.rules.facts import Instant


class Clock(Protocol):
    """What time it is, in whole seconds of UTC."""

    def now(self, database: Instant | None = None) -> Instant:
        """The time; ``database`` is the database's own clock, read with the facts, and wins where given."""
        ...
