"""Reads credentials with all that a list or page shows of them, in four statements, however many they are."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, String, bindparam, case, exists, func, select

from authserver.ports.console_reads.credentials import SPARK_DAYS, CredentialRow, DayCount
from authserver.ports.credentials import SecretRecord
from authserver.rules.credential_status import StatusFacts, rotation_end, statuses
from authserver.rules.facts import Instant, over
from authserver.rules.lifetime import DAY
from authserver.store.credentials.statuses import OWNER
from authserver.store.rows.accounts import as_secret
from authserver.store.tables import (
    IS_SECRET,
    credential_roles,
    credential_use,
    credentials,
    roles,
    secrets,
    token_requests,
    user_roles,
    users,
)
from authserver.store.tokens.usage_buffer import GRANTED

_IDS = bindparam("ids", type_=String, expanding=True)
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
_ROWS_OF_OWNER = _ROWS.where(credentials.c.owner_id == OWNER)
_owner_id = select(credentials.c.owner_id).where(credentials.c.client_id == credential_roles.c.client_id)
# Looked up one by one: as a join, PostgreSQL reads all credentials for the roles of fifty.
_still_held = exists().where(
    user_roles.c.user_id == _owner_id.correlate(credential_roles).scalar_subquery(),
    user_roles.c.role_id == credential_roles.c.role_id,
)
_ROLES = (
    select(credential_roles.c.client_id, roles.c.name, _still_held.label("held"))
    .join(roles, roles.c.id == credential_roles.c.role_id)
    .where(credential_roles.c.client_id.in_(_IDS))
    .order_by(roles.c.name)
)
_SECRETS = (
    select(secrets).where(secrets.c.client_id.in_(_IDS), IS_SECRET).order_by(secrets.c.created_at.desc(), secrets.c.id)
)
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


def roles_of(connection: Connection, client_ids: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
    """The chosen roles of some credentials by name, each with whether the owner still holds it."""
    found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for client_id, name, held in connection.execute(_ROLES, {"ids": client_ids}).all():
        found[client_id].append((name, bool(held)))
    return found


def credential_rows(
    connection: Connection, ids: Sequence[str], now: Instant, *, days: bool
) -> tuple[CredentialRow, ...]:
    """The rows of some credentials, in the order of ``ids``; four statements, however many."""
    found = {row.client_id: row for row in connection.execute(_ROWS, {"ids": ids}).all()} if ids else {}
    return _as_rows(connection, [found[each] for each in ids], now, days=days)


def credential_row_or_none(
    connection: Connection, client_id: str, now: Instant, owner_id: str | None
) -> CredentialRow | None:
    """The row of one credential, with ``owner_id`` only of that owner's; None if there is none, at the same cost."""
    query, parameters = (_ROWS, {}) if owner_id is None else (_ROWS_OF_OWNER, {"owner": owner_id})
    rows = connection.execute(query, {"ids": [client_id], **parameters}).all()
    return _as_rows(connection, rows, now, days=True)[0] if rows else None


def _as_rows(connection: Connection, rows: Sequence[Any], now: Instant, *, days: bool) -> tuple[CredentialRow, ...]:
    if not rows:
        return ()
    ids = [row.client_id for row in rows]
    chosen, live_secrets = roles_of(connection, ids), _live_secrets(connection, ids, now)
    spark = _days(connection, ids, now) if days else {}
    return tuple(
        _as_row(row, chosen[client_id], live_secrets[client_id], spark.get(client_id, ()), now)
        for client_id, row in zip(ids, rows, strict=True)
    )


def _as_row(
    row: Any,
    roles: Sequence[tuple[str, bool]],
    live_secrets: Sequence[SecretRecord],
    days: tuple[DayCount, ...],
    now: Instant,
) -> CredentialRow:
    held_roles = tuple(name for name, still in roles if still)
    facts = StatusFacts(
        disabled=row.disabled_at is not None,
        owner_disabled=row.owner_disabled_at is not None,
        expires_at=row.expires_at,
        chosen=frozenset(name for name, _ in roles),
        held=frozenset(held_roles),
        secret_ends=[secret.ends_at for secret in live_secrets],
    )
    return CredentialRow(
        client_id=row.client_id,
        name=row.name,
        owner=row.username,
        owner_id=row.owner_id,
        owner_disabled=facts.owner_disabled,
        chosen=tuple(name for name, _ in roles),
        held=held_roles,
        expires_at=row.expires_at,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        statuses=statuses(facts, now),
        secrets=tuple(live_secrets),
        rotation_ends_at=rotation_end(facts.secret_ends, now),
        last_used_at=row.last_used_at,
        requested_at=row.requested_at,
        requested_peer=row.requested_peer,
        requested_agent=row.requested_agent,
        days=days,
    )


def _live_secrets(connection: Connection, ids: Sequence[str], now: Instant) -> dict[str, list[SecretRecord]]:
    live_secrets: dict[str, list[SecretRecord]] = defaultdict(list)
    for row in connection.execute(_SECRETS, {"ids": ids}).all():
        if row.ends_at is None or not over(now, row.ends_at):
            live_secrets[row.client_id].append(as_secret(row))
    return live_secrets


def _days(connection: Connection, ids: Sequence[str], now: Instant) -> dict[str, tuple[DayCount, ...]]:
    last = now - now % DAY
    first = last - (SPARK_DAYS - 1) * DAY
    empty = [DayCount(day) for day in range(first, last + DAY, DAY)]
    days = {client_id: empty.copy() for client_id in ids}
    rows = connection.execute(_DAYS, {"ids": ids, "first": first, "last": last}).all()
    for client_id, day, granted, requests in rows:
        granted_requests = int(granted)
        days[client_id][(day - first) // DAY] = DayCount(day, granted_requests, int(requests) - granted_requests)
    return {client_id: tuple(counts) for client_id, counts in days.items()}
