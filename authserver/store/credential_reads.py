"""Credentials as people look at them: lists by filter, counts, use.

The statuses that ``rules/credential_status`` judges are told here in SQL as well,
because a page of a filtered list must be cut where the rows are.
``tests/test_console_reads.py`` holds the two to the same answer.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, case, exists, false, func, not_, or_, select

from authserver.console_reads import (
    MAX_PAGE,
    SPARK_DAYS,
    CredentialQuery,
    CredentialRow,
    DayCount,
    Page,
    RouteUse,
    ServerUse,
    Usage,
)
from authserver.ports import NotFound, SecretRecord
from authserver.rules.credential_status import EXPIRING_WITHIN, Status, StatusFacts, rotation_end, statuses
from authserver.rules.facts import Instant, over
from authserver.rules.lifetime import DAY
from authserver.store.accounts import as_secret
from authserver.store.activity import GRANTED
from authserver.store.engine import reading, storable
from authserver.store.live_tokens import live_tokens
from authserver.store.search import contains
from authserver.store.tables import (
    credential_roles,
    credential_use,
    credentials,
    resource_servers,
    roles,
    secrets,
    token_requests,
    usage,
    user_roles,
    users,
)

_EXPORTED_AT_ONCE = 500
_FARTHEST = 10_000_000


def status_conditions(now: Instant) -> dict[Status, ColumnElement[bool]]:
    """When each status holds, over ``credentials`` joined with ``users``."""
    mine = credentials.c
    still_held = exists().where(
        user_roles.c.user_id == mine.owner_id, user_roles.c.role_id == credential_roles.c.role_id
    )
    conditions = {
        Status.DISABLED: or_(mine.disabled_at.is_not(None), users.c.disabled_at.is_not(None)),
        Status.EXPIRED: mine.expires_at <= now,
        Status.EXPIRING: and_(mine.expires_at > now, mine.expires_at <= now + EXPIRING_WITHIN),
        Status.ROTATING: exists().where(secrets.c.client_id == mine.client_id, secrets.c.ends_at > now),
        Status.REDUCED: exists().where(credential_roles.c.client_id == mine.client_id, not_(still_held)),
    }
    return {**conditions, Status.ACTIVE: not_(or_(*conditions.values()))}


def _joined() -> Any:
    return credentials.join(users, users.c.id == credentials.c.owner_id).outerjoin(
        credential_use, credential_use.c.client_id == credentials.c.client_id
    )


def _select() -> Select[Any]:
    return select(
        credentials,
        users.c.username,
        users.c.disabled_at.label("owner_disabled_at"),
        *(credential_use.c[name] for name in ("last_used_at", "requested_at", "requested_peer", "requested_agent")),
    ).select_from(_joined())


def _conditions(query: CredentialQuery, now: Instant, owner_id: str | None) -> list[ColumnElement[bool]]:
    mine, last_used = credentials.c, credential_use.c.last_used_at
    found: list[ColumnElement[bool]] = [mine.deleted_at.is_(None)]
    if owner_id is not None:
        found.append(mine.owner_id == owner_id)
    if query.search:
        found.append(_search(query.search) if storable(query.search) else false())
    if query.status is not None:
        found.append(status_conditions(now)[query.status])
    if query.never_used:
        found.append(last_used.is_(None))
    if query.older_than_days is not None:
        found.append(mine.created_at <= now - query.older_than_days * DAY)
    if query.unused_days is not None:
        found.append(func.coalesce(last_used, mine.created_at) <= now - query.unused_days * DAY)
    if query.owner_disabled:
        found.append(users.c.disabled_at.is_not(None))
    return found


def _search(part: str) -> ColumnElement[bool]:
    mine = credentials.c
    # Asked once, not once a credential.
    in_a_role = mine.client_id.in_(
        select(credential_roles.c.client_id)
        .join(roles, roles.c.id == credential_roles.c.role_id)
        .where(contains(roles.c.name, part))
    )
    by_id = mine.client_id.startswith(part.lower(), autoescape=True)
    return or_(contains(mine.name, part), contains(users.c.username, part), in_a_role, by_id)


def _order(query: CredentialQuery) -> list[Any]:
    columns: dict[str, Any] = {
        "name": func.lower(credentials.c.name),
        "owner": users.c.folded_username,
        "expires_at": credentials.c.expires_at,
        "created_at": credentials.c.created_at,
        "last_used_at": func.coalesce(credential_use.c.last_used_at, 0),
    }
    by = columns[query.order]
    return [by.desc() if query.descending else by, credentials.c.client_id]


class SqlCredentialReads:
    """``console_reads.CredentialReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, query: CredentialQuery, now: Instant, *, owner_id: str | None = None) -> Page[CredentialRow]:
        """One page of the list."""
        size, number = min(max(query.size, 1), MAX_PAGE), max(query.page, 1)
        where = _conditions(query, now, owner_id)
        # The filters are the dear part: the total comes with the rows.
        wanted = _select().add_columns(func.count().over().label("total")).where(*where).order_by(*_order(query))
        offset = (number - 1) * size
        with reading(self._engine) as connection:
            # No database takes an offset without end.
            found = connection.execute(wanted.limit(size).offset(offset)).all() if offset < _FARTHEST else []
            if found:
                return Page(_rows(connection, found, now), found[0].total, number, size)
            total = connection.execute(select(func.count()).select_from(_joined()).where(*where)).scalar_one()
            return Page((), total, number, size)

    def counts(self, now: Instant, *, owner_id: str | None = None) -> Mapping[Status, int]:
        """How many credentials each status holds for."""
        where = _conditions(CredentialQuery(), now, owner_id)
        columns = [
            func.coalesce(func.sum(case((holds, 1), else_=0)), 0).label(status.value)
            for status, holds in status_conditions(now).items()
        ]
        with reading(self._engine) as connection:
            row = connection.execute(select(*columns).select_from(_joined()).where(*where)).one()
        return {status: int(getattr(row, status.value)) for status in Status}

    def row(self, client_id: str, now: Instant, *, owner_id: str | None = None) -> CredentialRow:
        """One credential that is not deleted; ``NotFound`` else."""
        where = [*_conditions(CredentialQuery(), now, owner_id), credentials.c.client_id == client_id]
        with reading(self._engine) as connection:
            found = connection.execute(_select().where(*where)).all() if storable(client_id) else []
            if not found:
                msg = f"there is no credential {client_id!r}; `flask credentials list` shows them"
                raise NotFound(msg)
            return _rows(connection, found, now)[0]

    def secrets(self, client_id: str) -> Sequence[SecretRecord]:
        """All secrets of a credential, newest first."""
        query = select(secrets).where(secrets.c.client_id == client_id)
        with reading(self._engine) as connection:
            ordered = query.order_by(secrets.c.created_at.desc(), secrets.c.id)
            return tuple(as_secret(row) for row in connection.execute(ordered))

    def export(self, query: CredentialQuery, now: Instant) -> Iterator[CredentialRow]:
        """All rows a query finds, by client id, without ``days``."""
        after, where = "", _conditions(query, now, None)
        while True:
            part = _select().where(*where, credentials.c.client_id > after)
            with reading(self._engine) as connection:
                found = connection.execute(part.order_by(credentials.c.client_id).limit(_EXPORTED_AT_ONCE)).all()
                rows = _rows(connection, found, now, spark=False)
            # No transaction is open here: whoever reads slowly holds nothing.
            yield from rows
            if len(rows) < _EXPORTED_AT_ONCE:
                return
            after = rows[-1].client_id

    def refusals(self, client_id: str, since: Instant) -> Mapping[str, int]:
        """Token requests since a day by outcome."""
        mine = token_requests.c
        query = select(mine.outcome, func.sum(mine.requests)).where(mine.client_id == client_id, mine.day >= since)
        with reading(self._engine) as connection:
            rows = connection.execute(query.group_by(mine.outcome).order_by(mine.outcome)).all()
        return {outcome: int(number) for outcome, number in rows}

    def usage(self, client_id: str, since: Instant, top: int = 10) -> Usage:
        """Uses of tokens since a day."""
        mine = usage.c
        query = (
            select(
                *(mine.resource_server_id, resource_servers.c.name, mine.method, mine.route),
                func.sum(mine.uses).label("uses"),
                func.max(mine.last_used_at).label("last"),
            )
            .select_from(usage.outerjoin(resource_servers, resource_servers.c.id == mine.resource_server_id))
            .where(mine.client_id == client_id, mine.day >= since)
            .group_by(mine.resource_server_id, resource_servers.c.name, mine.method, mine.route)
        )
        with reading(self._engine) as connection:
            found = [RouteUse(*row[:4], uses=int(row.uses), last_used_at=row.last) for row in connection.execute(query)]
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
            row = connection.execute(live_tokens(now, credentials.c.client_id == client_id)).first()
        return 0 if row is None else int(row.live)


def roles_of(connection: Connection, client_ids: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
    """The chosen roles of some credentials by name, each with whether the owner still holds it."""
    query = (
        select(credential_roles.c.client_id, roles.c.name, user_roles.c.user_id.is_not(None).label("held"))
        .select_from(
            credential_roles.join(roles, roles.c.id == credential_roles.c.role_id)
            .join(credentials, credentials.c.client_id == credential_roles.c.client_id)
            .outerjoin(
                user_roles,
                and_(
                    user_roles.c.user_id == credentials.c.owner_id, user_roles.c.role_id == credential_roles.c.role_id
                ),
            )
        )
        .where(credential_roles.c.client_id.in_(client_ids))
        .order_by(roles.c.name)
    )
    found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.client_id].append((row.name, bool(row.held)))
    return found


def _rows(
    connection: Connection, found: Sequence[Any], now: Instant, *, spark: bool = True
) -> tuple[CredentialRow, ...]:
    """Three statements, however many rows."""
    if not found:
        return ()
    ids = [row.client_id for row in found]
    chosen, own = roles_of(connection, ids), _live_secrets(connection, ids, now)
    days = _days(connection, ids, now) if spark else {}
    return tuple(
        _row(row, chosen[row.client_id], own[row.client_id], days.get(row.client_id, ()), now) for row in found
    )


def _row(
    row: Any,
    roles_now: Sequence[tuple[str, bool]],
    own: Sequence[SecretRecord],
    days: tuple[DayCount, ...],
    now: Instant,
) -> CredentialRow:
    held = tuple(name for name, still in roles_now if still)
    facts = StatusFacts(
        disabled=row.disabled_at is not None,
        owner_disabled=row.owner_disabled_at is not None,
        expires_at=row.expires_at,
        chosen=frozenset(name for name, _ in roles_now),
        held=frozenset(held),
        secret_ends=[secret.ends_at for secret in own],
    )
    return CredentialRow(
        client_id=row.client_id,
        name=row.name,
        owner=row.username,
        owner_id=row.owner_id,
        owner_disabled=facts.owner_disabled,
        chosen=tuple(name for name, _ in roles_now),
        held=held,
        expires_at=row.expires_at,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        statuses=statuses(facts, now),
        secrets=tuple(own),
        rotation_ends_at=rotation_end(facts.secret_ends, now),
        last_used_at=row.last_used_at,
        requested_at=row.requested_at,
        requested_peer=row.requested_peer,
        requested_agent=row.requested_agent,
        days=days,
    )


def _live_secrets(connection: Connection, ids: Sequence[str], now: Instant) -> dict[str, list[SecretRecord]]:
    query = select(secrets).where(secrets.c.client_id.in_(ids))
    own: dict[str, list[SecretRecord]] = defaultdict(list)
    for row in connection.execute(query.order_by(secrets.c.created_at.desc(), secrets.c.id)):
        if row.ends_at is None or not over(now, row.ends_at):
            own[row.client_id].append(as_secret(row))
    return own


def _days(connection: Connection, ids: Sequence[str], now: Instant) -> dict[str, tuple[DayCount, ...]]:
    mine, today = token_requests.c, now - now % DAY
    first = today - (SPARK_DAYS - 1) * DAY
    granted = func.sum(case((mine.outcome == GRANTED, mine.requests), else_=0)).label("granted")
    query = (
        select(mine.client_id, mine.day, granted, func.sum(mine.requests).label("requests"))
        .where(mine.client_id.in_(ids), mine.day >= first)
        .group_by(mine.client_id, mine.day)
    )
    counted = {
        (row.client_id, row.day): (int(row.granted), int(row.requests) - int(row.granted))
        for row in connection.execute(query)
    }
    wanted = range(first, today + DAY, DAY)
    return {each: tuple(DayCount(day, *counted.get((each, day), (0, 0))) for day in wanted) for each in ids}
