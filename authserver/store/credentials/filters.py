"""Which credentials a query finds: filters, search, order and total, as statements over ``credentials`` alone.

Statements are cached by their shape, since building one costs more than running most of them. A statement
with a search text is not cached.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    exists,
    false,
    func,
    not_,
    or_,
    select,
)

from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.rules.credential_status import Status
from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY
from authserver.rules.names import storable
from authserver.store.credentials.statuses import (
    FILTER_INDEX_HINT,
    active_by_own_row,
    count_inactive_by_other_rows,
    list_conditions,
    owner_disabled,
    status_conditions,
    status_parameters,
)
from authserver.store.engine.text_search import contains
from authserver.store.tables import credential_roles, credential_use, credentials, roles, users

_AFTER = bindparam("after", type_=String)
_SIZE = bindparam("size", type_=Integer)
_ID_CHARACTERS = frozenset("0123456789abcdef-")
"""What client ids are made of (``rules/names.CLIENT_ID``): nothing else can be a part of one."""


def _shape(query: CredentialQuery) -> CredentialQuery:
    """The parts of a query that its statement depends on; the rest are parameters."""
    ages = (None if days is None else 0 for days in (query.older_than_days, query.unused_days))
    older, unused = ages
    return replace(query, search="", older_than_days=older, unused_days=unused, page=1, size=1)


def query_parameters(query: CredentialQuery, now: Instant, owner_id: str | None) -> dict[str, Any]:
    """The parameters of the statements below."""
    ages = (("older", query.older_than_days), ("unused", query.unused_days))
    return status_parameters(now, owner_id) | {name: now - days * DAY for name, days in ages if days is not None}


def _filters(shape: CredentialQuery, *, owned: bool) -> list[ColumnElement[bool]]:
    credential = credentials.c
    # The order by last use joins the same table, which is another row of it.
    used = exists().where(credential_use.c.client_id == credential.client_id).correlate(credentials)
    older, unused = (bindparam(name, type_=BigInteger) for name in ("older", "unused"))
    conditions: list[ColumnElement[bool]] = []
    if shape.status is not None:
        conditions.append(status_conditions(owned=owned)[shape.status])
    if shape.never_used:
        conditions.append(not_(used))
    if shape.older_than_days is not None:
        conditions.append(credential.created_at <= older)
    if shape.unused_days is not None:
        # A credential made or used after this instant has not been unused for so long.
        conditions += [credential.created_at <= unused, not_(used.where(credential_use.c.last_used_at > unused))]
    if shape.owner_disabled:
        conditions.append(owner_disabled())
    return conditions


def page_ids(query: CredentialQuery, *, owned: bool) -> tuple[Select[Any], bool]:
    """Selects the ids of one page of a query, in its order; and whether each row has the ``total`` too.

    Takes the values of ``query_parameters``, ``size`` and ``offset``.
    """
    search = _search_conditions(query.search)
    ids, total_in_rows = _page_ids(_shape(query), owned=owned, searched=bool(search))
    return ids.where(*search) if search else ids, total_in_rows


def ids_after(query: CredentialQuery, *, owned: bool) -> Select[Any]:
    """Selects the ids that follow a credential in the order of a query, whatever the query's page.

    Takes the values of ``query_parameters``, ``size``, and ``after``: a client id, or empty for the beginning.
    """
    search = _search_conditions(query.search)
    ids = _ids_after(_shape(query), owned=owned)
    return ids.where(*search) if search else ids


def total_count(query: CredentialQuery, *, owned: bool) -> Select[Any]:
    """Counts what a query finds."""
    shape, search = _shape(query), _search_conditions(query.search)
    return _total_query(shape, search, owned=owned) if search else _cached_total(shape, owned=owned)


def all_ids(query: CredentialQuery) -> Select[Any]:
    """Selects the ids of all that a query finds, in no order."""
    where = [*list_conditions(owned=False), *_filters(_shape(query), owned=False), *_search_conditions(query.search)]
    return select(credentials.c.client_id).where(*where)


def _search_conditions(part: str) -> list[ColumnElement[bool]]:
    if not part:
        return []
    return [_contains_anywhere(part) if storable(part) else false()]


def _contains_anywhere(part: str) -> ColumnElement[bool]:
    credential = credentials.c
    # Owners and roles are read once, not once per credential.
    matching_roles = select(roles.c.id).where(contains(roles.c.name, part))
    with_matching_role = select(credential_roles.c.client_id).where(credential_roles.c.role_id.in_(matching_roles))
    matching_owners = select(users.c.id).where(contains(users.c.username, part))
    matches = [
        contains(credential.name, part),
        credential.owner_id.in_(matching_owners),
        credential.client_id.in_(with_matching_role),
    ]
    if _ID_CHARACTERS.issuperset(part.lower()):
        matches.append(credential.client_id.startswith(part.lower()))
    return or_(*matches)


@lru_cache(maxsize=256)
def _page_ids(shape: CredentialQuery, *, owned: bool, searched: bool) -> tuple[Select[Any], bool]:
    """See ``page_ids``. The rows have the total where a second statement would cost more."""
    filters = _filters(shape, owned=owned)
    ids = select(credentials.c.client_id).select_from(credentials).where(*list_conditions(owned=owned), *filters)
    ids = _ordered(ids, shape, owned=owned)
    ids = ids.limit(_SIZE).offset(bindparam("offset", type_=BigInteger))
    if not (owned or searched or filters):
        return ids, False
    if shape.status is Status.ACTIVE and shape.order == "created_at" and not owned and not searched:
        # Nearly all credentials are active: the page is the beginning of an index, only the total reads all rows.
        return ids.add_columns(
            _total_query(shape, (), owned=owned).correlate(None).scalar_subquery().label("total")
        ), True
    ids = ids.add_columns(func.count().over().label("total"))
    return ids if owned else ids.where(FILTER_INDEX_HINT), True


def _total_query(shape: CredentialQuery, search: Sequence[ColumnElement[bool]], *, owned: bool) -> Select[Any]:
    index_hint = [] if owned else [FILTER_INDEX_HINT]
    count_query = select(func.count().label("total")).select_from(credentials)
    count_query = count_query.where(*list_conditions(owned=owned), *index_hint, *search)
    if shape.status is not Status.ACTIVE:
        return count_query.where(*_filters(shape, owned=owned))
    conditions = [*_filters(replace(shape, status=None), owned=owned), *search]
    active_by_own_rows = count_query.where(active_by_own_row(), *conditions).correlate(None).scalar_subquery()
    return select((active_by_own_rows - count_inactive_by_other_rows(*conditions, owned=owned)).label("total"))


@lru_cache(maxsize=256)
def _cached_total(shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    return _total_query(shape, (), owned=owned)


@lru_cache(maxsize=256)
def _ids_after(shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    """See ``ids_after``."""
    ids, key = _with_order_key(select(credentials.c.client_id).select_from(credentials), shape, owned=owned)
    ids = ids.where(*list_conditions(owned=owned), *_filters(shape, owned=owned))
    # A deleted credential keeps its row, so its position in the order is known.
    after_row, _ = _with_order_key(select(_order_key(shape, owned=owned)), shape, owned=owned)
    position = after_row.where(credentials.c.client_id == _AFTER).correlate(None).scalar_subquery()
    beyond = key < position if shape.descending else key > position
    ids = ids.where(or_(_AFTER == "", beyond, and_(key == position, credentials.c.client_id > _AFTER)))
    return ids.order_by(key.desc() if shape.descending else key, credentials.c.client_id).limit(_SIZE)


def _ordered(query: Select[Any], shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    """``ids`` in the requested order, with the table it needs."""
    query, key = _with_order_key(query, shape, owned=owned)
    return query.order_by(key.desc() if shape.descending else key, credentials.c.client_id)


def _with_order_key(query: Select[Any], shape: CredentialQuery, *, owned: bool) -> tuple[Select[Any], Any]:
    """``ids`` with the table that its order needs, and what it is ordered by."""
    if shape.order == "owner":
        query = query.join(users, users.c.id == credentials.c.owner_id)
    elif shape.order == "last_used_at":
        query = query.outerjoin(credential_use, credential_use.c.client_id == credentials.c.client_id)
    return query, _order_key(shape, owned=owned)


def _order_key(shape: CredentialQuery, *, owned: bool) -> Any:
    if shape.order == "name":
        return func.lower(credentials.c.name)
    if shape.order == "owner":
        return users.c.folded_username
    if shape.order == "last_used_at":
        return func.coalesce(credential_use.c.last_used_at, 0)
    column = credentials.c.expires_at if shape.order == "expires_at" else credentials.c.created_at
    # Keeps the planner from walking the index of this order, which has the credentials of all owners.
    return func.coalesce(column, 0) if owned else column
