"""Write-behind buffer of uses: kept in memory and written twice a second, one batch a transaction.

One module, because the argument below holds only for all of it together.

Why that keeps the tolerance ε = ``USE_TOLERANCE`` (INV-06). A token used at least
every ``T - ε`` is judged idle by another node at the earliest ``ε`` whole seconds,
so more than one real second, after the use that node has not read yet. A buffered use
waits half a second and two batches at most, so it is there in time while a
batch takes less than a quarter of a second. Nobody can promise that of a
database that does not answer: then no use is acknowledged once the oldest buffered use
has waited for ε (INV-25), and a crash or a cut loses the uses of the last ε at
most. An end written by another node is final: buffered uses move only rows that have
not ended, and every introspection reads the row anew (INV-05).

Whether a use counts at all is decided by the action, at the instant of the use and
against the recorded last use: a use at or after the idle end must not be buffered.
Here an instant in the past is as good as any; it never moves a newer one back.

From the same uses follows what is shown of a credential: its last use, the peer
of its last token request, and how many requests of a day were granted. Refused
requests are only counted: they are statistics, so a count that finds no room is
dropped, and no refusal ever fails for want of one.

A batch is written exactly once. It carries its writer's next number, and the
number is claimed in the same transaction: when the answer to a commit is lost,
the same batch is sent again and finds itself written already.
"""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, and_, bindparam, case, func, literal_column, or_, select, update

from authserver.ports.errors import Refusal, Unavailable
from authserver.ports.usage import Counted
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant
from authserver.rules.idle import USE_TOLERANCE
from authserver.rules.names import storable
from authserver.rules.secret_format import masked
from authserver.store.engine.batch_statements import BatchStatement, BatchUpsert, greatest, insert_for
from authserver.store.engine.connections import writing
from authserver.store.tables import credential_use, resource_servers, secrets, token_requests, usage, usage_writers
from authserver.store.tokens.sessions import recorded_uses, uses

FLUSH_SECONDS = 0.5
MAX_WAIT_SECONDS = float(USE_TOLERANCE)
MAX_PENDING = 20_000
"""New sessions that may wait; beyond, no token is issued rather than memory used without end."""

MAX_REFUSALS = 20_000
"""Kinds of refusals (day, credential, reason) that may wait to be counted; further kinds are not counted."""

GRANTED = "granted"
"""The outcome of a token request that got its token; every other outcome is the reason it was refused for."""

MAX_ROUTES = 200
"""Routes of one credential and day that are counted one by one; all further ones count as ``OTHER``."""

OTHER = ("", "other")
"""Method and route."""

_METHOD_LENGTH = 16
_ROUTE_LENGTH = 200
_PEER_LENGTH = 45
_AGENT_LENGTH = 200
_MAX_KNOWN_ROUTES = 5_000
_DAY = 24 * 3600

_UsageKey = tuple[int, str, str, str, str, str]
_Counts = dict[_UsageKey, tuple[int, Instant]]


class _PendingUse(NamedTuple):
    """What is known of a session since the batch before.

    ``issued`` when it began in this one; ``recorded`` when its row was there, so that the use alone need be written.
    """

    start: SessionStart
    at: Instant
    issued: bool = False
    peer: str = ""
    agent: str = ""
    use_peer: str = ""
    token_hash: str = ""
    recorded: bool = False


_PendingUses = dict[str, _PendingUse]


@dataclass(slots=True)
class _Batch:
    """What was buffered since the one before; ``since`` on the monotonic clock."""

    number: int
    since: float
    pending: _PendingUses = field(default_factory=dict)
    counts: _Counts = field(default_factory=dict)
    refusals: Counter[tuple[str, Instant, str]] = field(default_factory=Counter)
    inactive_seen: dict[str, Instant] = field(default_factory=dict)


class SqlUsageBuffer:
    """``ports.UsageRecorder``; the writing thread starts with the first use."""

    def __init__(self, engine: Engine, *, background: bool = True) -> None:
        self._engine = engine
        dialect = engine.dialect.name
        larger = greatest(dialect)
        self._uses, self._recorded_uses = uses(engine), recorded_uses(engine)
        self._usage = BatchUpsert(
            engine,
            usage,
            usage.c.keys(),
            lambda fresh: {
                "uses": usage.c.uses + fresh.uses,
                "last_used_at": larger(usage.c.last_used_at, fresh.last_used_at),
            },
        )
        self._secret = BatchStatement(engine, _newest_request(secrets.c.id))
        self._seen_inactive = BatchStatement(
            engine,
            update(resource_servers)
            .where(
                resource_servers.c.id == bindparam("b_id"),
                func.coalesce(resource_servers.c.last_asked_at, 0) < bindparam("b_at"),
            )
            .values(last_asked_at=bindparam("b_at")),
        )
        self._credential = BatchUpsert(engine, credential_use, credential_use.c.keys(), partial(_newest_use, larger))
        self._requests = BatchUpsert(
            engine,
            token_requests,
            token_requests.c.keys(),
            lambda fresh: {"requests": token_requests.c.requests + fresh.requests},
        )
        claim = insert_for(dialect)(usage_writers).values(
            {column.name: bindparam(column.name) for column in usage_writers.c}
        )
        # Also waits for a commit of ours that is still under way on a connection that was lost.
        self._claim = claim.on_conflict_do_update(
            index_elements=["writer"],
            set_={"batch": claim.excluded.batch, "at": claim.excluded.at},
            where=usage_writers.c.batch < claim.excluded.batch,
        ).returning(usage_writers.c.batch)
        self._background = background
        self.on_failure: Callable[[str], None] = lambda _reason: None
        """Told the reason each time the thread could not write a batch; empty: it was written in the end."""
        self.on_issued: Callable[[Iterable[tuple[SessionStart, str]]], None] | None = None
        """Told the sessions of a batch that was written, with the address of each request; None: nobody asks."""
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._writer = uuid.uuid4().hex
        self._number = 0
        self._collecting: _Batch | None = None
        self._sending: _Batch | None = None
        self._written: _PendingUses = {}
        self._routes = _Routes()

    def after_fork(self) -> None:
        """Start empty in a child process: what is buffered is the parent's to write, and so is its number."""
        self._begin()

    def issued(self, start: SessionStart, *, token_hash: str = "", peer: str = "", agent: str = "") -> None:
        """Buffer a new session with the hash of its token's text and where it was requested from.

        Raises:
            Unavailable: too many sessions wait, or they have waited for too long.
        """
        with self._lock:
            batch = self._batch()
            if len(batch.pending) >= MAX_PENDING or (self._background and self._late()):
                msg = "sessions cannot be recorded now"
                raise Unavailable(msg)
            peer, agent = peer[:_PEER_LENGTH], agent[:_AGENT_LENGTH]
            batch.pending.setdefault(
                start.jti, _PendingUse(start, start.issued_at, True, peer, agent, token_hash=token_hash)
            )

    def issued_hash(self, jti: str) -> str:
        """The hash of a token issued here and not certainly in a row that was read a moment ago; or empty."""
        for place in self._places():
            use = place.get(jti)
            if use is not None and use.token_hash:
                return use.token_hash
        return ""

    @property
    def late(self) -> bool:
        """Whether buffered uses have waited for longer than ε: none is acknowledged until they are written."""
        return self._late()

    def refused(self, client_id: str, reason: str, at: Instant) -> None:
        """Count a token request that was refused; one of nobody, "", costs as much and is dropped when written."""
        key = (client_id, at - at % _DAY, reason)
        with self._lock:
            refusals = self._batch().refusals
            if key in refusals or len(refusals) < MAX_REFUSALS:
                refusals[key] += 1

    def seen_inactive(self, by: str, at: Instant) -> None:
        """Buffer that a resource server asked about a token that was not active."""
        with self._lock:
            inactive_seen = self._batch().inactive_seen
            inactive_seen[by] = max(at, inactive_seen.get(by, 0))

    def used(
        self,
        start: SessionStart,
        at: Instant,
        *,
        by: str,
        method: str,
        route: str,
        peer: str = "",
        recorded: bool = False,
    ) -> None:
        """Buffer a use; an older instant never moves a newer one back. ``recorded``: its session's row was seen.

        Raises:
            Unavailable: earlier uses could not be written for too long.
        """
        method, route = _storable_route(method, route)
        key = (at - at % _DAY, start.client_id, start.secret_id, by, method, route)
        if not self._background and self._late():
            self.flush()  # there is no thread that would
        with self._lock:
            if self._late():
                msg = "uses cannot be recorded now"
                raise Unavailable(msg)
            batch = self._batch()
            # What the row says already need not be written again: a busy token moves once a second.
            mine = batch.pending.get(start.jti)
            buffered = mine or self._written.get(start.jti)
            if buffered is None:
                peer = peer[:_PEER_LENGTH]
                batch.pending[start.jti] = _PendingUse(start, at, False, "", "", peer, "", recorded)
            elif buffered.at < at or (peer and not buffered.use_peer):
                # What is written began in that batch and in no later one: it must not count as asked for again.
                batch.pending[start.jti] = buffered._replace(
                    at=max(buffered.at, at),
                    use_peer=peer[:_PEER_LENGTH],
                    issued=mine is not None and buffered.issued,
                    recorded=mine is None or buffered.recorded,
                )
            uses, last = batch.counts.get(key, (0, 0))
            batch.counts[key] = (uses + 1, max(last, at))

    def last_used(self, jti: str) -> Instant | None:
        """The newest use buffered here and not certainly in a row that was read a moment ago."""
        newest: Instant | None = None
        for place in self._places():
            use = place.get(jti)
            if use is not None and (newest is None or use.at > newest):
                newest = use.at
        return newest

    def _places(self) -> list[_PendingUses]:
        """Where a session may be buffered, read together: a batch that moves on meanwhile is in none of them twice."""
        with self._lock:
            places, sending, collecting = [self._written], self._sending, self._collecting
        if sending is not None:
            places.append(sending.pending)
        if collecting is not None:
            places.append(collecting.pending)
        return places

    def flush(self) -> None:
        """Write what is buffered; what could not be written stays buffered and goes first the next time.

        Raises:
            Unavailable: the database does not take it.
        """
        with self._flushing:
            if self._sending is not None:
                self._send(self._sending)
            with self._lock:
                batch = self._sending = self._collecting
                self._collecting = None
            if batch is not None:
                self._send(batch)

    def close(self) -> None:
        """Stop the thread and write what is left.

        Raises:
            Unavailable: it could not be written.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _batch(self) -> _Batch:
        if self._collecting is None:
            self._number += 1
            self._collecting = _Batch(self._number, time.monotonic())
            self._start_thread()
        return self._collecting

    def _start_thread(self) -> None:
        """Start the thread that writes; also replaces one that died."""
        if self._background and not self._stop.is_set() and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, args=(self._stop,), name="activity", daemon=True)
            self._thread.start()

    def _late(self) -> bool:
        oldest = self._sending or self._collecting
        if oldest is None or time.monotonic() - oldest.since <= MAX_WAIT_SECONDS:
            return False
        self._start_thread()
        return True

    def _run(self, stop: threading.Event) -> None:
        failing = False
        while not stop.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except (Unavailable, Refusal) as error:
                failing = True
                self.on_failure(str(error))
            else:
                if failing:
                    self.on_failure("")
                failing = False

    def _send(self, batch: _Batch) -> None:
        self._write(batch)
        if self.on_issued is not None:
            self.on_issued((use.start, use.peer) for use in batch.pending.values() if use.issued)
        with self._lock:
            # Kept for one more round: a judge may have read the row before this write and asks here after it.
            self._written = batch.pending
            self._sending = None

    @contextmanager
    def reporting(self) -> Iterator[Connection]:
        """Open the transaction in which a report is judged and written; no batch of this process is sent meanwhile.

        Raises:
            Unavailable: the database does not take it.
        """
        with self._flushing, writing(self._engine) as connection:
            yield connection

    def write_reported(self, connection: Connection, by: str, counted: Counted) -> None:
        """Write uses that a resource server reports, inside ``reporting``."""
        batch = _Batch(0, time.monotonic())
        for start, use in counted:
            known = batch.pending.get(start.jti)
            if known is None or known.at < use.at:
                batch.pending[start.jti] = _PendingUse(start, use.at, recorded=True)
            key = (
                use.at - use.at % _DAY,
                start.client_id,
                start.secret_id,
                by,
                *_storable_route(use.method, use.route),
            )
            uses, last = batch.counts.get(key, (0, 0))
            batch.counts[key] = (uses + use.times, max(last, use.at))
        self._write_rows(connection, batch)

    def _write(self, batch: _Batch) -> None:
        with writing(self._engine) as connection:
            claim = {"writer": self._writer, "batch": batch.number, "at": int(time.time())}
            if connection.execute(self._claim, claim).first() is not None:
                self._write_rows(connection, batch)

    def _write_rows(self, connection: Connection, batch: _Batch) -> None:
        # One order for all nodes, so that two batches never wait for each other in a ring.
        pending = [batch.pending[jti] for jti in sorted(batch.pending)]
        self._uses.run(connection, [_row(use) for use in pending if not use.recorded])
        self._recorded_uses.run(connection, [_recorded_row(use) for use in pending if use.recorded])
        self._credential.run(connection, _credential_rows(batch.pending))
        self._secret.run(connection, _request_rows(batch.pending))
        self._requests.run(connection, _request_counts(batch))
        self._seen_inactive.run(
            connection, ({"b_id": key, "b_at": at} for key, at in sorted(_inactive_callers(batch).items()))
        )
        counts = self._routes.aggregated(connection, batch.counts)
        self._usage.run(connection, [(*key, *value) for key, value in sorted(counts.items())])


def _row(use: _PendingUse) -> tuple[Any, ...]:
    peers = (_truncated(use.peer, _PEER_LENGTH), _truncated(use.use_peer, _PEER_LENGTH))
    return (*use.start, use.at, *peers, use.token_hash)


def _recorded_row(use: _PendingUse) -> tuple[Any, ...]:
    return use.start.jti, use.at, _truncated(use.use_peer, _PEER_LENGTH)


def _newest_request(key: Any) -> Any:
    """Move the last use of a secret forward, and with it where it was used from."""
    mine = key.table.c
    return (
        update(key.table)
        .where(and_(key == bindparam("b_id"), or_(mine.last_used_at.is_(None), mine.last_used_at < bindparam("b_at"))))
        .values(
            last_used_at=bindparam("b_at"),
            first_used_at=func.coalesce(mine.first_used_at, mine.last_used_at, bindparam("b_at")),
            last_used_peer=bindparam("b_peer", type_=mine.last_used_peer.type),
            last_used_agent=bindparam("b_agent", type_=mine.last_used_agent.type),
        )
    )


_ZERO: Any = literal_column("0")


def _newest_use(larger: Any, fresh: Any) -> dict[str, Any]:
    """Move forward the last use of a credential and its last token request, each for itself."""
    mine = credential_use.c
    newer = func.coalesce(fresh.requested_at, _ZERO) > func.coalesce(mine.requested_at, _ZERO)
    return {
        "last_used_at": larger(mine.last_used_at, fresh.last_used_at),
        **{
            name: case((newer, fresh[name]), else_=mine[name])
            for name in ("requested_at", "requested_peer", "requested_agent")
        },
    }


def _credential_rows(pending: _PendingUses) -> list[tuple[Any, ...]]:
    """Client id, last use, and of the newest token request: when, where from, what asked."""
    used: dict[str, Instant] = {}
    for use in pending.values():
        client_id = use.start.client_id
        used[client_id] = max(use.at, used.get(client_id, 0))
    newest = _newest_issued(pending, "client_id")
    return [(client_id, used[client_id], *_request(newest.get(client_id))) for client_id in sorted(used)]


def _request(use: _PendingUse | None) -> tuple[Instant | None, str | None, str | None]:
    if use is None:
        return None, None, None
    return use.start.issued_at, _truncated(use.peer, _PEER_LENGTH), _truncated(use.agent, _AGENT_LENGTH)


def _request_rows(pending: _PendingUses) -> list[dict[str, Any]]:
    names = ("b_id", "b_at", "b_peer", "b_agent")
    newest = sorted(_newest_issued(pending, "secret_id").items())
    return [dict(zip(names, (secret_id, *_request(use)), strict=True)) for secret_id, use in newest]


def _newest_issued(pending: _PendingUses, of: str) -> dict[str, _PendingUse]:
    """The newest token request of each client or secret, by the field of its start that names it."""
    newest: dict[str, _PendingUse] = {}
    for use in pending.values():
        key = getattr(use.start, of)
        known = newest.get(key)
        if use.issued and (known is None or known.start.issued_at <= use.start.issued_at):
            newest[key] = use
    return newest


def _request_counts(batch: _Batch) -> list[tuple[str, Instant, str, int]]:
    """Client id, day, outcome, how many."""
    counts = Counter({key: number for key, number in batch.refusals.items() if key[0]})
    for use in batch.pending.values():
        if use.issued:
            at = use.start.issued_at
            counts[use.start.client_id, at - at % _DAY, GRANTED] += 1
    return [(*key, number) for key, number in sorted(counts.items())]


def _inactive_callers(batch: _Batch) -> dict[str, Instant]:
    inactive_seen = dict(batch.inactive_seen)
    for key, (_, last) in batch.counts.items():
        inactive_seen[key[3]] = max(last, inactive_seen.get(key[3], 0))
    return inactive_seen


@lru_cache(maxsize=1024)
def _truncated(text: str, length: int) -> str | None:
    """What a column can hold of what a caller said of itself; None for nothing."""
    if not text.isprintable():
        text = "".join(char for char in text if char.isprintable())
    return masked(text)[:length] or None


@lru_cache(maxsize=1024)
def _storable_route(method: str, route: str) -> tuple[str, str]:
    """Cut to what a column holds; what none holds counts as ``OTHER``, or the whole batch would fail for ever."""
    if not (storable(method) and storable(route)):
        return OTHER
    return method[:_METHOD_LENGTH], route[:_ROUTE_LENGTH]


class _Routes:
    """Which routes of a credential and day are counted one by one: the first ``MAX_ROUTES``."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], set[tuple[str, str]]] = {}

    def aggregated(self, connection: Connection, counts: _Counts) -> _Counts:
        """Count what goes beyond as ``OTHER``, so that no caller makes rows without end."""
        aggregated: _Counts = {}
        queried: set[tuple[int, str]] = set()
        if len(self._known) > _MAX_KNOWN_ROUTES:
            self._known.clear()
        for key in sorted(counts):
            day, client_id, secret_id, by, method, route = key
            if not self._has_own_counter(connection, (day, client_id), (method, route), queried):
                method, route = OTHER
            target = (day, client_id, secret_id, by, method, route)
            (uses, last), (more, later) = aggregated.get(target, (0, 0)), counts[key]
            aggregated[target] = (uses + more, max(last, later))
        return aggregated

    def _has_own_counter(
        self, connection: Connection, where: tuple[int, str], route: tuple[str, str], queried: set[tuple[int, str]]
    ) -> bool:
        routes = self._known.setdefault(where, set())
        if route not in routes and len(routes) < MAX_ROUTES and where not in queried:
            # Other nodes count too.
            queried.add(where)
            found = select(usage.c.method, usage.c.route).where(usage.c.day == where[0], usage.c.client_id == where[1])
            routes.update((row.method, row.route) for row in connection.execute(found.distinct()))
            routes.discard(OTHER)
        if route not in routes and len(routes) < MAX_ROUTES and route != OTHER:
            routes.add(route)
        return route in routes
