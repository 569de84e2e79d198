"""Mode "leased": an answer is trusted for as long as it says, and never longer than ``max_staleness``.

The time is counted from before the request, on the clock that is never set back, so neither a slow answer nor a
stepped wall clock prolongs it. Uses within a lease are reported; the first use after it asks again.
"""

from dataclasses import dataclass

from resource_server.clocks import Clock
from resource_server.errors import InvalidToken, Unavailable
from resource_server.events import Events
from resource_server.lru_cache import LruCache
from resource_server.modes.introspection import Introspector, Use
from resource_server.modes.usage import UsageReports
from resource_server.network.steps import SingleFlight, Steps
from resource_server.settings import Settings


@dataclass(frozen=True, slots=True)
class _Lease:
    until: float


class Leased:
    """Caches answers within their lease; a token that was inactive once is not introspected again."""

    def __init__(
        self, settings: Settings, clock: Clock, events: Events, introspector: Introspector, usage: UsageReports
    ) -> None:
        self._settings, self._clock, self._events = settings, clock, events
        self._introspector, self._usage = introspector, usage
        self._leases: LruCache[bytes, _Lease] = LruCache(settings.cache_size)
        self._inactive: LruCache[bytes | str, bool] = LruCache(settings.cache_size)
        self._flights = SingleFlight()
        self.generation = 0

    def ended(self, jti: str) -> None:
        """The server answered a usage report that this token is dead."""
        self._inactive.put(jti, True)
        self.generation += 1

    def trusted(self, use: Use) -> float:
        """Until the end of its lease."""
        lease = self._leases.get(use.digest)
        return lease.until if lease else 0.0

    def judge(self, use: Use) -> Steps[str]:
        """Accept within the lease, or introspect."""
        if self._inactive.get(use.digest) or self._inactive.get(use.token.jti):
            raise InvalidToken("inactive")
        lease = self._leases.get(use.digest)
        if lease is not None and self._clock.elapsed() < lease.until:
            self._usage.record(use)
            return "lease"
        try:
            return (yield from self._asked_once(use))
        except Unavailable:
            if lease is None or self._settings.on_unreachable != "allow":
                raise
        self._events.emit("stale_allowed")
        self._usage.record(use)
        return "stale"

    def _asked_once(self, use: Use) -> Steps[str]:
        asked_here = False

        def ask() -> Steps[_Lease]:
            nonlocal asked_here
            asked_here = True
            return (yield from self._ask(use))

        lease = yield from self._flights.run(use.digest, ask)
        if asked_here:
            return "server"
        if self._clock.elapsed() < lease.until:
            self._usage.record(use)
            return "lease"
        yield from self._ask(use)  # the other caller's answer may not be trusted for a second call
        return "server"

    def _ask(self, use: Use) -> Steps[_Lease]:
        try:
            active = yield from self._introspector.ask(use)
        except InvalidToken:
            self._inactive.put(use.digest, True)
            self._leases.drop(use.digest)
            self.generation += 1
            raise
        # A use just before the token idles out must be reported, or asked about, while it is alive.
        idle = max(active.idle_left - 1.5 * self._settings.report_interval - 2, active.lease / 2)
        lease = _Lease(active.requested_at + min(active.lease, self._settings.max_staleness, idle))
        self._leases.put(use.digest, lease)
        return lease
