"""Credentials as people look at them: lists by filter, counts, use.

``filters`` selects them, ``statuses`` computes their status, ``rows`` reads what is shown of each.
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
from authserver.store.credentials.filters import all_of, page_of, part_of, total_of, values_of
from authserver.store.credentials.rows import listed, one
from authserver.store.credentials.statuses import counting, moments
from authserver.store.engine.connections import reading
from authserver.store.rows.accounts import keys_of, secrets_of
from authserver.store.tables import credentials, resource_servers, sessions, token_requests, usage
from authserver.store.tokens.live_tokens import living, terms

_EXPORTED_FIRST, _EXPORTED_AT_ONCE = 50, 500
"""Rows of an export that are read together; the first few are on their way at once."""

_FARTHEST = 10_000_000
_CLIENT = bindparam("client_id", type_=String)
_LIVE = living(select(func.count()).select_from(sessions)).where(credentials.c.client_id == _CLIENT)
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
        """One page of the list: first which, and then what is shown of these."""
        size, number = min(max(query.size, 1), MAX_PAGE), max(query.page, 1)
        offset, owned, values = (number - 1) * size, owner_id is not None, values_of(query, now, owner_id)
        wanted, counted = page_of(query, owned=owned)
        with reading(self._engine) as connection:
            # No database takes an offset without end.
            far = offset >= _FARTHEST
            found = [] if far else connection.execute(wanted, {**values, "size": size, "offset": offset}).all()
            if counted and (found or not offset):
                total = found[0].total if found else 0
            else:
                total = connection.execute(total_of(query, owned=owned), values).scalar_one()
            return Page(listed(connection, [row.client_id for row in found], now, days=days), total, number, size)

    def part(
        self, query: CredentialQuery, now: Instant, limit: int, *, after: str = "", owner_id: str | None = None
    ) -> Sequence[CredentialRow]:
        """Up to ``limit`` rows behind the credential ``after`` in the order of a query, whatever its page."""
        values = {**values_of(query, now, owner_id), "after": after, "size": limit}
        with reading(self._engine) as connection:
            found = connection.execute(part_of(query, owned=owner_id is not None), values).scalars().all()
            return listed(connection, found, now, days=False)

    def counts(self, now: Instant, *, owner_id: str | None = None) -> Mapping[Status, int]:
        """How many credentials each status holds for."""
        with reading(self._engine) as connection:
            row = connection.execute(counting(owned=owner_id is not None), moments(now, owner_id)).one()
        return {status: int(getattr(row, status.value)) for status in Status}

    def row(self, client_id: str, now: Instant, *, owner_id: str | None = None) -> CredentialRow:
        """One credential that is not deleted; ``NotFound`` else."""
        with reading(self._engine) as connection:
            found = one(connection, client_id, now, owner_id) if storable(client_id) else None
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
        after, size, values, wanted = "", _EXPORTED_FIRST, values_of(query, now, None), all_of(query)
        while True:
            part = wanted.where(credentials.c.client_id > after).order_by(credentials.c.client_id).limit(size)
            with reading(self._engine) as connection:
                rows = listed(connection, connection.execute(part, values).scalars().all(), now, days=False)
            # No transaction is open here: whoever reads slowly holds nothing.
            yield from rows
            if len(rows) < size:
                return
            after, size = rows[-1].client_id, _EXPORTED_AT_ONCE

    def refusals(self, client_id: str, since: Instant) -> Mapping[str, int]:
        """Token requests since a day by outcome."""
        with reading(self._engine) as connection:
            rows = connection.execute(_REFUSALS, {"client_id": client_id, "since": since}).all()
        return {outcome: int(number) for outcome, number in rows}

    def usage(self, client_id: str, since: Instant, top: int = 10) -> Usage:
        """Uses of tokens since a day."""
        with reading(self._engine) as connection:
            rows = connection.execute(_USAGE, {"client_id": client_id, "since": since}).all()
        found = [RouteUse(*row[:4], uses=int(row.uses), last_used_at=row.last) for row in rows]
        found.sort(key=lambda each: (-each.uses, each.server_id, each.method, each.route))
        by_server: dict[str, ServerUse] = {}
        for each in found:
            known = by_server.get(each.server_id)
            uses, last = (known.uses, known.last_used_at) if known else (0, 0)
            by_server[each.server_id] = ServerUse(
                each.server_id, each.server, uses + each.uses, max(last, each.last_used_at)
            )
        servers = sorted(by_server.values(), key=lambda each: (-each.uses, each.server_id))
        return Usage(tuple(found[:top]), tuple(servers), sum(each.uses for each in found))

    def live_tokens(self, client_id: str, now: Instant) -> int:
        """How many recorded tokens of a credential live at ``now``."""
        with reading(self._engine) as connection:
            of = terms(connection, now)
            return connection.execute(_LIVE, {**of.values, "client_id": client_id}).scalar_one()
