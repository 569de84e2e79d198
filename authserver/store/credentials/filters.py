"""Which credentials a query finds: filters, search, order and total, as statements over ``credentials`` alone.

Statements are kept by their shape, for to build one costs more than to run most of them; what was typed into
a search box is not.
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
    ALONG_THE_INDEX,
    kept,
    looks_active,
    moments,
    only_look_active,
    owner_disabled,
    status_conditions,
)
from authserver.store.engine.text_search import contains
from authserver.store.tables import credential_roles, credential_use, credentials, roles, users

_AFTER = bindparam("after", type_=String)
_SIZE = bindparam("size", type_=Integer)
_OF_AN_ID = frozenset("0123456789abcdef-")
"""What client ids are made of (``rules/names.CLIENT_ID``): nothing else can be a part of one."""


def _shape(query: CredentialQuery) -> CredentialQuery:
    """What of a query makes its statement; the rest are values."""
    some = (None if days is None else 0 for days in (query.older_than_days, query.unused_days))
    older, unused = some
    return replace(query, search="", older_than_days=older, unused_days=unused, page=1, size=1)


def values_of(query: CredentialQuery, now: Instant, owner_id: str | None) -> dict[str, Any]:
    """What the statements below take."""
    ages = (("older", query.older_than_days), ("unused", query.unused_days))
    return moments(now, owner_id) | {name: now - days * DAY for name, days in ages if days is not None}


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
        found.append(owner_disabled())
    return found


def page_of(query: CredentialQuery, *, owned: bool) -> tuple[Select[Any], bool]:
    """The ids of one page of what a query finds, in its order; and whether the ``total`` comes with each.

    Takes the values of ``values_of``, ``size`` and ``offset``.
    """
    searched = _searched(query.search)
    ids, counted = _wanted(_shape(query), owned=owned, searched=bool(searched))
    return ids.where(*searched) if searched else ids, counted


def part_of(query: CredentialQuery, *, owned: bool) -> Select[Any]:
    """The ids of what a query finds behind a credential, in its order, whatever its page.

    Takes the values of ``values_of``, ``size``, and ``after``: a client id, or empty for the beginning.
    """
    searched = _searched(query.search)
    ids = _behind(_shape(query), owned=owned)
    return ids.where(*searched) if searched else ids


def total_of(query: CredentialQuery, *, owned: bool) -> Select[Any]:
    """How many a query finds."""
    shape, searched = _shape(query), _searched(query.search)
    return _total(shape, searched, owned=owned) if searched else _known_total(shape, owned=owned)


def all_of(query: CredentialQuery) -> Select[Any]:
    """The ids of all that a query finds, in no order."""
    where = [*kept(owned=False), *_filters(_shape(query), owned=False), *_searched(query.search)]
    return select(credentials.c.client_id).where(*where)


def _searched(part: str) -> list[ColumnElement[bool]]:
    if not part:
        return []
    return [_search(part) if storable(part) else false()]


def _search(part: str) -> ColumnElement[bool]:
    mine = credentials.c
    # Owners and roles are read once, not once per credential.
    named = select(roles.c.id).where(contains(roles.c.name, part))
    in_a_role = select(credential_roles.c.client_id).where(credential_roles.c.role_id.in_(named))
    of_an_owner = select(users.c.id).where(contains(users.c.username, part))
    found = [contains(mine.name, part), mine.owner_id.in_(of_an_owner), mine.client_id.in_(in_a_role)]
    if _OF_AN_ID.issuperset(part.lower()):
        found.append(mine.client_id.startswith(part.lower()))
    return or_(*found)


@lru_cache(maxsize=256)
def _wanted(shape: CredentialQuery, *, owned: bool, searched: bool) -> tuple[Select[Any], bool]:
    """See ``page_of``. The total comes with the rows where asking twice costs more."""
    filters = _filters(shape, owned=owned)
    ids = select(credentials.c.client_id).select_from(credentials).where(*kept(owned=owned), *filters)
    ids = _ordered(ids, shape, owned=owned)
    ids = ids.limit(_SIZE).offset(bindparam("offset", type_=BigInteger))
    if not (owned or searched or filters):
        return ids, False
    if shape.status is Status.ACTIVE and shape.order == "created_at" and not owned and not searched:
        # Nearly all: the page is the beginning of an index, and only the total looks at everything.
        return ids.add_columns(_total(shape, (), owned=owned).correlate(None).scalar_subquery().label("total")), True
    ids = ids.add_columns(func.count().over().label("total"))
    return ids if owned else ids.where(ALONG_THE_INDEX), True


def _total(shape: CredentialQuery, searched: Sequence[ColumnElement[bool]], *, owned: bool) -> Select[Any]:
    along = [] if owned else [ALONG_THE_INDEX]
    counted = select(func.count().label("total")).select_from(credentials)
    counted = counted.where(*kept(owned=owned), *along, *searched)
    if shape.status is not Status.ACTIVE:
        return counted.where(*_filters(shape, owned=owned))
    others = [*_filters(replace(shape, status=None), owned=owned), *searched]
    looking = counted.where(looks_active(), *others).correlate(None).scalar_subquery()
    return select((looking - only_look_active(*others, owned=owned)).label("total"))


@lru_cache(maxsize=256)
def _known_total(shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    return _total(shape, (), owned=owned)


@lru_cache(maxsize=256)
def _behind(shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    """See ``part_of``."""
    ids, by = _with_key(select(credentials.c.client_id).select_from(credentials), shape, owned=owned)
    ids = ids.where(*kept(owned=owned), *_filters(shape, owned=owned))
    # A deleted credential keeps its row, so the place is known whatever happened to it meanwhile.
    place, key = _with_key(select(_key_of(shape, owned=owned)), shape, owned=owned)
    here = place.where(credentials.c.client_id == _AFTER).correlate(None).scalar_subquery()
    further = by < here if shape.descending else by > here
    ids = ids.where(or_(_AFTER == "", further, and_(by == here, credentials.c.client_id > _AFTER)))
    return ids.order_by(key.desc() if shape.descending else key, credentials.c.client_id).limit(_SIZE)


def _ordered(ids: Select[Any], shape: CredentialQuery, *, owned: bool) -> Select[Any]:
    """``ids`` in the requested order, with the table it needs."""
    ids, by = _with_key(ids, shape, owned=owned)
    return ids.order_by(by.desc() if shape.descending else by, credentials.c.client_id)


def _with_key(ids: Select[Any], shape: CredentialQuery, *, owned: bool) -> tuple[Select[Any], Any]:
    """``ids`` with the table that its order needs, and what it is ordered by."""
    if shape.order == "owner":
        ids = ids.join(users, users.c.id == credentials.c.owner_id)
    elif shape.order == "last_used_at":
        ids = ids.outerjoin(credential_use, credential_use.c.client_id == credentials.c.client_id)
    return ids, _key_of(shape, owned=owned)


def _key_of(shape: CredentialQuery, *, owned: bool) -> Any:
    if shape.order == "name":
        return func.lower(credentials.c.name)
    if shape.order == "owner":
        return users.c.folded_username
    if shape.order == "last_used_at":
        return func.coalesce(credential_use.c.last_used_at, 0)
    by = credentials.c.expires_at if shape.order == "expires_at" else credentials.c.created_at
    # Hides the index that has this order, and everybody's credentials: an owner has a handful.
    return func.coalesce(by, 0) if owned else by
