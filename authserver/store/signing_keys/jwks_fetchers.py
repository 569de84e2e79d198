"""Who fetches the JWKS: buffered in memory, written in batches, never a row per call.

A resource server has one row, and so has each of the first ``MAX_AGENTS`` user agents
of the anonymous; all others count as one, so no caller makes rows without end.
"""

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, bindparam, case, delete, select

from authserver.ports.jwks_fetchers import JwksFetcher
from authserver.rules.facts import Instant
from authserver.store.engine.batch_statements import greatest, insert_for
from authserver.store.engine.connections import reading, writing
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import jwks_verifiers, resource_servers

RESOURCE_SERVER, AGENT = "resource_server", "agent"
MAX_AGENTS = 50
OTHER = "other"
KEEP_SECONDS = 400 * 24 * 3600

_PendingFetches = dict[tuple[str, str], tuple[int, Instant, str]]
_ROW = jwks_verifiers.c


class SqlJwksFetchers:
    """``ports.Verifiers``."""

    def __init__(self, engine: Engine, held: ThreadConnections) -> None:
        self._engine = engine
        dialect = engine.dialect.name
        named = select(resource_servers.c.id).where(
            resource_servers.c.jwks_client == bindparam("token", type_=resource_servers.c.jwks_client.type),
            resource_servers.c.disabled_at.is_(None),
        )
        self._named = PreparedStatement(held, named)
        added = insert_for(dialect)(jwks_verifiers).values({each.name: bindparam(each.name) for each in _ROW})
        newer = added.excluded.last_fetched_at >= _ROW.last_fetched_at
        self._add = added.on_conflict_do_update(
            index_elements=["kind", "name"],
            set_={
                "fetches": _ROW.fetches + added.excluded.fetches,
                "last_fetched_at": greatest(dialect)(_ROW.last_fetched_at, added.excluded.last_fetched_at),
                "seen": case((newer, added.excluded.seen), else_=_ROW.seen),
            },
        )
        self._begin()

    def _begin(self) -> None:
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._pending: _PendingFetches = {}

    def after_fork(self) -> None:
        """Start empty in a child process: the parent writes what is buffered."""
        self._begin()

    def named(self, token: str) -> str | None:
        """The id of the enabled resource server with this ``jwks_client`` token."""
        row = self._named.row({"token": token})
        return None if row is None else str(row[0])

    def fetched(self, server_id: str, at: Instant, kids: Sequence[str]) -> None:
        """Buffer that a resource server fetched these keys."""
        with self._lock:
            count, last, _ = self._pending.get((RESOURCE_SERVER, server_id), (0, at, ""))
            self._pending[RESOURCE_SERVER, server_id] = (count + 1, max(last, at), " ".join(kids))

    def fetched_by_agent(self, agent: str, at: Instant) -> None:
        """Buffer a fetch that names only its user agent."""
        with self._lock:
            key = (AGENT, agent)
            if key not in self._pending and sum(kind == AGENT for kind, _ in self._pending) >= MAX_AGENTS:
                key = (AGENT, OTHER)
            count, last, _ = self._pending.get(key, (0, at, ""))
            self._pending[key] = (count + 1, max(last, at), "")

    def flush(self) -> None:
        """Write the buffered fetches; those that could not be written stay buffered.

        Raises:
            Unavailable: the database does not take it.
        """
        with self._flushing:
            with self._lock:
                pending, self._pending = self._pending, {}
            if not pending:
                return
            try:
                self._write(pending)
            except BaseException:
                with self._lock:
                    for key, (count, at, seen) in pending.items():
                        more, later, newer = self._pending.get(key, (0, at, ""))
                        self._pending[key] = (count + more, max(at, later), newer or seen)
                raise

    def _write(self, pending: _PendingFetches) -> None:
        with writing(self._engine) as connection:
            known = set(connection.execute(select(_ROW.name).where(_ROW.kind == AGENT)).scalars())
            rows: _PendingFetches = {}
            for (kind, name), (count, at, seen) in sorted(pending.items()):
                shown = name
                if kind == AGENT and name not in known:
                    shown = name if len(known) < MAX_AGENTS else OTHER
                    known.add(shown)
                more, later, _ = rows.get((kind, shown), (0, at, ""))
                rows[kind, shown] = (count + more, max(at, later), seen)
            connection.execute(self._add, [_values(key, fetch) for key, fetch in sorted(rows.items())])

    def all(self) -> Sequence[JwksFetcher]:
        """Everybody on record, who fetched last first."""
        query = select(jwks_verifiers).order_by(_ROW.last_fetched_at.desc(), _ROW.kind, _ROW.name)
        with reading(self._engine) as connection:
            return tuple(
                JwksFetcher(row.kind, row.name, row.fetches, row.last_fetched_at, frozenset(row.seen.split()))
                for row in connection.execute(query)
            )

    def sweep(self, now: Instant) -> None:
        """Forget who has not fetched for more than a year, so that new agents fit in."""
        with writing(self._engine) as connection:
            connection.execute(delete(jwks_verifiers).where(_ROW.last_fetched_at < now - KEEP_SECONDS))


def _values(key: tuple[str, str], fetch: tuple[int, Instant, str]) -> dict[str, Any]:
    return {"kind": key[0], "name": key[1], "fetches": fetch[0], "last_fetched_at": fetch[1], "seen": fetch[2]}
