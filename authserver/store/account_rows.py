"""Rows of people, roles, credentials, resource servers and settings as values, for all who have a connection."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, true

from authserver.ports import Credential, GeneralSettings, NotFound, ResourceServer, Role, SecretRecord, User
from authserver.store.engine import storable
from authserver.store.tables import credential_roles, credentials, roles, secrets, settings, user_roles, users


def as_resource_server(row: Any) -> ResourceServer:
    """One row of ``resource_servers``."""
    return ResourceServer(
        row.id, row.client_id, row.name, row.audience, row.token_alg, row.created_at, row.disabled_at, row.last_asked_at
    )


def as_role(row: Any) -> Role:
    """One row of ``roles``."""
    return Role(row.id, row.name, row.kind, tuple(row.permissions.split()))


def find_role(connection: Connection, name: str) -> Role:
    """One live role by its exact name; ``NotFound`` else."""
    query = select(roles).where(roles.c.name == name, roles.c.deleted_at.is_(None))
    row = connection.execute(query).first() if storable(name) else None
    if row is None:
        msg = f"there is no role {name!r}; `flask roles list` shows them"
        raise NotFound(msg)
    return as_role(row)


def as_users(connection: Connection, rows: Sequence[Any], *only: Any) -> tuple[User, ...]:
    """Two statements, however many users; ``only`` narrows the second to those of ``rows``."""
    query = (
        select(user_roles.c.user_id, *roles.c)
        .join(user_roles, user_roles.c.role_id == roles.c.id)
        .where(roles.c.deleted_at.is_(None), *only)
        .order_by(roles.c.name)
    )
    held: dict[str, list[Role]] = defaultdict(list)
    for each in connection.execute(query):
        held[each.user_id].append(as_role(each))
    return tuple(
        User(row.id, row.username, tuple(held[row.id]), row.role_version, row.disabled_at, row.created_at)
        for row in rows
    )


def find_user(connection: Connection, username: str) -> User:
    """One user by name, in any letter case; ``NotFound`` else."""
    query = select(users).where(users.c.folded_username == username.casefold())
    row = connection.execute(query).first() if storable(username) else None
    if row is None:
        msg = f"there is no user {username!r}; `flask users list` shows them"
        raise NotFound(msg)
    return as_users(connection, [row], user_roles.c.user_id == row.id)[0]


def user_by_id(connection: Connection, user_id: str) -> User:
    """One user that is known to be there."""
    row = connection.execute(select(users).where(users.c.id == user_id)).one()
    return as_users(connection, [row], user_roles.c.user_id == row.id)[0]


def credentials_query() -> Any:
    """All credentials with the names of their owners."""
    return select(credentials, users.c.username).join(users, users.c.id == credentials.c.owner_id)


def find_credential(connection: Connection, client_id: str, owner_id: str | None) -> Credential:
    """One credential that is not deleted, with ``owner_id`` only that owner's; ``NotFound`` else."""
    query = credentials_query().where(credentials.c.client_id == client_id)
    row = connection.execute(query).first() if storable(client_id) else None
    if row is None or row.deleted_at is not None or (owner_id is not None and row.owner_id != owner_id):
        msg = f"there is no credential {client_id!r}; `flask credentials list` shows them"
        raise NotFound(msg)
    return as_credentials(connection, [row], credentials.c.client_id == client_id)[0]


def of_owner(owner_id: str | None) -> Any:
    """The condition that a credential is an owner's; None means anybody's."""
    return true() if owner_id is None else credentials.c.owner_id == owner_id


def as_credentials(connection: Connection, rows: Sequence[Any], only: Any) -> tuple[Credential, ...]:
    """Three statements, however many credentials; ``only`` narrows the others to those of ``rows``."""
    mine = only & credentials.c.deleted_at.is_(None)
    chosen = (
        select(credential_roles.c.client_id, roles.c.name)
        .join(roles, roles.c.id == credential_roles.c.role_id)
        .join(credentials, credentials.c.client_id == credential_roles.c.client_id)
        .where(mine)
        .order_by(roles.c.name)
    )
    kept = (
        select(secrets)
        .join(credentials, credentials.c.client_id == secrets.c.client_id)
        .where(mine)
        .order_by(secrets.c.created_at.desc(), secrets.c.id)
    )
    names: dict[str, list[str]] = defaultdict(list)
    for each in connection.execute(chosen):
        names[each.client_id].append(each.name)
    own: dict[str, list[SecretRecord]] = defaultdict(list)
    for each in connection.execute(kept):
        own[each.client_id].append(as_secret(each))
    return tuple(
        Credential(
            client_id=row.client_id,
            owner=row.username,
            owner_id=row.owner_id,
            name=row.name,
            roles=tuple(names[row.client_id]),
            expires_at=row.expires_at,
            created_at=row.created_at,
            disabled_at=row.disabled_at,
            deleted_at=row.deleted_at,
            version=row.version,
            secrets=tuple(own[row.client_id]),
        )
        for row in rows
    )


def as_secret(row: Any) -> SecretRecord:
    """One row of ``secrets``."""
    return SecretRecord(
        *(row.id, row.hint, row.created_at, row.ends_at, row.last_used_at),
        last_used_peer=row.last_used_peer,
        last_used_agent=row.last_used_agent,
    )


def find_general(connection: Connection) -> GeneralSettings:
    """The general settings."""
    row = connection.execute(select(settings)).one()
    return GeneralSettings(
        idle_timeout_minutes=row.idle_timeout_minutes,
        max_token_lifetime_minutes=row.max_token_lifetime_minutes,
        max_credential_days=row.max_credential_days,
        max_credentials_per_user=row.max_credentials_per_user,
        default_audience=row.default_audience,
        token_alg=row.token_alg,
        epoch=row.epoch,
        used_since=row.used_since,
        issued_since=row.issued_since,
        key_rotation_days=row.key_rotation_days,
        key_announcement_hours=row.key_announcement_hours,
        key_patience_hours=row.key_patience_hours,
        post_quantum=row.post_quantum,
    )
