"""The statuses of credentials as conditions of SQL, and how many each holds for.

What ``rules/credential_status`` judges is computed here as well, because a page of a
filtered list must be cut where the rows are. ``tests/store/test_console_reads.py``
holds the two to the same answer. Built once and kept: to build a statement
costs more than to run most of them.
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

_OF_ITS_OWN_ROW = (Status.DISABLED, Status.EXPIRED, Status.EXPIRING)

_NOW, _SOON = (bindparam(name, type_=BigInteger) for name in ("now", "soon"))
OWNER = bindparam("owner", type_=String)


def moments(now: Instant, owner_id: str | None) -> dict[str, Any]:
    """The values of the statements below; those without an owner have no use for one."""
    owned = {} if owner_id is None else {"owner": owner_id}
    return {"now": now, "soon": now + EXPIRING_WITHIN, **owned}


@cache
def status_conditions(*, owned: bool = False) -> dict[Status, ColumnElement[bool]]:
    """When each status holds at ``now``, over ``credentials`` alone: whoever lists joins only what is shown.

    ``owned`` says that only credentials of ``owner`` are selected, and changes nothing else.
    """
    mine, marked = credentials.c, _marked(owned=owned)
    return {
        Status.DISABLED: or_(mine.disabled_at.is_not(None), owner_disabled()),
        Status.EXPIRED: mine.expires_at <= _NOW,
        Status.EXPIRING: and_(mine.expires_at > _NOW, mine.expires_at <= _SOON),
        Status.ROTATING: mine.client_id.in_(_rotating()),
        Status.REDUCED: mine.client_id.in_(_reduced(owned=owned)),
        Status.ACTIVE: and_(looks_active(), mine.client_id.not_in(select(marked.c.client_id))),
    }


def looks_active() -> ColumnElement[bool]:
    """The status as far as the credential's own row decides it."""
    return and_(credentials.c.disabled_at.is_(None), credentials.c.expires_at > _SOON)


@cache
def _marked(*, owned: bool) -> CTE:
    """Credentials whose status depends on other rows; selected once, however often it is used."""
    others = credentials.alias("others")
    of_disabled = select(others.c.client_id).where(others.c.deleted_at.is_(None))
    of_disabled = of_disabled.where(others.c.owner_id.in_(_disabled_owners()))
    if owned:
        of_disabled = of_disabled.where(others.c.owner_id == OWNER)
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
    whose = all_of.c.owner_id == OWNER if owned else all_of.c.owner_id > ""
    lost = select(all_of.c.client_id).select_from(chosen.outerjoin(user_roles, held))
    return lost.where(whose, all_of.c.deleted_at.is_(None), user_roles.c.user_id.is_(None))


def _disabled_owners() -> Select[Any]:
    return select(users.c.id).where(users.c.disabled_at.is_not(None))


def owner_disabled() -> ColumnElement[bool]:
    """Whether the owner is."""
    return credentials.c.owner_id.in_(_disabled_owners())


def kept(*, owned: bool) -> list[ColumnElement[bool]]:
    """The conditions of every list: not deleted, and the owner's."""
    there = credentials.c.deleted_at.is_(None)
    return [there, credentials.c.owner_id == OWNER] if owned else [there]


# Always so, and the beginning of the one index that has all the columns of a filter: SQLite, which has no
# statistics, would look up each row instead.
ALONG_THE_INDEX = credentials.c.created_at >= 0


@cache
def counting(*, owned: bool) -> Select[Any]:
    """One row: how many credentials each status holds for."""
    conditions = status_conditions(owned=owned)
    whole = [*kept(owned=owned), *([] if owned else [ALONG_THE_INDEX])]
    each: dict[Status, ColumnElement[int]]
    each = {status: func.count().filter(conditions[status]) for status in _OF_ITS_OWN_ROW}
    each[Status.ACTIVE] = func.count().filter(looks_active()) - only_look_active(owned=owned)
    rotating = select(func.count()).select_from(credentials)
    rotating = rotating.where(*kept(owned=owned), conditions[Status.ROTATING])
    each[Status.ROTATING] = rotating.correlate(None).scalar_subquery()
    reduced = select(func.count(func.distinct(_lost(owned=owned).c.client_id)))
    each[Status.REDUCED] = reduced.scalar_subquery()
    counts: list[Any] = [count.label(status.value) for status, count in each.items()]
    return select(*counts).where(*whole)


def only_look_active(*others: ColumnElement[bool], owned: bool) -> ScalarSelect[int]:
    """How many look active by their own row and are not; few, so to take them off costs less than to ask of each."""
    marked = credentials.c.client_id.in_(select(_marked(owned=owned).c.client_id))
    found = select(func.count()).select_from(credentials).where(*kept(owned=owned), looks_active(), marked, *others)
    return found.correlate(None).scalar_subquery()
