"""Which clients fetch the JWKS: buffered in memory, written in batches.

A resource server has one row, and so has each of the first ``MAX_AGENTS`` user agents
of unknown clients; all others count as one, so no caller makes rows without end.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, bindparam, case, delete, select

from authserver.ports.jwks_fetchers import JwksFetcher
from authserver.rules.facts import Instant
from authserver.store.engine.batch_statements import greatest, insert_for
from authserver.store.engine.connections import reading, writing
from authserver.store.engine.pending_counts import PendingCounts
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import jwks_verifiers, resource_servers

RESOURCE_SERVER, AGENT = "resource_server", "agent"
MAX_AGENTS = 50
OTHER = "other"
KEEP_SECONDS = 400 * 24 * 3600

_Fetches = tuple[int, Instant, str]
"""How many fetches, the last instant, and the key ids of that fetch."""

_ROW = jwks_verifiers.c


class SqlJwksFetchers:
    """``ports.JwksFetchers``."""

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
        self._pending: PendingCounts[tuple[str, str], _Fetches] = PendingCounts(_merged)
        self.after_fork = self._pending.reset

    def named(self, token: str) -> str | None:
        """The id of the enabled resource server with this ``jwks_client`` token."""
        row = self._named.row({"token": token})
        return None if row is None else str(row[0])

    def fetched(self, server_id: str, at: Instant, kids: Sequence[str]) -> None:
        """Buffer that a resource server fetched these keys."""
        self._pending.add((RESOURCE_SERVER, server_id), (1, at, " ".join(kids)))

    def fetched_by_agent(self, agent: str, at: Instant) -> None:
        """Buffer a fetch that names only its user agent."""
        with self._pending.lock:
            agents = [key for key in self._pending.waiting() if key[0] == AGENT]
            key = (AGENT, agent)
            self._pending.add(key if key in agents or len(agents) < MAX_AGENTS else (AGENT, OTHER), (1, at, ""))

    def flush(self) -> None:
        """Write the buffered fetches; those that could not be written stay buffered.

        Raises:
            Unavailable: the database does not take it.
        """
        self._pending.flush(self._write)

    def _write(self, pending: Mapping[tuple[str, str], _Fetches]) -> None:
        with writing(self._engine) as connection:
            known = set(connection.execute(select(_ROW.name).where(_ROW.kind == AGENT)).scalars())
            rows: dict[tuple[str, str], _Fetches] = {}
            for (kind, agent), fetches in sorted(pending.items()):
                name = agent
                if kind == AGENT and agent not in known:
                    name = agent if len(known) < MAX_AGENTS else OTHER
                    known.add(name)
                row = rows.get((kind, name))
                rows[kind, name] = fetches if row is None else _merged(row, fetches)
            connection.execute(self._add, [_values(key, fetch) for key, fetch in sorted(rows.items())])

    def all(self) -> Sequence[JwksFetcher]:
        """All fetchers on record, the latest fetch first."""
        query = select(jwks_verifiers).order_by(_ROW.last_fetched_at.desc(), _ROW.kind, _ROW.name)
        with reading(self._engine) as connection:
            return tuple(
                JwksFetcher(row.kind, row.name, row.fetches, row.last_fetched_at, frozenset(row.seen.split()))
                for row in connection.execute(query)
            )

    def sweep(self, now: Instant) -> None:
        """Delete fetchers whose last fetch is more than a year ago, so that new agents fit in."""
        with writing(self._engine) as connection:
            connection.execute(delete(jwks_verifiers).where(_ROW.last_fetched_at < now - KEEP_SECONDS))


def _merged(older: _Fetches, newer: _Fetches) -> _Fetches:
    return older[0] + newer[0], max(older[1], newer[1]), newer[2]


def _values(key: tuple[str, str], fetch: _Fetches) -> dict[str, Any]:
    return {"kind": key[0], "name": key[1], "fetches": fetch[0], "last_fetched_at": fetch[1], "seen": fetch[2]}
