"""Mode "feed": the signature is checked locally, and ended tokens are known from the server's signed change feed.

* A thread holds a long poll open, so that a change is known within a second; a state older than ``max_staleness``,
  counted from before the request, is not used.
* A token without a recent known use may have idled out, so it is introspected once. Local uses are reported, and only
  uses that the server has confirmed count.
"""

import math
import random
import threading
from urllib.parse import urlencode

from resource_server.clocks import Clock, ServerTime
from resource_server.errors import InvalidToken, Unavailable
from resource_server.events import Events
from resource_server.jose import parse, strict_object, verify
from resource_server.keys import KeySource
from resource_server.lru_cache import LruCache
from resource_server.modes.changes import MAX_DOCUMENT, TYP, FeedState, newer, read_changes
from resource_server.modes.introspection import Introspector, Use, authorization
from resource_server.modes.usage import UsageReports
from resource_server.network.backoff import Backoff
from resource_server.network.steps import Answer, Call, SingleFlight, Steps, failed
from resource_server.settings import Settings
from resource_server.token import Token

_OK, _NOT_MODIFIED, _GONE = 200, 304, 410
_MAX_WAIT = 30


class Feed:
    """Follows the change feed and judges tokens by it."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        events: Events,
        server_time: ServerTime,
        *,
        keys: KeySource,
        introspector: Introspector,
        usage: UsageReports,
    ) -> None:
        self._settings, self._clock, self._events, self._time = settings, clock, events, server_time
        self._keys, self._introspector = keys, introspector
        self._usage = usage
        self._url = settings.endpoint("changes_endpoint")
        self._headers = {"Authorization": authorization(settings), "Accept": "application/jwt"}
        self._wait = max(0, min(_MAX_WAIT, settings.max_staleness // 3))
        self._flights = SingleFlight()
        self._applying = threading.Lock()
        self.backoff = Backoff(clock, max(1.0, settings.max_staleness / 3))
        self._ends: FeedState | None = None
        self.generation = 0
        self._etag = ""
        self._fetched_at = -math.inf
        self._last_uses: LruCache[str, int] = LruCache(settings.cache_size)
        self._inactive: LruCache[bytes | str, bool] = LruCache(settings.cache_size)

    # --- judging ------------------------------------------------------------------------

    def judge(self, use: Use) -> Steps[str]:
        """Decide by the state of the feed; introspect where the token may have idled out."""
        ends, source = yield from self._current()
        now = self._now()
        if newer(use.token.epoch, ends.epoch):  # issued after what we know; learn what else happened
            yield from self._flights.run("feed", lambda: self._fetch(0))
            ends = self._ends or ends
            if newer(use.token.epoch, ends.epoch):
                raise Unavailable("feed_behind", "The token is of a later epoch than the change feed.")
        reason = ends.reason(use.token, now)
        if reason or self._inactive.get(use.digest) or self._inactive.get(use.token.jti):
            raise InvalidToken(reason or "inactive")
        if now < self._idle_end(use.token, ends):
            self._usage.record(use)
            return source
        return (yield from self._introspected(use, ends))

    def trusted(self, use: Use) -> float:
        """Until the state is too old, the token may have idled out, or its secret ends as planned."""
        ends, token = self._ends, use.token
        if ends is None:
            return 0.0
        elapsed, now = self._clock.elapsed(), self._now()
        planned = [ends.ended_secrets.get(token.secret_id), ends.ended_credentials.get(token.client_id)]
        known = [at for at in planned if at is not None and at > now]
        until = min([self._idle_end(token, ends), token.issued_at + ends.longest_seconds, *known])
        return min(self._fetched_at + self._settings.max_staleness, elapsed + until - now)

    def used(self, jti: str, at: int) -> None:
        """The server has confirmed a use at this instant."""
        known = self._last_uses.get(jti)
        self._last_uses.put(jti, at if known is None else max(at, known))

    def ended(self, jti: str) -> None:
        """The server answered a usage report that this token is dead."""
        self._inactive.put(jti, True)
        self.generation += 1

    def _last_use(self, token: Token) -> int:
        return max(token.issued_at, self._last_uses.get(token.jti) or 0)

    def _idle_end(self, token: Token, ends: FeedState) -> float:
        """From when the token may have idled out, by the uses known here."""
        last = self._last_use(token)
        return last + self._idle(ends) if last >= ends.used_since else 0

    def _idle(self, ends: FeedState) -> float:
        """For how long after its last known use a token needs no introspection, less the delay of a report."""
        margin = 2 * self._settings.report_interval + 1
        return max(ends.idle_seconds - margin, ends.idle_seconds / 2)

    def _introspected(self, use: Use, ends: FeedState) -> Steps[str]:
        asked_here = False

        def ask() -> Steps[None]:
            nonlocal asked_here
            asked_here = True
            at = int(self._time.now() or self._clock.wall())
            try:
                yield from self._introspector.ask(use)
            except InvalidToken:
                self._inactive.put(use.digest, True)
                self.generation += 1
                raise
            self.used(use.token.jti, at)

        try:
            yield from self._flights.run(use.digest, ask)
        except Unavailable:
            if self._settings.on_unreachable != "allow":
                raise
            self._events.emit("stale_allowed")
            self._usage.record(use)
            return "stale"
        if asked_here:
            return "server"
        if self._now() >= self._idle_end(use.token, ends):
            yield from ask()
            return "server"
        self._usage.record(use)
        return "feed"

    def _current(self) -> Steps[tuple[FeedState, str]]:
        ends = self._ends
        if ends is not None and not self._stale():
            return ends, "feed"
        try:
            return (yield from self._refetched()), "feed"
        except Unavailable:
            if self._ends is None or self._settings.on_unreachable != "allow":
                raise
        self._events.emit("stale_allowed")
        return self._ends, "stale"

    def _refetched(self) -> Steps[FeedState]:
        if self.backoff.waiting:
            raise Unavailable("feed_stale", "The change feed cannot be had, and what is known is too old.")
        yield from self._flights.run("feed", lambda: self._fetch(0))
        if self._ends is None or self._stale():
            raise Unavailable("feed_stale", "The change feed is older than max_staleness.")
        return self._ends

    def _stale(self) -> bool:
        return self._clock.elapsed() - self._fetched_at > self._settings.max_staleness

    def _now(self) -> float:
        return max(self._clock.wall(), self._time.now() or 0)

    @property
    def age(self) -> float:
        """Seconds since the request of the last good document; infinite before the first."""
        return self._clock.elapsed() - self._fetched_at

    # --- following ----------------------------------------------------------------------

    def follow(self) -> Steps[float]:
        """Fetch the changes once; returns the seconds until the next fetch."""
        if self.backoff.waiting:
            return self.backoff.next_try - self._clock.elapsed()
        began = self._clock.elapsed()
        try:
            yield from self._flights.run("feed", lambda: self._fetch(self._wait if self._ends else 0))
        except Unavailable:
            return max(self.backoff.next_try - self._clock.elapsed(), 0.05)
        # A long poll that was answered at once may be followed by the next after a pause; without, S is cut in three.
        spread = random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
        pause = min(1.0, self._settings.max_staleness / 4) if self._wait else self._settings.max_staleness / 3
        return max(began + pause * spread - self._clock.elapsed(), 0.0)

    def _fetch(self, wait: int) -> Steps[None]:
        """One request; a cursor that is too old, or a new epoch, leads to a second one for the whole state."""
        try:
            if not (yield from self._ask(wait)):
                self._etag = ""
                yield from self._ask(0, whole=True)
        except Unavailable as error:
            pause = self.backoff.fail(error.retry_after if error.reason.startswith("http_") else 0)
            self._events.emit("fetch_failed", what="feed", reason=error.reason, retry_in=round(pause, 3))
            raise
        self.backoff.succeed()

    def _ask(self, wait: int, *, whole: bool = False) -> Steps[bool]:
        known = None if whole else self._ends
        query = {"after": known.cursor, "wait": str(wait)} if known else {}
        headers = dict(self._headers)
        if known and self._etag:
            headers["If-None-Match"] = self._etag
        began = self._clock.elapsed()
        url = f"{self._url}?{urlencode(query)}" if query else self._url
        answer: Answer = yield Call("GET", url, headers, wait=float(wait))
        if answer.status == _GONE and known:
            return False
        changed = answer.status != _NOT_MODIFIED
        if changed and answer.status != _OK:
            raise failed(answer, "The request for the change feed")
        if changed:
            document = yield from self._read(answer)
            if not self._apply(document, known):
                return False
            self._etag = answer.headers.get("etag", "")
        elif known is None:
            raise Unavailable("bad_feed", "The change feed was answered with 304 although nothing was known.")
        age = answer.headers.get("age", "")
        self._fetched_at = began - (int(age) if age.isascii() and age.isdigit() else 0)
        self._events.emit("feed_fetched", changed=changed)
        return True

    def _read(self, answer: Answer) -> Steps[FeedState]:
        try:
            text = answer.body.decode("ascii").strip()
            parsed = parse(text, algorithms=self._settings.algorithms, typ=TYP, longest=MAX_DOCUMENT)
            key = yield from self._keys.find(parsed.kid, from_server=True)
            verify(parsed, key)
            document = read_changes(strict_object(parsed.payload), self._settings)
        except (InvalidToken, UnicodeDecodeError) as error:
            raise Unavailable("bad_feed", f"The change feed is refused: {error}.") from None
        if document.as_of < self._clock.wall() - self._settings.max_staleness - self._settings.clock_skew:
            raise Unavailable("bad_feed", "The change feed is old, or this machine's clock is ahead (NTP?).")
        return document

    def _apply(self, document: FeedState, known: FeedState | None) -> bool:
        """Apply a document; False when it does not continue the known state."""
        with self._applying:
            before = self._ends
            if before is not None and document.as_of < before.as_of:
                raise Unavailable("bad_feed", "The change feed went back in time; it may be a copy played again.")
            if document.complete:
                self._ends = document
            elif known is None or before is None or document.epoch != before.epoch:
                if known is None:
                    raise Unavailable("bad_feed", "The change feed told only changes when asked for the whole state.")
                return False
            else:
                before.add(document)
                before.forget(self._now())
            ends = self._ends
            self.generation += 1
        self._time.observe(document.as_of)
        if ends is not None:
            self._keys.removed = frozenset(ends.removed_keys)
        return True
