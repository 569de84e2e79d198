"""Users and roles as people look at them, and what a change of roles would end."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, exists, false, func, select, true

from authserver.console_reads import MANY, MAX_PAGE, Loss, Page, Preview, RoleRow, UserQuery, UserRow
from authserver.rules.facts import Instant
from authserver.store.account_rows import as_role, as_users, find_role, find_user
from authserver.store.credential_reads import roles_of
from authserver.store.engine import reading, storable
from authserver.store.live_tokens import living, terms
from authserver.store.search import contains
from authserver.store.tables import credential_roles, credentials, roles, sessions, user_roles, users

_LISTED = 100


class SqlPeopleReads:
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

    def role_rows(self) -> Sequence[RoleRow]:
        """All live roles by name."""
        holders = (
            select(func.count()).select_from(user_roles).where(user_roles.c.role_id == roles.c.id).scalar_subquery()
        )
        given = (
            select(func.count())
            .select_from(credential_roles)
            .where(credential_roles.c.role_id == roles.c.id)
            .scalar_subquery()
        )
        deleted = select(credentials.c.client_id).where(credentials.c.deleted_at.is_not(None))
        gone = (
            select(func.count())
            .select_from(credential_roles)
            .where(credential_roles.c.role_id == roles.c.id, credential_roles.c.client_id.in_(deleted))
            .scalar_subquery()
        )
        query = (
            select(roles, holders.label("holders"), (given - gone).label("credentials"))
            .where(roles.c.deleted_at.is_(None))
            .order_by(roles.c.name)
        )
        with reading(self._engine) as connection:
            return tuple(RoleRow(as_role(row), row.holders, row.credentials) for row in connection.execute(query))

    def preview_revoke(self, username: str, role: str, now: Instant) -> Preview:
        """What removing a role from a user would do."""
        with reading(self._engine) as connection:
            user, found = find_user(connection, username), find_role(connection, role)
            lost = frozenset({found.name})
            return _preview(connection, credentials.c.owner_id == user.id, _chose(found.id), lost, now, holders=1)

    def preview_grant(self, username: str, now: Instant) -> Preview:
        """What assigning any role to a user would do."""
        with reading(self._engine) as connection:
            user = find_user(connection, username)
            return _preview(connection, credentials.c.owner_id == user.id, false(), frozenset(), now, holders=1)

    def preview_disable(self, username: str, now: Instant) -> Preview:
        """What disabling a user would do."""
        with reading(self._engine) as connection:
            user = find_user(connection, username)
            has_one = exists().where(
                credential_roles.c.client_id == credentials.c.client_id,
                user_roles.c.role_id == credential_roles.c.role_id,
                user_roles.c.user_id == credentials.c.owner_id,
            )
            lost = frozenset(user.role_names)
            return _preview(connection, credentials.c.owner_id == user.id, has_one, lost, now, holders=1)

    def preview_disable_credentials(self, client_ids: Sequence[str], now: Instant) -> Preview:
        """What switching credentials off would do; those that are off already or deleted are left out."""
        on = and_(credentials.c.client_id.in_(client_ids), credentials.c.disabled_at.is_(None))
        with reading(self._engine) as connection:
            return _preview(connection, on, true(), frozenset(), now, holders=0)

    def preview_delete_role(self, role: str, now: Instant) -> Preview:
        """What deleting a role would do to all who hold it."""
        with reading(self._engine) as connection:
            found = find_role(connection, role)
            held_by = select(user_roles.c.user_id).where(user_roles.c.role_id == found.id)
            holders = connection.execute(select(func.count()).select_from(held_by.subquery())).scalar_one()
            whose, lost = credentials.c.owner_id.in_(held_by), frozenset({found.name})
            return _preview(connection, whose, _chose(found.id), lost, now, holders=holders)


def _chose(role_id: str) -> ColumnElement[bool]:
    return exists().where(
        credential_roles.c.client_id == credentials.c.client_id, credential_roles.c.role_id == role_id
    )


def _preview(
    connection: Connection,
    whose: ColumnElement[bool],
    loses: ColumnElement[bool],
    lost: frozenset[str],
    now: Instant,
    *,
    holders: int,
) -> Preview:
    """Every live token of these owners dies, because their role version moves; ``loses`` says who loses roles too."""
    mine, kept = credentials.c, (credentials.c.deleted_at.is_(None), whose)
    tokens = living(terms(connection, now), select(sessions.c.client_id)).where(whose).limit(MANY).subquery()
    counted = select(tokens.c.client_id, func.count().label("live")).group_by(tokens.c.client_id).subquery()
    live: Any = counted.c.live
    by_name = (func.lower(mine.name), mine.client_id)
    shown = (mine.client_id, mine.name, users.c.username)
    # The sums over all rows come with each row: counting the tokens is the dear part, and is done once.
    found = connection.execute(
        select(
            *(*shown, live),
            func.count().over().label("number"),
            func.sum(live).over().label("tokens"),
            func.sum(case((loses, 1), else_=0)).over().label("losing"),
        )
        .select_from(counted.join(credentials, mine.client_id == counted.c.client_id))
        .join(users, users.c.id == mine.owner_id)
        .order_by(live.desc(), *by_name)
        .limit(_LISTED)
    ).all()
    losing = connection.execute(select(func.count()).select_from(credentials).where(*kept, loses)).scalar_one()
    number, dying = (found[0].number - found[0].losing, int(found[0].tokens)) if found else (0, 0)
    rows = [(*row[:3], int(row.live)) for row in found]
    if len(rows) < _LISTED:
        others = select(*shown).join(users, users.c.id == mine.owner_id)
        others = others.where(*kept, loses, mine.client_id.not_in([row[0] for row in rows]))
        idle = connection.execute(others.order_by(*by_name).limit(_LISTED - len(rows)))
        rows += [(*row, 0) for row in idle]
    chosen = roles_of(connection, [row[0] for row in rows])
    losses = []
    for client_id, name, owner, of_it in rows:
        held = [role for role, still in chosen.get(client_id, ()) if still]
        gone = tuple(role for role in held if role in lost)
        left = tuple(role for role in held if role not in lost)
        losses.append(Loss(client_id, name, owner, gone, left, of_it))
    return Preview(tuple(losses), losing + number, dying, holders)
