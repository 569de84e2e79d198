"""Reads of users and roles for the console, and previews of what a change of roles would end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    except_,
    exists,
    false,
    func,
    not_,
    select,
    true,
    union_all,
)

from authserver.ports.console_reads.paging import MAX_COUNTED, MAX_PAGE, Page
from authserver.ports.console_reads.users import Loss, Preview, RoleRow, UserQuery, UserRow
from authserver.rules.facts import Instant
from authserver.rules.names import storable
from authserver.store.credentials.rows import roles_of
from authserver.store.engine.connections import reading
from authserver.store.engine.text_search import contains
from authserver.store.rows.accounts import as_role, as_users, find_role, find_user
from authserver.store.tables import credential_roles, credentials, roles, sessions, user_roles, users
from authserver.store.tokens.live_tokens import YOUNG, read_terms, where_live

_MAX_LISTED = 100


class SqlUserReads:
    """``console_reads.UserReads``; each method reads in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def users_page(self, query: UserQuery) -> Page[UserRow]:
        """One page of users by name."""
        size, number = min(max(query.size, 1), MAX_PAGE), max(query.page, 1)
        where: list[ColumnElement[bool]] = []
        if query.search:
            where.append(contains(users.c.username, query.search))
        if query.disabled is not None:
            where.append(users.c.disabled_at.is_not(None) if query.disabled else users.c.disabled_at.is_(None))
        if query.role:
            holds_role = exists().where(
                user_roles.c.user_id == users.c.id,
                roles.c.id == user_roles.c.role_id,
                roles.c.name == query.role,
                roles.c.deleted_at.is_(None),
            )
            where.append(holds_role if storable(query.role) else false())
        if query.after:
            follows = users.c.folded_username > query.after.casefold()
            where.append(follows if storable(query.after) else false())
        page_query = (
            select(users).where(*where).order_by(users.c.folded_username).limit(size).offset((number - 1) * size)
        )
        with reading(self._engine) as connection:
            total = connection.execute(select(func.count()).select_from(users).where(*where)).scalar_one()
            rows = connection.execute(page_query).all() if (number - 1) * size < total else []
            ids = [row.id for row in rows]
            found_users = as_users(connection, rows, user_roles.c.user_id.in_(ids)) if ids else ()
            counts_query = select(credentials.c.owner_id, func.count().label("number")).where(
                credentials.c.owner_id.in_(ids), credentials.c.deleted_at.is_(None)
            )
            counts = connection.execute(counts_query.group_by(credentials.c.owner_id)).all()
        credential_counts: dict[str, int] = {row.owner_id: row.number for row in counts}
        return Page(
            tuple(UserRow(user, credential_counts.get(user.id, 0)) for user in found_users), total, number, size
        )

    def role_rows(self, role_id: str | None = None) -> Sequence[RoleRow]:
        """All live roles by name, or only one."""
        parameters = {} if role_id is None else {"role_id": role_id}
        if not storable(role_id or ""):
            return ()
        with reading(self._engine) as connection:
            rows = connection.execute(_ROLE if parameters else _ROLES, parameters).all()
        return tuple(RoleRow(as_role(row), row.holders, row.credentials) for row in rows)

    def preview_revoke(self, username: str, role: str, now: Instant) -> Preview:
        """What removing a role from a user would do."""
        with reading(self._engine) as connection:
            user, found_role = find_user(connection, username), find_role(connection, role)
            lost, parameters = frozenset({found_role.name}), {"owner": user.id, "role_id": found_role.id}
            return _preview(connection, _OF_OWNER, _loses_the_role, parameters, now, lost=lost, holders=1)

    def preview_grant(self, username: str, now: Instant) -> Preview:
        """What assigning any role to a user would do."""
        with reading(self._engine) as connection:
            user = find_user(connection, username)
            return _preview(connection, _OF_OWNER, _loses_nothing, {"owner": user.id}, now, holders=1)

    def preview_disable(self, username: str, now: Instant) -> Preview:
        """What disabling a user would do."""
        with reading(self._engine) as connection:
            user = find_user(connection, username)
            lost = frozenset(user.role_names)
            return _preview(connection, _OF_OWNER, _loses_all, {"owner": user.id}, now, lost=lost, holders=1)

    def preview_disable_credentials(self, client_ids: Sequence[str], now: Instant) -> Preview:
        """What disabling credentials would do; those that are disabled already or deleted are left out."""
        with reading(self._engine) as connection:
            return _preview(connection, _OF_CREDENTIALS, _is_disabled, {"chosen": client_ids}, now, holders=0)

    def preview_delete_role(self, role: str, now: Instant) -> Preview:
        """What deleting a role would do to all who hold it."""
        with reading(self._engine) as connection:
            found_role = find_role(connection, role)
            lost, parameters = frozenset({found_role.name}), {"role_id": found_role.id}
            counts = connection.execute(_HOLDERS, parameters).one()
            held_by_most = 2 * counts.holders > counts.everybody
            scope, count = (_OF_MOST, _COUNT_LOSING_OF_MOST) if held_by_most else (_OF_HOLDERS, None)
            return _preview(
                connection, scope, _loses_the_role, parameters, now, lost=lost, holders=counts.holders, count=count
            )


_ROLE_ID, _OWNER = (bindparam(name, type_=String) for name in ("role_id", "owner"))


def _rows_of_roles() -> Select[Any]:
    holders = select(func.count()).select_from(user_roles).where(user_roles.c.role_id == roles.c.id)
    credentials_of_role = (
        select(func.count()).select_from(credential_roles).where(credential_roles.c.role_id == roles.c.id)
    )
    deleted = select(credentials.c.client_id).where(credentials.c.deleted_at.is_not(None))
    chosen = credentials_of_role.scalar_subquery()
    deleted_of_role = credentials_of_role.where(credential_roles.c.client_id.in_(deleted)).scalar_subquery()
    return (
        select(roles, holders.scalar_subquery().label("holders"), (chosen - deleted_of_role).label("credentials"))
        .where(roles.c.deleted_at.is_(None))
        .order_by(roles.c.name)
    )


_ROLES = _rows_of_roles()
_ROLE = _ROLES.where(roles.c.id == _ROLE_ID)
_HELD_BY = select(user_roles.c.user_id).where(user_roles.c.role_id == _ROLE_ID)
_HOLDERS = select(
    select(func.count()).select_from(_HELD_BY.subquery()).scalar_subquery().label("holders"),
    select(func.count()).select_from(users).scalar_subquery().label("everybody"),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Scope:
    """Which credentials a preview covers, and whether to look for their tokens by scanning sessions."""

    condition: ColumnElement[bool]
    begin_with_sessions: bool = False


_OF_OWNER = _Scope(credentials.c.owner_id == _OWNER)
_OF_HOLDERS = _Scope(credentials.c.owner_id.in_(_HELD_BY))
# Most tokens are of these, so scanning some sessions is cheaper than probing each owner. An expression hides the
# index here as well: SQLite would begin with the holders.
_OF_MOST = _Scope(func.coalesce(credentials.c.owner_id, "").in_(_HELD_BY), begin_with_sessions=True)
_OF_CREDENTIALS = _Scope(
    and_(
        credentials.c.client_id.in_(bindparam("chosen", type_=String, expanding=True)),
        credentials.c.disabled_at.is_(None),
    )
)
_Loses = Callable[[Any, Any], ColumnElement[bool]]
"""Whether a credential loses a role, by its client id and its owner's id."""


def _loses_the_role(client_id: Any, _owner_id: Any) -> ColumnElement[bool]:
    return exists().where(credential_roles.c.client_id == client_id, credential_roles.c.role_id == _ROLE_ID)


def _loses_all(client_id: Any, owner_id: Any) -> ColumnElement[bool]:
    return exists().where(
        credential_roles.c.client_id == client_id,
        user_roles.c.role_id == credential_roles.c.role_id,
        user_roles.c.user_id == owner_id,
    )


def _loses_nothing(_client_id: Any, _owner_id: Any) -> ColumnElement[bool]:
    return false()


def _is_disabled(_client_id: Any, _owner_id: Any) -> ColumnElement[bool]:
    return true()


def _count_losing_of_most() -> Select[Any]:
    """Counts who loses a role that most users hold: all credentials that chose it, less those of owners without it."""
    chosen = select(_ROLE.subquery().c.credentials).scalar_subquery()
    others = except_(select(users.c.id), _HELD_BY).subquery()
    of_others = select(func.count()).select_from(credentials)
    of_others = of_others.where(
        credentials.c.deleted_at.is_(None),
        credentials.c.owner_id.in_(select(others.c.id)),
        _loses_the_role(credentials.c.client_id, credentials.c.owner_id),
    )
    return select(chosen - of_others.scalar_subquery())


_COUNT_LOSING_OF_MOST = _count_losing_of_most()


@cache
def _ending_tokens(scope: _Scope, loses: _Loses) -> Select[Any]:
    """Selects credentials with live tokens, most tokens first; each row has the sums over all of them too."""
    columns = (sessions.c.client_id, credentials.c.name, users.c.username, credentials.c.owner_id)
    query: Any = where_live(select(*columns), begin_with_sessions=scope.begin_with_sessions)
    query = query.where(scope.condition)
    if scope.begin_with_sessions:
        # Young tokens first: most of the older ones are idle.
        query = union_all(query.where(YOUNG), query.where(not_(YOUNG)))
    tokens = query.limit(bindparam("most", type_=Integer)).subquery()
    credential: Any = select(*tokens.c, func.count().label("live")).group_by(*tokens.c).subquery().c
    return (
        select(
            *(credential.client_id, credential.name, credential.username, credential.live),
            func.count().over().label("number"),
            func.sum(credential.live).over().label("tokens"),
            func.sum(case((loses(credential.client_id, credential.owner_id), 1), else_=0)).over().label("losing"),
        )
        .order_by(credential.live.desc(), func.lower(credential.name), credential.client_id)
        .limit(_MAX_LISTED)
    )


@cache
def _losing_roles(scope: _Scope, loses: _Loses) -> tuple[Select[Any], Select[Any]]:
    """Counts the credentials that lose a role, and selects those of them without live tokens."""
    credential = credentials.c
    conditions = (credential.deleted_at.is_(None), scope.condition, loses(credential.client_id, credential.owner_id))
    count_query = select(func.count()).select_from(credentials).where(*conditions)
    rest = (
        select(credential.client_id, credential.name, users.c.username)
        .join(users, users.c.id == credential.owner_id)
        .where(*conditions)
    )
    rest = rest.where(credential.client_id.not_in(bindparam("dying", type_=String, expanding=True)))
    return count_query, rest.order_by(func.lower(credential.name), credential.client_id).limit(
        bindparam("limit", type_=Integer)
    )


def _preview(
    connection: Connection,
    scope: _Scope,
    loses: _Loses,
    parameters: Mapping[str, Any],
    now: Instant,
    *,
    lost: frozenset[str] = frozenset(),
    holders: int,
    count: Select[Any] | None = None,
) -> Preview:
    """Every live token of these owners ends, since their role version is raised; ``loses``: who loses roles too."""
    values = {**read_terms(connection, now).values, **parameters}
    ending = connection.execute(_ending_tokens(scope, loses), {**values, "most": MAX_COUNTED}).all()
    count_query, rest = _losing_roles(scope, loses)
    losing = connection.execute(count_query if count is None else count, parameters).scalar_one()
    number, ending_tokens = (ending[0].number - ending[0].losing, int(ending[0].tokens)) if ending else (0, 0)
    rows = [(*row[:3], int(row.live)) for row in ending]
    if len(rows) < _MAX_LISTED:
        rest_parameters = {**parameters, "dying": [row[0] for row in rows], "limit": _MAX_LISTED - len(rows)}
        rows += [(*row, 0) for row in connection.execute(rest, rest_parameters).all()]
    chosen = roles_of(connection, [row[0] for row in rows])
    losses = []
    for client_id, name, owner, live_tokens in rows:
        held = [role for role, still in chosen.get(client_id, ()) if still]
        gone = tuple(role for role in held if role in lost)
        left = tuple(role for role in held if role not in lost)
        losses.append(Loss(client_id, name, owner, gone, left, live_tokens))
    return Preview(tuple(losses), losing + number, ending_tokens, holders)
