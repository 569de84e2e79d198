"""Metrics hooks: events of a verifier, counted and passed to a hook.

| event | when | fields |
|---|---|---|
| ``accepted`` | a call was let through | ``source``: ``server``, ``lease``, ``feed`` or ``stale`` |
| ``refused`` | a call was not | ``reason``, ``status`` |
| ``introspected`` | an introspection was answered | ``active``, ``seconds`` |
| ``keys_fetched``, ``feed_fetched`` | a document was taken over | ``changed`` |
| ``reported`` | a usage report was accepted | ``uses``, ``dead`` |
| ``report_dropped`` | a usage report was given up, its uses are lost | ``uses``, ``reason`` |
| ``fetch_failed`` | a request to the server failed | ``what``, ``reason``, ``retry_in`` seconds |
| ``stale_allowed`` | a call rests on an answer older than ``max_staleness``: ``on_unreachable="allow"`` | |
| ``clock_behind`` | the wall clock is behind the server's | ``seconds`` |
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_LOG = logging.getLogger("resource_server")

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; ``fields`` hold no token and no secret."""

    name: str
    fields: Mapping[str, Value] = field(default_factory=dict)


Hook = Callable[[Event], None]


class Events:
    """Counts events and passes them to the hook; an error of the hook never fails a request.

    Attributes:
        hooked: whether there is a hook.
        accepted: how many calls were let through from the cache while there is none; counted here, since each call is.
    """

    def __init__(self, hook: Hook | None) -> None:
        self._hook = hook
        self.hooked = hook is not None
        self._counts: Counter[str] = Counter()
        self.accepted = 0

    def emit(self, name: str, **fields: Value) -> None:
        """Count an event and call the hook."""
        self._counts[name] += 1
        if self._hook is not None:
            try:
                self._hook(Event(name, fields))
            except Exception:  # noqa: BLE001 - the hook is not ours
                _LOG.exception("the on_event hook failed on %s", name)

    def counts(self) -> dict[str, int]:
        """How often each event happened in this process."""
        return dict(self._counts + Counter(accepted=self.accepted))
