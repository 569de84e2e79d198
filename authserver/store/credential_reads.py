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
from authserver.store.account_rows import as_secret
from authserver.store.activity import GRANTED
from authserver.store.engine import reading, storable
from authserver.store.live_tokens import live_tokens, terms
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

_EXPORTED_FIRST, _EXPORTED_AT_ONCE = 50, 500
"""Rows of an export that are read together; the first few are on their way at once."""

_FARTHEST = 10_000_000
_OF_AN_ID = frozenset("0123456789abcdef-")
"""What client ids are made of (``rules/names.CLIENT_ID``): nothing else can be a part of one."""


def status_conditions(now: Instant, owner_id: str | None = None) -> dict[Status, ColumnElement[bool]]:
    """When each status holds, over ``credentials`` alone: whoever lists joins only what is shown.

    ``owner_id`` says that no others are asked about, and changes nothing else.
    """
    mine = credentials.c
    rotating = select(secrets.c.client_id).where(secrets.c.ends_at > now)
    conditions = {
        Status.DISABLED: or_(mine.disabled_at.is_not(None), _owner_disabled()),
        Status.EXPIRED: mine.expires_at <= now,
        Status.EXPIRING: and_(mine.expires_at > now, mine.expires_at <= now + EXPIRING_WITHIN),
        Status.ROTATING: mine.client_id.in_(rotating),
        Status.REDUCED: mine.client_id.in_(_reduced(owner_id)),
    }
    return {**conditions, Status.ACTIVE: not_(or_(*conditions.values()))}


def _reduced(owner_id: str | None) -> Select[Any]:
    """Which credentials have a chosen role that their owner lost: owner by owner, along an index."""
    all_of = credentials.alias("all_of")
    chosen = all_of.join(credential_roles, credential_roles.c.client_id == all_of.c.client_id)
    held = and_(user_roles.c.user_id == all_of.c.owner_id, user_roles.c.role_id == credential_roles.c.role_id)
    # No id is empty; SQLite takes the index for it.
    whose = all_of.c.owner_id > "" if owner_id is None else all_of.c.owner_id == owner_id
    lost = select(all_of.c.client_id).select_from(chosen.outerjoin(user_roles, held))
    return lost.where(whose, all_of.c.deleted_at.is_(None), user_roles.c.user_id.is_(None))


def _owner_disabled() -> ColumnElement[bool]:
    return credentials.c.owner_id.in_(select(users.c.id).where(users.c.disabled_at.is_not(None)))


def _select() -> Select[Any]:
    return select(
        credentials,
        users.c.username,
        users.c.disabled_at.label("owner_disabled_at"),
        *(credential_use.c[name] for name in ("last_used_at", "requested_at", "requested_peer", "requested_agent")),
    ).select_from(
        credentials.join(users, users.c.id == credentials.c.owner_id).outerjoin(
            credential_use, credential_use.c.client_id == credentials.c.client_id
        )
    )


def _kept(owner_id: str | None) -> list[ColumnElement[bool]]:
    kept = credentials.c.deleted_at.is_(None)
    return [kept] if owner_id is None else [kept, credentials.c.owner_id == owner_id]


def _filters(query: CredentialQuery, now: Instant, owner_id: str | None) -> list[ColumnElement[bool]]:
    mine = credentials.c
    used = exists().where(credential_use.c.client_id == mine.client_id)
    found: list[ColumnElement[bool]] = []
    if query.search:
        found.append(_search(query.search) if storable(query.search) else false())
    if query.status is not None:
        found.append(status_conditions(now, owner_id)[query.status])
    if query.never_used:
        found.append(not_(used))
    if query.older_than_days is not None:
        found.append(mine.created_at <= now - query.older_than_days * DAY)
    if query.unused_days is not None:
        # What was made since cannot be unused for so long, and what was used since is not.
        since = now - query.unused_days * DAY
        found += [mine.created_at <= since, not_(used.where(credential_use.c.last_used_at > since))]
    if query.owner_disabled:
        found.append(_owner_disabled())
    return found


def _search(part: str) -> ColumnElement[bool]:
    mine = credentials.c
    # Owners and roles are asked once, not once a credential.
    named = select(roles.c.id).where(contains(roles.c.name, part))
    in_a_role = select(credential_roles.c.client_id).where(credential_roles.c.role_id.in_(named))
    of_an_owner = select(users.c.id).where(contains(users.c.username, part))
    found = [contains(mine.name, part), mine.owner_id.in_(of_an_owner), mine.client_id.in_(in_a_role)]
    if _OF_AN_ID.issuperset(part.lower()):
        found.append(mine.client_id.startswith(part.lower()))
    return or_(*found)


def _ordered(ids: Select[Any], query: CredentialQuery, owner_id: str | None) -> Select[Any]:
    """``ids`` in the order that is asked for, with the table it needs."""
    by: Any = credentials.c.expires_at if query.order == "expires_at" else credentials.c.created_at
    if query.order == "name":
        by = func.lower(credentials.c.name)
    elif query.order == "owner":
        ids, by = ids.join(users, users.c.id == credentials.c.owner_id), users.c.folded_username
    elif query.order == "last_used_at":
        ids = ids.outerjoin(credential_use, credential_use.c.client_id == credentials.c.client_id)
        by = func.coalesce(credential_use.c.last_used_at, 0)
    elif owner_id is not None:
        # Hides the index that has this order, and everybody's credentials: an owner has a handful.
        by = func.coalesce(by, 0)
    return ids.order_by(by.desc() if query.descending else by, credentials.c.client_id)


class SqlCredentialReads:
    """``console_reads.CredentialReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, query: CredentialQuery, now: Instant, *, owner_id: str | None = None, days: bool = True
    ) -> Page[CredentialRow]:
        """One page of the list: first which, and then what is shown of these."""
        size, number = min(max(query.size, 1), MAX_PAGE), max(query.page, 1)
        kept, filters = _kept(owner_id), _filters(query, now, owner_id)
        ids = select(credentials.c.client_id).select_from(credentials).where(*kept, *filters)
        dear = bool(filters) or owner_id is not None
        if dear:
            # Asking twice costs more: the total comes with the rows.
            ids = ids.add_columns(func.count().over().label("total"))
        offset = (number - 1) * size
        with reading(self._engine) as connection:
            # No database takes an offset without end.
            wanted = _ordered(ids, query, owner_id).limit(size).offset(offset)
            found = connection.execute(wanted).all() if offset < _FARTHEST else []
            if dear and (found or not offset):
                total = found[0].total if found else 0
            else:
                counted = select(func.count()).select_from(credentials).where(*kept, *filters)
                total = connection.execute(counted).scalar_one()
            return Page(_shown(connection, [row.client_id for row in found], now, days=days), total, number, size)

    def counts(self, now: Instant, *, owner_id: str | None = None) -> Mapping[Status, int]:
        """How many credentials each status holds for."""
        conditions = status_conditions(now, owner_id)
        del conditions[Status.ACTIVE]  # what is left
        flags = [case((holds, 1), else_=0).label(status.value) for status, holds in conditions.items()]
        # The limit cuts nothing: it keeps each flag from being worked out anew wherever it is used.
        each = select(*flags).where(*_kept(owner_id)).limit(_FARTHEST).subquery()
        held: list[Any] = [each.c[status.value] for status in conditions]
        sums = [func.coalesce(func.sum(flag), 0).label(flag.name) for flag in held]
        left = func.count().filter(sum(held[1:], start=held[0]) == 0).label(Status.ACTIVE.value)
        with reading(self._engine) as connection:
            row = connection.execute(select(*sums, left)).one()
        return {status: int(getattr(row, status.value)) for status in Status}

    def row(self, client_id: str, now: Instant, *, owner_id: str | None = None) -> CredentialRow:
        """One credential that is not deleted; ``NotFound`` else."""
        where = [*_kept(owner_id), credentials.c.client_id == client_id]
        with reading(self._engine) as connection:
            known = select(credentials.c.client_id).where(*where)
            found = connection.execute(known).scalars().all() if storable(client_id) else []
            if not found:
                msg = f"there is no credential {client_id!r}; `flask credentials list` shows them"
                raise NotFound(msg)
            return _shown(connection, found, now, days=True)[0]

    def secrets(self, client_id: str) -> Sequence[SecretRecord]:
        """All secrets of a credential, newest first."""
        query = select(secrets).where(secrets.c.client_id == client_id)
        with reading(self._engine) as connection:
            ordered = query.order_by(secrets.c.created_at.desc(), secrets.c.id)
            return tuple(as_secret(row) for row in connection.execute(ordered))

    def export(self, query: CredentialQuery, now: Instant) -> Iterator[CredentialRow]:
        """All rows a query finds, by client id, without ``days``."""
        after, size = "", _EXPORTED_FIRST
        wanted = select(credentials.c.client_id).where(*_kept(None), *_filters(query, now, None))
        while True:
            part = wanted.where(credentials.c.client_id > after).order_by(credentials.c.client_id).limit(size)
            with reading(self._engine) as connection:
                rows = _shown(connection, connection.execute(part).scalars().all(), now, days=False)
            # No transaction is open here: whoever reads slowly holds nothing.
            yield from rows
            if len(rows) < size:
                return
            after, size = rows[-1].client_id, _EXPORTED_AT_ONCE

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
            mine = credentials.c.client_id == client_id
            row = connection.execute(live_tokens(terms(connection, now), mine)).first()
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


def _shown(connection: Connection, ids: Sequence[str], now: Instant, *, days: bool) -> tuple[CredentialRow, ...]:
    """All that is shown of some credentials, in their order; four statements, however many."""
    if not ids:
        return ()
    found = {row.client_id: row for row in connection.execute(_select().where(credentials.c.client_id.in_(ids)))}
    chosen, own = roles_of(connection, ids), _live_secrets(connection, ids, now)
    spark = _days(connection, ids, now) if days else {}
    return tuple(_row(found[each], chosen[each], own[each], spark.get(each, ()), now) for each in ids)


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
    mine, last = token_requests.c, now - now % DAY
    first = last - (SPARK_DAYS - 1) * DAY
    granted = func.sum(case((mine.outcome == GRANTED, mine.requests), else_=0)).label("granted")
    query = (
        select(mine.client_id, mine.day, granted, func.sum(mine.requests).label("requests"))
        .where(mine.client_id.in_(ids), mine.day >= first, mine.day <= last)
        .group_by(mine.client_id, mine.day)
    )
    empty = [DayCount(day) for day in range(first, last + DAY, DAY)]
    days = {each: empty.copy() for each in ids}
    for row in connection.execute(query):
        counted = DayCount(row.day, int(row.granted), int(row.requests) - int(row.granted))
        days[row.client_id][(row.day - first) // DAY] = counted
    return {each: tuple(its) for each, its in days.items()}
