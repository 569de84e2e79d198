"""Rows of users, roles, credentials, resource servers and settings as records, for every caller with a connection.

The statements are built once, since building one costs more than running it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, true

from authserver.ports.credentials import Credential, KeyRecord, SecretRecord, TrustRecord
from authserver.ports.errors import NotFound
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.users import Role, User
from authserver.rules.client_authentication.certificate import is_certificate
from authserver.rules.names import storable
from authserver.store.tables import (
    IS_SECRET,
    credential_roles,
    credentials,
    resource_server_keys,
    resource_servers,
    roles,
    secrets,
    settings,
    user_roles,
    users,
)

_ROLE_BY_NAME = select(roles).where(roles.c.name == bindparam("name"), roles.c.deleted_at.is_(None))
_USER_BY_NAME = select(users).where(users.c.folded_username == bindparam("folded"))
_USER_BY_ID = select(users).where(users.c.id == bindparam("user_id"))
_HELD = (
    select(user_roles.c.user_id, *roles.c)
    .join(user_roles, user_roles.c.role_id == roles.c.id)
    .where(roles.c.deleted_at.is_(None))
    .order_by(roles.c.name)
)
_HELD_BY_ONE = _HELD.where(user_roles.c.user_id == bindparam("user_id"))
_CREDENTIALS = select(credentials, users.c.username).join(users, users.c.id == credentials.c.owner_id)
_CREDENTIAL = _CREDENTIALS.where(credentials.c.client_id == bindparam("client_id"))
_CHOSEN = (
    select(credential_roles.c.client_id, roles.c.name)
    .join(roles, roles.c.id == credential_roles.c.role_id)
    .order_by(roles.c.name)
)
_CHOSEN_BY_ONE = _CHOSEN.where(credential_roles.c.client_id == bindparam("client_id"))
_SECRETS_AND_KEYS = select(secrets).order_by(secrets.c.created_at.desc(), secrets.c.id)
_SECRETS = _SECRETS_AND_KEYS.where(IS_SECRET)
_SECRETS_OF_ONE = _SECRETS.where(secrets.c.client_id == bindparam("client_id"))
_KEYS_OF_ONE = _SECRETS_AND_KEYS.where(secrets.c.public_jwk.is_not(None), secrets.c.client_id == bindparam("client_id"))
_SETTINGS = select(settings)
_TRUSTS_OF_ONE = _SECRETS_AND_KEYS.where(secrets.c.trust.is_not(None), secrets.c.client_id == bindparam("client_id"))


def as_resource_server(row: Any) -> ResourceServer:
    """One row of ``resource_servers``."""
    return ResourceServer(
        row.id,
        row.client_id,
        row.name,
        row.audience,
        row.token_alg,
        row.created_at,
        row.disabled_at,
        row.last_asked_at,
        row.max_staleness,
        row.token_typ,
        row.purpose or "",
        tuple((row.requires or "").split()),
    )


def find_resource_server(connection: Connection, name: str) -> ResourceServer:
    """One resource server by its name, client id or audience; ``NotFound`` else."""
    columns = resource_servers.c
    # Ordered, because one server's name may be another's audience: the name wins.
    query = select(resource_servers).where(
        (columns.name == name) | (columns.client_id == name) | (columns.audience == name)
    )
    row = connection.execute(query.order_by((columns.name == name).desc())).first() if storable(name) else None
    if row is None:
        msg = f"there is no resource server {name!r}; `flask resource-servers list` shows them"
        raise NotFound(msg)
    return as_resource_server(row)


def server_keys_of(connection: Connection, client_id: str) -> tuple[KeyRecord, ...]:
    """All public keys of one resource server, newest first, ended ones too."""
    columns = resource_server_keys.c
    query = select(columns.id, columns.public_jwk, columns.created_at, columns.ends_at).where(
        columns.client_id == client_id
    )
    rows = connection.execute(query.order_by(columns.created_at.desc(), columns.id)).all()
    return tuple(KeyRecord(*row) for row in rows)


def as_role(row: Any) -> Role:
    """One row of ``roles``."""
    return Role(row.id, row.name, row.kind, tuple(row.permissions.split()))


def find_role(connection: Connection, name: str) -> Role:
    """One live role by its exact name; ``NotFound`` else."""
    row = connection.execute(_ROLE_BY_NAME, {"name": name}).first() if storable(name) else None
    if row is None:
        msg = f"there is no role {name!r}; `flask roles list` shows them"
        raise NotFound(msg)
    return as_role(row)


def as_users(connection: Connection, rows: Sequence[Any], *only: Any) -> tuple[User, ...]:
    """Two statements, however many users; ``only`` narrows the second to those of ``rows``."""
    held: dict[str, list[Role]] = defaultdict(list)
    for role_row in connection.execute(_HELD.where(*only)).all():
        held[role_row.user_id].append(as_role(role_row))
    return tuple(_as_user(row, held[row.id]) for row in rows)


def as_user(connection: Connection, row: Any) -> User:
    """One row of ``users``, and the roles held."""
    held = connection.execute(_HELD_BY_ONE, {"user_id": row.id}).all()
    return _as_user(row, [as_role(each) for each in held])


def _as_user(row: Any, held: Sequence[Role]) -> User:
    return User(row.id, row.username, tuple(held), row.role_version, row.disabled_at, row.created_at)


def find_user(connection: Connection, username: str) -> User:
    """One user by name, in any letter case; ``NotFound`` else."""
    row = connection.execute(_USER_BY_NAME, {"folded": username.casefold()}).first() if storable(username) else None
    if row is None:
        msg = f"there is no user {username!r}; `flask users list` shows them"
        raise NotFound(msg)
    return as_user(connection, row)


def user_by_id(connection: Connection, user_id: str) -> User:
    """One user that is known to be there."""
    return as_user(connection, connection.execute(_USER_BY_ID, {"user_id": user_id}).one())


def credentials_query() -> Any:
    """All credentials with the names of their owners."""
    return _CREDENTIALS


def credential_row(connection: Connection, client_id: str, owner_id: str | None) -> Any:
    """The row of one credential that is not deleted, with ``owner_id`` only that owner's; ``NotFound`` else."""
    row = connection.execute(_CREDENTIAL, {"client_id": client_id}).first() if storable(client_id) else None
    if row is None or row.deleted_at is not None or (owner_id is not None and row.owner_id != owner_id):
        msg = f"there is no credential {client_id!r}; `flask credentials list` shows them"
        raise NotFound(msg)
    return row


def find_credential(connection: Connection, client_id: str, owner_id: str | None) -> Credential:
    """One credential that is not deleted, with ``owner_id`` only that owner's; ``NotFound`` else."""
    row = credential_row(connection, client_id, owner_id)
    own_secrets = secrets_of(connection, client_id)
    keys, trusts = keys_of(connection, client_id), trusts_of(connection, client_id)
    return _as_credential(row, chosen_by(connection, client_id), own_secrets, keys, trusts)


def chosen_by(connection: Connection, client_id: str) -> tuple[str, ...]:
    """The roles chosen for one credential, by name."""
    return tuple(each.name for each in connection.execute(_CHOSEN_BY_ONE, {"client_id": client_id}).all())


def secrets_of(connection: Connection, client_id: str) -> tuple[SecretRecord, ...]:
    """All secrets of one credential, newest first."""
    return tuple(as_secret(row) for row in connection.execute(_SECRETS_OF_ONE, {"client_id": client_id}).all())


def keys_of(connection: Connection, client_id: str) -> tuple[KeyRecord, ...]:
    """All public keys of one credential, newest first, ended ones too."""
    return tuple(as_key(row) for row in connection.execute(_KEYS_OF_ONE, {"client_id": client_id}).all())


def trusts_of(connection: Connection, client_id: str) -> tuple[TrustRecord, ...]:
    """All trusts of one credential, newest first, ended ones too."""
    return tuple(as_trust(row) for row in connection.execute(_TRUSTS_OF_ONE, {"client_id": client_id}).all())


def of_owner(owner_id: str | None) -> Any:
    """The condition that a credential is an owner's; None means anybody's."""
    return true() if owner_id is None else credentials.c.owner_id == owner_id


def as_credentials(connection: Connection, rows: Sequence[Any], only: Any) -> tuple[Credential, ...]:
    """Three statements, however many credentials; ``only`` narrows the others to those of ``rows``."""
    condition = only & credentials.c.deleted_at.is_(None)
    chosen = _CHOSEN.join(credentials, credentials.c.client_id == credential_roles.c.client_id).where(condition)
    secrets_and_keys = _SECRETS_AND_KEYS.join(credentials, credentials.c.client_id == secrets.c.client_id).where(
        condition
    )
    names: dict[str, list[str]] = defaultdict(list)
    for each in connection.execute(chosen).all():
        names[each.client_id].append(each.name)
    own_secrets: dict[str, list[SecretRecord]] = defaultdict(list)
    keys: dict[str, list[KeyRecord]] = defaultdict(list)
    trusts: dict[str, list[TrustRecord]] = defaultdict(list)
    for each in connection.execute(secrets_and_keys).all():
        if each.public_jwk is not None:
            keys[each.client_id].append(as_key(each))
        elif each.trust is not None:
            trusts[each.client_id].append(as_trust(each))
        else:
            own_secrets[each.client_id].append(as_secret(each))
    ids = [row.client_id for row in rows]
    return tuple(
        _as_credential(row, tuple(names[id_]), tuple(own_secrets[id_]), tuple(keys[id_]), tuple(trusts[id_]))
        for id_, row in zip(ids, rows, strict=True)
    )


def _as_credential(
    row: Any,
    chosen: tuple[str, ...],
    own_secrets: tuple[SecretRecord, ...],
    keys: tuple[KeyRecord, ...],
    trusts: tuple[TrustRecord, ...],
) -> Credential:
    return Credential(
        client_id=row.client_id,
        owner=row.username,
        owner_id=row.owner_id,
        name=row.name,
        roles=chosen,
        expires_at=row.expires_at,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        deleted_at=row.deleted_at,
        version=row.version,
        secrets=own_secrets,
        keys=keys,
        restrictions=row.restrictions,
        trusts=tuple(each for each in trusts if each.issuer),
        key_addresses=tuple(each for each in trusts if not each.issuer and not is_certificate(each.text)),
        certificates=tuple(each for each in trusts if is_certificate(each.text)),
    )


def as_secret(row: Any) -> SecretRecord:
    """One row of ``secrets``."""
    return SecretRecord(
        *(row.id, row.hint, row.created_at, row.ends_at, row.last_used_at),
        last_used_peer=row.last_used_peer,
        last_used_agent=row.last_used_agent,
    )


def as_key(row: Any) -> KeyRecord:
    """One row of ``secrets`` that is a public key."""
    return KeyRecord(
        *(row.id, row.public_jwk, row.created_at, row.ends_at, row.first_used_at, row.last_used_at),
        last_used_peer=row.last_used_peer,
    )


def as_trust(row: Any) -> TrustRecord:
    """One row of ``secrets`` that is a trust."""
    return TrustRecord(
        *(row.id, row.trust, row.created_at, row.ends_at, row.last_used_at, row.last_used_peer),
        issuer=row.trust_issuer or "",
    )


def find_general(connection: Connection) -> GeneralSettings:
    """The general settings."""
    row = connection.execute(_SETTINGS).one()
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
        session_retention_days=row.session_retention_days,
        client_secrets_allowed=row.client_secrets_allowed,
        bound_tokens_required=row.bound_tokens_required,
        self_rotation=row.self_rotation,
        unused_disable_days=row.unused_disable_days,
        secret_notice_days=row.secret_notice_days,
        old_secret_silent_hours=row.old_secret_silent_hours,
        usage_retention_days=row.usage_retention_days,
    )
