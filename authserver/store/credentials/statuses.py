"""The statuses of credentials as conditions of SQL, and how many each holds for.

What ``rules/credential_status`` judges is computed here as well, because a page of a
filtered list must be cut where the rows are. ``tests/store/console_reads``
compares the two. Statements are built once and cached, since building one
costs more than running most of them.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    String,
    and_,
    bindparam,
    func,
    or_,
    select,
    union_all,
)

from authserver.rules.credential_status import EXPIRING_WITHIN, Status
from authserver.rules.facts import Instant
from authserver.store.tables import credential_roles, credentials, secrets, user_roles, users

_STATUSES_OF_OWN_ROW = (Status.DISABLED, Status.EXPIRED, Status.EXPIRING)

_NOW, _SOON = (bindparam(name, type_=BigInteger) for name in ("now", "soon"))
OWNER = bindparam("owner", type_=String)


def status_parameters(now: Instant, owner_id: str | None) -> dict[str, Any]:
    """The parameters of the statements below; ``owner`` only where there is one."""
    owned = {} if owner_id is None else {"owner": owner_id}
    return {"now": now, "soon": now + EXPIRING_WITHIN, **owned}


@cache
def status_conditions(*, owned: bool = False) -> dict[Status, ColumnElement[bool]]:
    """When each status holds at ``now``, over ``credentials`` alone, so that lists join only what they show.

    ``owned`` says that only credentials of ``owner`` are selected, and changes nothing else.
    """
    credential, others = credentials.c, _inactive_by_other_rows(owned=owned)
    return {
        Status.DISABLED: or_(credential.disabled_at.is_not(None), owner_disabled()),
        Status.EXPIRED: credential.expires_at <= _NOW,
        Status.EXPIRING: and_(credential.expires_at > _NOW, credential.expires_at <= _SOON),
        Status.ROTATING: credential.client_id.in_(_rotating()),
        Status.REDUCED: credential.client_id.in_(_reduced(owned=owned)),
        Status.ACTIVE: and_(active_by_own_row(), credential.client_id.not_in(select(others.c.client_id))),
    }


def active_by_own_row() -> ColumnElement[bool]:
    """Whether the credential is active as far as its own row decides."""
    return and_(credentials.c.disabled_at.is_(None), credentials.c.expires_at > _SOON)


@cache
def _inactive_by_other_rows(*, owned: bool) -> CTE:
    """Credentials whose status depends on other rows; selected once, however often it is used."""
    credential = credentials.alias("of_disabled_owner")
    of_disabled_owner = select(credential.c.client_id).where(credential.c.deleted_at.is_(None))
    of_disabled_owner = of_disabled_owner.where(credential.c.owner_id.in_(_disabled_owners()))
    if owned:
        of_disabled_owner = of_disabled_owner.where(credential.c.owner_id == OWNER)
    union = union_all(select(_reduced_cte(owned=owned).c.client_id), _rotating(), of_disabled_owner)
    return union.cte("inactive").prefix_with("MATERIALIZED")


@cache
def _reduced_cte(*, owned: bool) -> CTE:
    return _reduced(owned=owned).cte("reduced").prefix_with("MATERIALIZED")


def _rotating() -> Select[Any]:
    return select(secrets.c.client_id).where(secrets.c.ends_at > _NOW)


def _reduced(*, owned: bool) -> Select[Any]:
    """Selects credentials with a chosen role that their owner lost, owner by owner along an index."""
    credential = credentials.alias("credential")
    chosen = credential.join(credential_roles, credential_roles.c.client_id == credential.c.client_id)
    held = and_(user_roles.c.user_id == credential.c.owner_id, user_roles.c.role_id == credential_roles.c.role_id)
    # No id is empty; the condition makes SQLite use the index.
    of_owner = credential.c.owner_id == OWNER if owned else credential.c.owner_id > ""
    lost = select(credential.c.client_id).select_from(chosen.outerjoin(user_roles, held))
    return lost.where(of_owner, credential.c.deleted_at.is_(None), user_roles.c.user_id.is_(None))


def _disabled_owners() -> Select[Any]:
    return select(users.c.id).where(users.c.disabled_at.is_not(None))


def owner_disabled() -> ColumnElement[bool]:
    """Whether the owner is disabled."""
    return credentials.c.owner_id.in_(_disabled_owners())


def list_conditions(*, owned: bool) -> list[ColumnElement[bool]]:
    """The conditions of every list: not deleted, and with ``owned`` the owner's."""
    not_deleted = credentials.c.deleted_at.is_(None)
    return [not_deleted, credentials.c.owner_id == OWNER] if owned else [not_deleted]


# Always true. It makes SQLite, which has no statistics, read the one index that has all columns of the filters,
# instead of each row.
FILTER_INDEX_HINT = credentials.c.created_at >= 0


@cache
def status_counts(*, owned: bool) -> Select[Any]:
    """One row: how many credentials each status holds for."""
    conditions = status_conditions(owned=owned)
    where = [*list_conditions(owned=owned), *([] if owned else [FILTER_INDEX_HINT])]
    counts: dict[Status, ColumnElement[int]]
    counts = {status: func.count().filter(conditions[status]) for status in _STATUSES_OF_OWN_ROW}
    counts[Status.ACTIVE] = func.count().filter(active_by_own_row()) - count_inactive_by_other_rows(owned=owned)
    rotating = select(func.count()).select_from(credentials)
    rotating = rotating.where(*list_conditions(owned=owned), conditions[Status.ROTATING])
    counts[Status.ROTATING] = rotating.correlate(None).scalar_subquery()
    reduced = select(func.count(func.distinct(_reduced_cte(owned=owned).c.client_id)))
    counts[Status.REDUCED] = reduced.scalar_subquery()
    columns: list[Any] = [count.label(status.value) for status, count in counts.items()]
    return select(*columns).where(*where)


def count_inactive_by_other_rows(*conditions: ColumnElement[bool], owned: bool) -> ScalarSelect[int]:
    """Counts those whose own row says active and another row not; they are few, so subtracting them is cheap."""
    inactive = credentials.c.client_id.in_(select(_inactive_by_other_rows(owned=owned).c.client_id))
    count_query = (
        select(func.count())
        .select_from(credentials)
        .where(*list_conditions(owned=owned), active_by_own_row(), inactive, *conditions)
    )
    return count_query.correlate(None).scalar_subquery()
