"""Reads of credentials for the console: lists by filter, counts, usage.

``filters`` selects the ids, ``statuses`` computes statuses, ``rows`` reads the columns of each row.
"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import BigInteger, Engine, String, bindparam, func, select

from authserver.ports.console_reads.credentials import CredentialQuery, CredentialRow, RouteUse, ServerUse, Usage
from authserver.ports.console_reads.paging import MAX_PAGE, Page
from authserver.ports.credentials import KeyRecord, SecretRecord
from authserver.ports.errors import NotFound
from authserver.rules.credential_status import Status
from authserver.rules.facts import Instant
from authserver.rules.names import storable
from authserver.store.credentials.filters import all_ids, ids_after, page_ids, query_parameters, total_count
from authserver.store.credentials.rows import credential_row_or_none, credential_rows
from authserver.store.credentials.statuses import status_counts, status_parameters
from authserver.store.engine.connections import reading
from authserver.store.rows.accounts import keys_of, secrets_of
from authserver.store.tables import credentials, resource_servers, sessions, token_requests, usage
from authserver.store.tokens.live_tokens import read_terms, where_live

_FIRST_EXPORT_BATCH, _EXPORT_BATCH = 50, 500
"""Rows of one batch of an export; the first batch is small, so that the response begins at once."""

_MAX_OFFSET = 10_000_000
_CLIENT = bindparam("client_id", type_=String)
_LIVE = where_live(select(func.count()).select_from(sessions)).where(credentials.c.client_id == _CLIENT)
_SINCE = bindparam("since", type_=BigInteger)
_REFUSALS = (
    select(token_requests.c.outcome, func.sum(token_requests.c.requests))
    .where(token_requests.c.client_id == _CLIENT, token_requests.c.day >= _SINCE)
    .group_by(token_requests.c.outcome)
    .order_by(token_requests.c.outcome)
)
_ROUTE = (usage.c.resource_server_id, resource_servers.c.name, usage.c.method, usage.c.route)
_USAGE = (
    select(*_ROUTE, func.sum(usage.c.uses).label("uses"), func.max(usage.c.last_used_at).label("last"))
    .select_from(usage.outerjoin(resource_servers, resource_servers.c.id == usage.c.resource_server_id))
    .where(usage.c.client_id == _CLIENT, usage.c.day >= _SINCE)
    .group_by(*_ROUTE)
)


class SqlCredentialReads:
    """``console_reads.CredentialReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, query: CredentialQuery, now: Instant, *, owner_id: str | None = None, days: bool = True
    ) -> Page[CredentialRow]:
        """One page of the list: reads the ids first, then the rows of these ids."""
        size, number = min(max(query.size, 1), MAX_PAGE), max(query.page, 1)
        offset, owned, values = (number - 1) * size, owner_id is not None, query_parameters(query, now, owner_id)
        ids_query, total_in_rows = page_ids(query, owned=owned)
        with reading(self._engine) as connection:
            # A database limits the offset.
            beyond_any_list = offset >= _MAX_OFFSET
            id_rows = (
                []
                if beyond_any_list
                else connection.execute(ids_query, {**values, "size": size, "offset": offset}).all()
            )
            if total_in_rows and (id_rows or not offset):
                total = id_rows[0].total if id_rows else 0
            else:
                total = connection.execute(total_count(query, owned=owned), values).scalar_one()
            return Page(
                credential_rows(connection, [row.client_id for row in id_rows], now, days=days), total, number, size
            )

    def part(
        self, query: CredentialQuery, now: Instant, limit: int, *, after: str = "", owner_id: str | None = None
    ) -> Sequence[CredentialRow]:
        """Up to ``limit`` rows that follow the credential ``after`` in the order of a query, whatever its page."""
        values = {**query_parameters(query, now, owner_id), "after": after, "size": limit}
        with reading(self._engine) as connection:
            ids = connection.execute(ids_after(query, owned=owner_id is not None), values).scalars().all()
            return credential_rows(connection, ids, now, days=False)

    def counts(self, now: Instant, *, owner_id: str | None = None) -> Mapping[Status, int]:
        """How many credentials each status holds for."""
        with reading(self._engine) as connection:
            row = connection.execute(status_counts(owned=owner_id is not None), status_parameters(now, owner_id)).one()
        return {status: int(getattr(row, status.value)) for status in Status}

    def row(self, client_id: str, now: Instant, *, owner_id: str | None = None) -> CredentialRow:
        """One credential that is not deleted; ``NotFound`` else."""
        with reading(self._engine) as connection:
            found = credential_row_or_none(connection, client_id, now, owner_id) if storable(client_id) else None
        if found is None:
            msg = f"there is no credential {client_id!r}; `flask credentials list` shows them"
            raise NotFound(msg)
        return found

    def secrets(self, client_id: str) -> Sequence[SecretRecord]:
        """All secrets of a credential, newest first."""
        with reading(self._engine) as connection:
            return secrets_of(connection, client_id)

    def keys(self, client_id: str) -> Sequence[KeyRecord]:
        """All public keys of a credential, newest first."""
        with reading(self._engine) as connection:
            return keys_of(connection, client_id)

    def export(self, query: CredentialQuery, now: Instant) -> Iterator[CredentialRow]:
        """All rows a query finds, by client id, without ``days``."""
        after, size, values, ids_query = "", _FIRST_EXPORT_BATCH, query_parameters(query, now, None), all_ids(query)
        while True:
            batch_query = ids_query.where(credentials.c.client_id > after).order_by(credentials.c.client_id).limit(size)
            with reading(self._engine) as connection:
                rows = credential_rows(
                    connection, connection.execute(batch_query, values).scalars().all(), now, days=False
                )
            # No transaction is open here: a slow consumer holds no connection.
            yield from rows
            if len(rows) < size:
                return
            after, size = rows[-1].client_id, _EXPORT_BATCH

    def refusals(self, client_id: str, since: Instant) -> Mapping[str, int]:
        """Token requests since a day by outcome."""
        with reading(self._engine) as connection:
            rows = connection.execute(_REFUSALS, {"client_id": client_id, "since": since}).all()
        return {outcome: int(number) for outcome, number in rows}

    def usage(self, client_id: str, since: Instant, top: int = 10) -> Usage:
        """Uses of tokens since a day."""
        with reading(self._engine) as connection:
            rows = connection.execute(_USAGE, {"client_id": client_id, "since": since}).all()
        routes = [RouteUse(*row[:4], uses=int(row.uses), last_used_at=row.last) for row in rows]
        routes.sort(key=lambda route: (-route.uses, route.server_id, route.method, route.route))
        by_server: dict[str, ServerUse] = {}
        for route in routes:
            server = by_server.get(route.server_id)
            uses, last = (server.uses, server.last_used_at) if server else (0, 0)
            by_server[route.server_id] = ServerUse(
                route.server_id, route.server, uses + route.uses, max(last, route.last_used_at)
            )
        servers = sorted(by_server.values(), key=lambda route: (-route.uses, route.server_id))
        return Usage(tuple(routes[:top]), tuple(servers), sum(route.uses for route in routes))

    def live_tokens(self, client_id: str, now: Instant) -> int:
        """How many recorded tokens of a credential live at ``now``."""
        with reading(self._engine) as connection:
            terms = read_terms(connection, now)
            return connection.execute(_LIVE, {**terms.values, "client_id": client_id}).scalar_one()
