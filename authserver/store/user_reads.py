"""Users and roles as people look at them, and what a change of roles would end."""

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
from authserver.store.tokens.live_tokens import YOUNG, living, terms

_LISTED = 100


class SqlUserReads:
    """``console_reads.PeopleReads``; each answer is read in one transaction."""

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
            holds = exists().where(
                user_roles.c.user_id == users.c.id,
                roles.c.id == user_roles.c.role_id,
                roles.c.name == query.role,
                roles.c.deleted_at.is_(None),
            )
            where.append(holds if storable(query.role) else false())
        if query.after:
            behind = users.c.folded_username > query.after.casefold()
            where.append(behind if storable(query.after) else false())
        wanted = select(users).where(*where).order_by(users.c.folded_username).limit(size).offset((number - 1) * size)
        with reading(self._engine) as connection:
            total = connection.execute(select(func.count()).select_from(users).where(*where)).scalar_one()
            found = connection.execute(wanted).all() if (number - 1) * size < total else []
            ids = [row.id for row in found]
            people = as_users(connection, found, user_roles.c.user_id.in_(ids)) if ids else ()
            kept = select(credentials.c.owner_id, func.count().label("kept")).where(
                credentials.c.owner_id.in_(ids), credentials.c.deleted_at.is_(None)
            )
            counted = connection.execute(kept.group_by(credentials.c.owner_id)).all()
        own: dict[str, int] = {row.owner_id: row.kept for row in counted}
        return Page(tuple(UserRow(user, own.get(user.id, 0)) for user in people), total, number, size)

    def role_rows(self, role_id: str | None = None) -> Sequence[RoleRow]:
        """All live roles by name, or only one."""
        one = {} if role_id is None else {"role_id": role_id}
        if not storable(role_id or ""):
            return ()
        with reading(self._engine) as connection:
            rows = connection.execute(_ROLE if one else _ROLES, one).all()
        return tuple(RoleRow(as_role(row), row.holders, row.credentials) for row in rows)

    def preview_revoke(self, username: str, role: str, now: Instant) -> Preview:
        """What removing a role from a user would do."""
        with reading(self._engine) as connection:
            user, found = find_user(connection, username), find_role(connection, role)
            lost, parameters = frozenset({found.name}), {"owner": user.id, "role_id": found.id}
            return _preview(connection, _OF_ONE, _loses_the_role, parameters, now, lost=lost, holders=1)

    def preview_grant(self, username: str, now: Instant) -> Preview:
        """What assigning any role to a user would do."""
        with reading(self._engine) as connection:
            user = find_user(connection, username)
            return _preview(connection, _OF_ONE, _loses_nothing, {"owner": user.id}, now, holders=1)

    def preview_disable(self, username: str, now: Instant) -> Preview:
        """What disabling a user would do."""
        with reading(self._engine) as connection:
            user = find_user(connection, username)
            lost = frozenset(user.role_names)
            return _preview(connection, _OF_ONE, _loses_all, {"owner": user.id}, now, lost=lost, holders=1)

    def preview_disable_credentials(self, client_ids: Sequence[str], now: Instant) -> Preview:
        """What switching credentials off would do; those that are off already or deleted are left out."""
        with reading(self._engine) as connection:
            return _preview(connection, _OF_CHOSEN, _loses_itself, {"chosen": client_ids}, now, holders=0)

    def preview_delete_role(self, role: str, now: Instant) -> Preview:
        """What deleting a role would do to all who hold it."""
        with reading(self._engine) as connection:
            found = find_role(connection, role)
            lost, parameters = frozenset({found.name}), {"role_id": found.id}
            among = connection.execute(_HOLDERS, parameters).one()
            most = 2 * among.holders > among.everybody
            whose, count = (_OF_MOST, _LOSING_OF_MOST) if most else (_OF_HOLDERS, None)
            return _preview(
                connection, whose, _loses_the_role, parameters, now, lost=lost, holders=among.holders, count=count
            )


_ROLE_ID, _OWNER = (bindparam(name, type_=String) for name in ("role_id", "owner"))


def _rows_of_roles() -> Select[Any]:
    holders = select(func.count()).select_from(user_roles).where(user_roles.c.role_id == roles.c.id)
    chosen = select(func.count()).select_from(credential_roles).where(credential_roles.c.role_id == roles.c.id)
    deleted = select(credentials.c.client_id).where(credentials.c.deleted_at.is_not(None))
    given = chosen.scalar_subquery()
    gone = chosen.where(credential_roles.c.client_id.in_(deleted)).scalar_subquery()
    return (
        select(roles, holders.scalar_subquery().label("holders"), (given - gone).label("credentials"))
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
class _Whose:
    """Whose credentials a preview is about, and whether to look for their tokens from the tokens' side."""

    condition: ColumnElement[bool]
    begin_with_sessions: bool = False


_OF_ONE = _Whose(credentials.c.owner_id == _OWNER)
_OF_HOLDERS = _Whose(credentials.c.owner_id.in_(_HELD_BY))
# Most tokens are of these, so one looks at some tokens and not at all owners. An expression hides the index
# here as well: SQLite would begin with the holders.
_OF_MOST = _Whose(func.coalesce(credentials.c.owner_id, "").in_(_HELD_BY), begin_with_sessions=True)
_OF_CHOSEN = _Whose(
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


def _loses_itself(_client_id: Any, _owner_id: Any) -> ColumnElement[bool]:
    return true()


def _losing_of_most() -> Select[Any]:
    """How many lose a role that most people hold: who chose it, less the few whose owners do not hold it."""
    chose = select(_ROLE.subquery().c.credentials).scalar_subquery()
    others = except_(select(users.c.id), _HELD_BY).subquery()
    lost_it = select(func.count()).select_from(credentials)
    lost_it = lost_it.where(
        credentials.c.deleted_at.is_(None),
        credentials.c.owner_id.in_(select(others.c.id)),
        _loses_the_role(credentials.c.client_id, credentials.c.owner_id),
    )
    return select(chose - lost_it.scalar_subquery())


_LOSING_OF_MOST = _losing_of_most()


@cache
def _dying(whose: _Whose, loses: _Loses) -> Select[Any]:
    """The credentials with live tokens, the most first; the sums over all of them come with each row."""
    seen = (sessions.c.client_id, credentials.c.name, users.c.username, credentials.c.owner_id)
    parameters: Any = living(select(*seen), begin_with_sessions=whose.begin_with_sessions)
    parameters = parameters.where(whose.condition)
    if whose.begin_with_sessions:
        # The young first: most of the older ones were left idle.
        parameters = union_all(parameters.where(YOUNG), parameters.where(not_(YOUNG)))
    tokens = parameters.limit(bindparam("most", type_=Integer)).subquery()
    mine: Any = select(*tokens.c, func.count().label("live")).group_by(*tokens.c).subquery().c
    return (
        select(
            *(mine.client_id, mine.name, mine.username, mine.live),
            func.count().over().label("number"),
            func.sum(mine.live).over().label("tokens"),
            func.sum(case((loses(mine.client_id, mine.owner_id), 1), else_=0)).over().label("losing"),
        )
        .order_by(mine.live.desc(), func.lower(mine.name), mine.client_id)
        .limit(_LISTED)
    )


@cache
def _losing(whose: _Whose, loses: _Loses) -> tuple[Select[Any], Select[Any]]:
    """How many credentials lose a role, and those of them whose tokens were not counted."""
    mine = credentials.c
    kept = (mine.deleted_at.is_(None), whose.condition, loses(mine.client_id, mine.owner_id))
    number = select(func.count()).select_from(credentials).where(*kept)
    others = select(mine.client_id, mine.name, users.c.username).join(users, users.c.id == mine.owner_id).where(*kept)
    others = others.where(mine.client_id.not_in(bindparam("dying", type_=String, expanding=True)))
    return number, others.order_by(func.lower(mine.name), mine.client_id).limit(bindparam("limit", type_=Integer))


def _preview(
    connection: Connection,
    whose: _Whose,
    loses: _Loses,
    parameters: Mapping[str, Any],
    now: Instant,
    *,
    lost: frozenset[str] = frozenset(),
    holders: int,
    count: Select[Any] | None = None,
) -> Preview:
    """Every live token of these owners ends, since their role version moves; ``loses`` selects who loses roles too."""
    values = {**terms(connection, now).values, **parameters}
    found = connection.execute(_dying(whose, loses), {**values, "most": MAX_COUNTED}).all()
    directly, others = _losing(whose, loses)
    losing = connection.execute(directly if count is None else count, parameters).scalar_one()
    number, dying = (found[0].number - found[0].losing, int(found[0].tokens)) if found else (0, 0)
    rows = [(*row[:3], int(row.live)) for row in found]
    if len(rows) < _LISTED:
        left = {**parameters, "dying": [row[0] for row in rows], "limit": _LISTED - len(rows)}
        rows += [(*row, 0) for row in connection.execute(others, left).all()]
    chosen = roles_of(connection, [row[0] for row in rows])
    losses = []
    for client_id, name, owner, of_it in rows:
        held = [role for role, still in chosen.get(client_id, ()) if still]
        gone = tuple(role for role in held if role in lost)
        left_over = tuple(role for role in held if role not in lost)
        losses.append(Loss(client_id, name, owner, gone, left_over, of_it))
    return Preview(tuple(losses), losing + number, dying, holders)
