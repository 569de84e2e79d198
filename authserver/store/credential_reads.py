"""Credentials as people look at them: lists by filter, counts, use.

The statuses that ``rules/credential_status`` judges are told here in SQL as well,
because a page of a filtered list must be cut where the rows are.
``tests/test_console_reads.py`` holds the two to the same answer.

Statements are built once and kept, for that costs more than to run most of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    ScalarSelect,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    union_all,
)

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
from authserver.store.account_rows import as_secret, secrets_of
from authserver.store.activity import GRANTED
from authserver.store.engine import reading, storable
from authserver.store.live_tokens import living, terms
from authserver.store.search import contains
from authserver.store.tables import (
    credential_roles,
    credential_use,
    credentials,
    resource_servers,
    roles,
    secrets,
    sessions,
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

_OF_ITS_OWN_ROW = (Status.DISABLED, Status.EXPIRED, Status.EXPIRING)


_NOW, _SOON = (bindparam(name, type_=BigInteger) for name in ("now", "soon"))
_OWNER = bindparam("owner", type_=String)
_IDS = bindparam("ids", type_=String, expanding=True)
_CLIENT = bindparam("client_id", type_=String)


def _moments(now: Instant, owner_id: str | None) -> dict[str, Any]:
    """The values of the statements below; those without an owner have no use for one."""
    owned = {} if owner_id is None else {"owner": owner_id}
    return {"now": now, "soon": now + EXPIRING_WITHIN, **owned}


@cache
def status_conditions(*, owned: bool = False) -> dict[Status, ColumnElement[bool]]:
    """When each status holds at ``now``, over ``credentials`` alone: whoever lists joins only what is shown.

    ``owned`` says that none but the credentials of ``owner`` are asked about, and changes nothing else.
    """
    mine, marked = credentials.c, _marked(owned=owned)
    return {
        Status.DISABLED: or_(mine.disabled_at.is_not(None), _owner_disabled()),
        Status.EXPIRED: mine.expires_at <= _NOW,
        Status.EXPIRING: and_(mine.expires_at > _NOW, mine.expires_at <= _SOON),
        Status.ROTATING: mine.client_id.in_(_rotating()),
        Status.REDUCED: mine.client_id.in_(_reduced(owned=owned)),
        Status.ACTIVE: and_(_looks_active(), mine.client_id.not_in(select(marked.c.client_id))),
    }


def _looks_active() -> ColumnElement[bool]:
    """As far as its own row tells."""
    return and_(credentials.c.disabled_at.is_(None), credentials.c.expires_at > _SOON)


@cache
def _marked(*, owned: bool) -> CTE:
    """Whatever has a status for which more than its own row is asked; found once, however often it is looked at."""
    others = credentials.alias("others")
    of_disabled = select(others.c.client_id).where(others.c.deleted_at.is_(None))
    of_disabled = of_disabled.where(others.c.owner_id.in_(_disabled_owners()))
    if owned:
        of_disabled = of_disabled.where(others.c.owner_id == _OWNER)
    found = union_all(select(_lost(owned=owned).c.client_id), _rotating(), of_disabled)
    return found.cte("marked").prefix_with("MATERIALIZED")


@cache
def _lost(*, owned: bool) -> CTE:
    return _reduced(owned=owned).cte("lost").prefix_with("MATERIALIZED")


def _rotating() -> Select[Any]:
    return select(secrets.c.client_id).where(secrets.c.ends_at > _NOW)


def _reduced(*, owned: bool) -> Select[Any]:
    """Which credentials have a chosen role that their owner lost: owner by owner, along an index."""
    all_of = credentials.alias("all_of")
    chosen = all_of.join(credential_roles, credential_roles.c.client_id == all_of.c.client_id)
    held = and_(user_roles.c.user_id == all_of.c.owner_id, user_roles.c.role_id == credential_roles.c.role_id)
    # No id is empty; SQLite takes the index for it.
    whose = all_of.c.owner_id == _OWNER if owned else all_of.c.owner_id > ""
    lost = select(all_of.c.client_id).select_from(chosen.outerjoin(user_roles, held))
    return lost.where(whose, all_of.c.deleted_at.is_(None), user_roles.c.user_id.is_(None))


def _disabled_owners() -> Select[Any]:
    return select(users.c.id).where(users.c.disabled_at.is_not(None))


def _owner_disabled() -> ColumnElement[bool]:
    return credentials.c.owner_id.in_(_disabled_owners())


def _kept(*, owned: bool) -> list[ColumnElement[bool]]:
    kept = credentials.c.deleted_at.is_(None)
    return [kept, credentials.c.owner_id == _OWNER] if owned else [kept]


# Always so, and the beginning of the one index that has all the columns of a filter: SQLite, which has no
# statistics, would look up each row instead.
_ALONG_THE_INDEX = credentials.c.created_at >= 0


@cache
def _counting(*, owned: bool) -> Select[Any]:
    """One row: how many credentials each status holds for."""
    conditions = status_conditions(owned=owned)
    kept = [*_kept(owned=owned), *([] if owned else [_ALONG_THE_INDEX])]
    each: dict[Status, ColumnElement[int]]
    each = {status: func.count().filter(conditions[status]) for status in _OF_ITS_OWN_ROW}
    each[Status.ACTIVE] = func.count().filter(_looks_active()) - _only_look_active(owned=owned)
    rotating = select(func.count()).select_from(credentials)
    rotating = rotating.where(*_kept(owned=owned), conditions[Status.ROTATING])
    each[Status.ROTATING] = rotating.correlate(None).scalar_subquery()
    reduced = select(func.count(func.distinct(_lost(owned=owned).c.client_id)))
    each[Status.REDUCED] = reduced.scalar_subquery()
    counts: list[Any] = [count.label(status.value) for status, count in each.items()]
    return select(*counts).where(*kept)


def _only_look_active(*others: ColumnElement[bool], owned: bool) -> ScalarSelect[int]:
    """How many look active by their own row and are not; few, so to take them off costs less than to ask of each."""
    marked = credentials.c.client_id.in_(select(_marked(owned=owned).c.client_id))
    found = select(func.count()).select_from(credentials).where(*_kept(owned=owned), _looks_active(), marked, *others)
    return found.correlate(None).scalar_subquery()


def _shape(query: CredentialQuery) -> CredentialQuery:
    """What of a query makes its statement; the rest are values."""
    some = (None if days is None else 0 for days in (query.older_than_days, query.unused_days))
    older, unused = some
    return replace(query, search="", older_than_days=older, unused_days=unused, page=1, size=1)


def _values(query: CredentialQuery, now: Instant, owner_id: str | None) -> dict[str, Any]:
    ages = (("older", query.older_than_days), ("unused", query.unused_days))
    return _moments(now, owner_id) | {name: now - days * DAY for name, days in ages if days is not None}


def _filters(shape: CredentialQuery, *, owned: bool) -> list[ColumnElement[bool]]:
    mine = credentials.c
    used = exists().where(credential_use.c.client_id == mine.client_id)
    older, unused = (bindparam(name, type_=BigInteger) for name in ("older", "unused"))
    found: list[ColumnElement[bool]] = []
    if shape.status is not None:
        found.append(status_conditions(owned=owned)[shape.status])
    if shape.never_used:
        found.append(not_(used))
    if shape.older_than_days is not None:
        found.append(mine.created_at <= older)
    if shape.unused_days is not None:
        # What was made since cannot be unused for so long, and what was used since is not.
        found += [mine.created_at <= unused, not_(used.where(credential_use.c.last_used_at > unused))]
    if shape.owner_disabled:
        found.append(_owner_disabled())
    return found


def _narrows(shape: CredentialQuery) -> bool:
    some = (shape.status, shape.older_than_days, shape.unused_days)
    return shape.never_used or shape.owner_disabled or any(each is not None for each in some)


def _searched(part: str) -> list[ColumnElement[bool]]:
    if not part:
        return []
    return [_search(part) if storable(part) else false()]


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


def _dear(shape: CredentialQuery, *, owned: bool, searched: bool) -> bool:
    """Whether asking twice, for rows and total, costs more than to have the total with the rows."""
    return owned or searched or _narrows(shape)


@lru_cache(maxsize=256)
def _wanted(shape: CredentialQuery, *, owned: bool, searched: bool) -> Select[Any]:
    """The ids of one page, in the order that is asked for; with the total where that is ``_dear``."""
    where = [*_kept(owned=owned), *_filters(shape, owned=owned)]
    ids = _ordered(select(credentials.c.client_id).select_from(credentials).where(*where), shape, owned=owned)
    ids = ids.limit(bindparam("size", type_=Integer)).offset(bindparam("offset", type_=BigInteger))
    if not _dear(shape, owned=owned, searched=searched):
        return ids
    if shape.status is Status.ACTIVE and shape.order == "created_at" and not owned and not searched:
        # Nearly all: the page is the beginning of an index, and only the total looks at everything.
        return ids.add_columns(_total(shape, (), owned=owned).correlate(None).scalar_subquery().label("total"))
    ids = ids.add_columns(func.count().over().label("total"))
    return ids if owned else ids.where(_ALONG_THE_INDEX)


def _total(shape: CredentialQuery, searched: Sequence[ColumnElement[bool]], *, owned: bool) -> Select[Any]:
    along = [] if owned else [_ALONG_THE_INDEX]
    counted = select(func.count().label("total")).select_from(credentials)
    counted = counted.where(*_kept(owned=owned), *along, *searched)
    if shape.status is not Status.ACTIVE:
        return counted.where(*_filters(shape, owned=owned))
    others = [*_filters(replace(shape, status=None), owned=owned), *searched]
    looking = counted.where(_looks_active(), *others).correlate(None).scalar_subquery()
    return select((looking - _only_look_active(*others, owned=owned)).label("total"))


@lru_cache(maxsize=256)
def _known_total(shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    return _total(shape, (), owned=owned)


def _ordered(ids: Select[Any], shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    """``ids`` in the order that is asked for, with the table it needs."""
    by: Any = credentials.c.expires_at if shape.order == "expires_at" else credentials.c.created_at
    if shape.order == "name":
        by = func.lower(credentials.c.name)
    elif shape.order == "owner":
        ids, by = ids.join(users, users.c.id == credentials.c.owner_id), users.c.folded_username
    elif shape.order == "last_used_at":
        ids = ids.outerjoin(credential_use, credential_use.c.client_id == credentials.c.client_id)
        by = func.coalesce(credential_use.c.last_used_at, 0)
    elif owned:
        # Hides the index that has this order, and everybody's credentials: an owner has a handful.
        by = func.coalesce(by, 0)
    return ids.order_by(by.desc() if shape.descending else by, credentials.c.client_id)


_ROWS = (
    select(
        credentials,
        users.c.username,
        users.c.disabled_at.label("owner_disabled_at"),
        *(credential_use.c[name] for name in ("last_used_at", "requested_at", "requested_peer", "requested_agent")),
    )
    .select_from(
        credentials.join(users, users.c.id == credentials.c.owner_id).outerjoin(
            credential_use, credential_use.c.client_id == credentials.c.client_id
        )
    )
    .where(credentials.c.client_id.in_(_IDS), credentials.c.deleted_at.is_(None))
)
_OWN_ROWS = _ROWS.where(credentials.c.owner_id == _OWNER)
_owner_of_it = select(credentials.c.owner_id).where(credentials.c.client_id == credential_roles.c.client_id)
# Looked up one by one: as a join, PostgreSQL reads all credentials for the roles of fifty.
_still_held = exists().where(
    user_roles.c.user_id == _owner_of_it.correlate(credential_roles).scalar_subquery(),
    user_roles.c.role_id == credential_roles.c.role_id,
)
_ROLES = (
    select(credential_roles.c.client_id, roles.c.name, _still_held.label("held"))
    .join(roles, roles.c.id == credential_roles.c.role_id)
    .where(credential_roles.c.client_id.in_(_IDS))
    .order_by(roles.c.name)
)
_SECRETS = select(secrets).where(secrets.c.client_id.in_(_IDS)).order_by(secrets.c.created_at.desc(), secrets.c.id)
_DAYS = (
    select(
        *(token_requests.c.client_id, token_requests.c.day),
        func.sum(case((token_requests.c.outcome == GRANTED, token_requests.c.requests), else_=0)),
        func.sum(token_requests.c.requests),
    )
    .where(
        token_requests.c.client_id.in_(_IDS),
        token_requests.c.day >= bindparam("first", type_=BigInteger),
        token_requests.c.day <= bindparam("last", type_=BigInteger),
    )
    .group_by(token_requests.c.client_id, token_requests.c.day)
)
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
        offset, shape, owned = (number - 1) * size, _shape(query), owner_id is not None
        searched, values = _searched(query.search), _values(query, now, owner_id)
        dear = _dear(shape, owned=owned, searched=bool(searched))
        wanted = _wanted(shape, owned=owned, searched=bool(searched))
        wanted = wanted.where(*searched) if searched else wanted
        with reading(self._engine) as connection:
            # No database takes an offset without end.
            far = offset >= _FARTHEST
            found = [] if far else connection.execute(wanted, {**values, "size": size, "offset": offset}).all()
            if dear and (found or not offset):
                total = found[0].total if found else 0
            else:
                counted = _total(shape, searched, owned=owned) if searched else _known_total(shape, owned=owned)
                total = connection.execute(counted, values).scalar_one()
            return Page(_listed(connection, [row.client_id for row in found], now, days=days), total, number, size)

    def counts(self, now: Instant, *, owner_id: str | None = None) -> Mapping[Status, int]:
        """How many credentials each status holds for."""
        with reading(self._engine) as connection:
            row = connection.execute(_counting(owned=owner_id is not None), _moments(now, owner_id)).one()
        return {status: int(getattr(row, status.value)) for status in Status}

    def row(self, client_id: str, now: Instant, *, owner_id: str | None = None) -> CredentialRow:
        """One credential that is not deleted; ``NotFound`` else."""
        query, owned = (_ROWS, {}) if owner_id is None else (_OWN_ROWS, {"owner": owner_id})
        with reading(self._engine) as connection:
            rows = connection.execute(query, {"ids": [client_id], **owned}).all() if storable(client_id) else []
            if not rows:
                msg = f"there is no credential {client_id!r}; `flask credentials list` shows them"
                raise NotFound(msg)
            return _shown(connection, rows, now, days=True)[0]

    def secrets(self, client_id: str) -> Sequence[SecretRecord]:
        """All secrets of a credential, newest first."""
        with reading(self._engine) as connection:
            return secrets_of(connection, client_id)

    def export(self, query: CredentialQuery, now: Instant) -> Iterator[CredentialRow]:
        """All rows a query finds, by client id, without ``days``."""
        after, size, values = "", _EXPORTED_FIRST, _values(query, now, None)
        where = [*_kept(owned=False), *_filters(_shape(query), owned=False), *_searched(query.search)]
        wanted = select(credentials.c.client_id).where(*where)
        while True:
            part = wanted.where(credentials.c.client_id > after).order_by(credentials.c.client_id).limit(size)
            with reading(self._engine) as connection:
                rows = _listed(connection, connection.execute(part, values).scalars().all(), now, days=False)
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


def roles_of(connection: Connection, client_ids: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
    """The chosen roles of some credentials by name, each with whether the owner still holds it."""
    found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for client_id, name, held in connection.execute(_ROLES, {"ids": client_ids}).all():
        found[client_id].append((name, bool(held)))
    return found


def _listed(connection: Connection, ids: Sequence[str], now: Instant, *, days: bool) -> tuple[CredentialRow, ...]:
    """All that is shown of some credentials, in their order; four statements, however many."""
    found = {row.client_id: row for row in connection.execute(_ROWS, {"ids": ids}).all()} if ids else {}
    return _shown(connection, [found[each] for each in ids], now, days=days)


def _shown(connection: Connection, rows: Sequence[Any], now: Instant, *, days: bool) -> tuple[CredentialRow, ...]:
    if not rows:
        return ()
    ids = [row.client_id for row in rows]
    chosen, own = roles_of(connection, ids), _live_secrets(connection, ids, now)
    spark = _days(connection, ids, now) if days else {}
    return tuple(_row(row, chosen[id_], own[id_], spark.get(id_, ()), now) for id_, row in zip(ids, rows, strict=True))


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
    own: dict[str, list[SecretRecord]] = defaultdict(list)
    for row in connection.execute(_SECRETS, {"ids": ids}).all():
        if row.ends_at is None or not over(now, row.ends_at):
            own[row.client_id].append(as_secret(row))
    return own


def _days(connection: Connection, ids: Sequence[str], now: Instant) -> dict[str, tuple[DayCount, ...]]:
    last = now - now % DAY
    first = last - (SPARK_DAYS - 1) * DAY
    empty = [DayCount(day) for day in range(first, last + DAY, DAY)]
    days = {each: empty.copy() for each in ids}
    rows = connection.execute(_DAYS, {"ids": ids, "first": first, "last": last}).all()
    for client_id, day, granted, requests in rows:
        good = int(granted)
        days[client_id][(day - first) // DAY] = DayCount(day, good, int(requests) - good)
    return {each: tuple(its) for each, its in days.items()}
