"""The reads of the two hot paths. Each is ONE statement, so its facts agree (INV-02).

On PostgreSQL the statement also reads the database's clock: every node judges
idleness and expiry by the same one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
)

from authserver.ports.clock import Clock
from authserver.ports.hot_path import (
    CallerKeys,
    CallingResourceServer,
    IntrospectionFacts,
    IssueFacts,
    LiveSecret,
    SessionRecord,
    TokenKeys,
)
from authserver.ports.resource_servers import TOKEN_TYPES
from authserver.rules.facts import Reason, Standing
from authserver.rules.names import storable
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import (
    credential_roles,
    credentials,
    resource_server_keys,
    resource_servers,
    roles,
    secrets,
    sessions,
    settings,
    signing_keys,
    user_roles,
    users,
)
from keys.keyring import USABLE, State

_NO_TOKEN = TokenKeys("", "", "", "")
_NO_AUDIENCE = "\N{REPLACEMENT CHARACTER}"
"""Asked for instead of what no database can hold; an audience is ASCII, so nobody has it."""


def database_now(dialect: str) -> ColumnElement[Any]:
    """The database's clock as a column; NULL on SQLite, which has none of its own."""
    if dialect == "postgresql":
        return cast(func.floor(func.extract("epoch", func.clock_timestamp())), BigInteger).label("now")
    return null().label("now")


@lru_cache(maxsize=1024)
def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ONE: Any = literal_column("1")
_SPACE: Any = literal_column("' '")
_EMPTY: Any = literal_column("''")
"""In the text of the statement: what never changes need not be sent each time."""


def _joined(dialect: str, column: Any) -> Any:
    return func.string_agg(column, _SPACE) if dialect == "postgresql" else func.group_concat(column, _SPACE)


def issue_statement(dialect: str) -> Select[Any]:
    """One row per secret of the credential, each with all the facts.

    For an unknown client the rows of some other one: reading them takes the same time (INV-29).
    """
    requested_id = bindparam("client_id", type_=credentials.c.client_id.type)
    known = select(credentials.c.client_id).where(credentials.c.client_id == requested_id).scalar_subquery()
    some_client = select(func.min(credentials.c.client_id)).scalar_subquery()
    chosen = (
        select(_joined(dialect, roles.c.name))
        .select_from(credential_roles.join(roles, roles.c.id == credential_roles.c.role_id))
        .where(credential_roles.c.client_id == credentials.c.client_id, roles.c.deleted_at.is_(None))
        .scalar_subquery()
    )
    held = (
        select(_joined(dialect, roles.c.name))
        .select_from(user_roles.join(roles, roles.c.id == user_roles.c.role_id))
        .where(user_roles.c.user_id == users.c.id, roles.c.deleted_at.is_(None))
        .scalar_subquery()
    )
    servers = select(resource_servers).where(resource_servers.c.disabled_at.is_(None)).subquery("rs")
    # The management API is asked for by name: it does not make the one API of a site one of two.
    registered = (resource_servers.c.disabled_at.is_(None), resource_servers.c.purpose.is_(None))
    single = select(func.min(resource_servers.c.audience)).where(*registered)
    single_audience = single.having(func.count() == _ONE).scalar_subquery()
    requested = bindparam("resource", type_=users.c.username.type)
    audience = case((requested != _EMPTY, requested), else_=func.coalesce(settings.c.default_audience, single_audience))
    alg = func.coalesce(servers.c.token_alg, settings.c.token_alg)
    # In the text, not bound: the index on it is partial, and SQLite would plan the statement anew for each value.
    is_active = signing_keys.c.state == literal_column(f"'{State.ACTIVE.value}'")
    active = select(signing_keys.c.kid).where(signing_keys.c.alg == alg, is_active)
    return (
        select(
            database_now(dialect),
            credentials.c.client_id,
            users.c.id,
            users.c.disabled_at,
            users.c.role_version,
            credentials.c.version,
            credentials.c.disabled_at,
            credentials.c.deleted_at,
            credentials.c.expires_at,
            chosen,
            held,
            settings.c.max_token_lifetime_minutes,
            settings.c.idle_timeout_minutes,
            settings.c.epoch,
            servers.c.audience,
            alg,
            active.scalar_subquery(),
            secrets.c.id,
            secrets.c.hash,
            secrets.c.ends_at,
            secrets.c.public_jwk,
            servers.c.token_typ,
            credentials.c.restrictions,
            settings.c.client_secrets_allowed,
            settings.c.bound_tokens_required,
            servers.c.requires,
            secrets.c.trust,
        )
        .select_from(
            credentials.join(users, users.c.id == credentials.c.owner_id)
            .join(settings, settings.c.id == _ONE)
            .outerjoin(servers, servers.c.audience == audience)
            .outerjoin(secrets, secrets.c.client_id == credentials.c.client_id)
        )
        .where(credentials.c.client_id == func.coalesce(known, some_client))
        .order_by(secrets.c.created_at.desc(), secrets.c.id)
    )


STANDING = (
    settings.c.idle_timeout_minutes,
    settings.c.max_token_lifetime_minutes,
    settings.c.used_since,
    settings.c.issued_since,
    settings.c.epoch,
    signing_keys.c.state,
    users.c.disabled_at,
    users.c.role_version,
    credentials.c.deleted_at,
    credentials.c.disabled_at,
    credentials.c.version,
    credentials.c.expires_at,
    secrets.c.id,
    secrets.c.ends_at,
)
"""What ``as_standing`` reads, in its order."""


def as_standing(values: Sequence[Any]) -> Standing | None:
    """The state outside a token; None when its key, owner, credential or secret is gone."""
    idle, longest, used_since, issued_since, epoch, key, owner_off, role_version, *rest = values
    deleted_at, disabled_at, version, expires_at, secret_id, secret_ends_at = rest
    if key is None or role_version is None or secret_id is None:
        return None
    return Standing(
        idle_timeout=idle * 60,
        max_lifetime=longest * 60,
        used_since=used_since,
        issued_since=issued_since,
        epoch=epoch,
        key_usable=key in USABLE,
        owner_disabled=owner_off is not None,
        role_version=role_version,
        credential_deleted=deleted_at is not None,
        credential_disabled=disabled_at is not None,
        credential_version=version,
        credential_expires_at=expires_at,
        secret_ends_at=secret_ends_at,
    )


CALLER = (
    resource_servers.c.id,
    resource_servers.c.audience,
    resource_servers.c.secret_hash,
    resource_servers.c.disabled_at,
    func.coalesce(resource_servers.c.token_alg, settings.c.token_alg),
    resource_servers.c.max_staleness,
    resource_servers.c.token_typ,
)
"""What ``as_caller`` reads, in its order."""


def as_caller(client_id: str, values: Sequence[Any]) -> CallingResourceServer | None:
    """The resource server with that client id; None when there is none."""
    server_id, audience, secret_hash, disabled_at, alg, max_staleness, token_typ = values
    if server_id is None:
        return None
    return CallingResourceServer(
        server_id,
        client_id,
        audience,
        bytes(secret_hash),
        disabled=disabled_at is not None,
        alg=alg,
        max_staleness=max_staleness,
        token_typ=token_typ,
    )


def introspection_statement(dialect: str) -> Select[Any]:
    """Exactly one row: the caller, the standing and the record, each possibly absent."""
    return (
        select(
            database_now(dialect),
            *CALLER,
            sessions.c.last_used_at,
            sessions.c.end_reason,
            sessions.c.token_hash,
            *STANDING,
        )
        .select_from(
            settings.outerjoin(resource_servers, resource_servers.c.client_id == bindparam("caller"))
            .outerjoin(credentials, credentials.c.client_id == bindparam("client_id"))
            .outerjoin(users, users.c.id == credentials.c.owner_id)
            .outerjoin(
                secrets, and_(secrets.c.id == bindparam("secret_id"), secrets.c.client_id == credentials.c.client_id)
            )
            .outerjoin(signing_keys, signing_keys.c.kid == bindparam("kid"))
            .outerjoin(sessions, sessions.c.jti == bindparam("jti"))
        )
        .where(settings.c.id == _ONE)
    )


def caller_keys_statement(dialect: str) -> Select[Any]:
    """One row per key of the caller, or one without a key."""
    mine = resource_server_keys.c
    return (
        select(database_now(dialect), mine.id, mine.public_jwk, mine.ends_at)
        .select_from(settings.outerjoin(resource_server_keys, mine.client_id == bindparam("caller")))
        .where(settings.c.id == _ONE)
        .order_by(mine.created_at.desc(), mine.id)
    )


def trusting_clients_statement() -> Select[Any]:
    """One row per trust in an issuer."""
    return (
        select(secrets.c.client_id, secrets.c.trust)
        .join(credentials, credentials.c.client_id == secrets.c.client_id)
        .where(secrets.c.trust_issuer == bindparam("issuer", type_=secrets.c.trust_issuer.type))
        .where(secrets.c.ends_at.is_(None), credentials.c.deleted_at.is_(None))
        .limit(bindparam("most", type_=BigInteger))
    )


class SqlHotPathReads:
    """``ports.HotPathReads`` by prepared statements."""

    def __init__(self, held: ThreadConnections, clock: Clock) -> None:
        dialect = held.dialect.name
        self._issue = PreparedStatement(held, issue_statement(dialect))
        self._introspect = PreparedStatement(held, introspection_statement(dialect))
        self._caller_keys = PreparedStatement(held, caller_keys_statement(dialect))
        self._trusting = PreparedStatement(held, trusting_clients_statement())
        self._clock = clock

    def issue_facts(self, client_id: str, resource: str | None) -> IssueFacts | None:
        """All facts for a token request, or None for an unknown client."""
        audience = resource or ""
        rows = self._issue.rows({"client_id": client_id, "resource": audience if storable(audience) else _NO_AUDIENCE})
        if not rows:
            return None
        row = rows[0]
        facts = IssueFacts(
            now=self._clock.now(row[0]),
            client_id=row[1],
            owner_id=row[2],
            owner_disabled=row[3] is not None,
            role_version=row[4],
            credential_version=row[5],
            credential_disabled=row[6] is not None,
            credential_deleted=row[7] is not None,
            credential_expires_at=row[8],
            chosen=_names(row[9] or ""),
            held=_names(row[10] or ""),
            max_lifetime=row[11] * 60,
            idle_timeout=row[12] * 60,
            epoch=row[13],
            audience=row[14],
            token_alg=row[15],
            active_kid=row[16],
            secrets=tuple(
                [
                    LiveSecret(each[17], bytes(each[18]), each[19], each[20], each[26])
                    for each in rows
                    if each[17] is not None
                ]
            ),
            token_typ=row[21] or TOKEN_TYPES[0],
            restrictions=row[22],
            secrets_allowed=row[23] != 0,
            bound_required=row[24] != 0,
            server_requires=row[25],
        )
        return facts if facts.client_id == client_id else None

    def caller_keys(self, client_id: str) -> CallerKeys:
        """The public keys of a resource server."""
        rows = self._caller_keys.rows({"caller": client_id})
        keys = tuple([LiveSecret(each[1], b"", each[3], each[2]) for each in rows if each[1] is not None])
        return CallerKeys(self._clock.now(rows[0][0]), keys)

    def trusting_clients(self, issuer: str, most: int) -> tuple[tuple[str, str], ...]:
        """Who trusts an issuer."""
        rows = self._trusting.rows({"issuer": issuer if storable(issuer) else _NO_AUDIENCE, "most": most})
        return tuple([(each[0], each[1]) for each in rows])

    def introspection_facts(self, caller: str, keys: TokenKeys | None) -> IntrospectionFacts:
        """All facts for an introspection; ``keys`` is None when the text is no token of ours."""
        at = keys or _NO_TOKEN
        rows = self._introspect.rows(
            {"caller": caller, "client_id": at.client_id, "secret_id": at.secret_id, "kid": at.kid, "jti": at.jti}
        )
        if not rows:
            return IntrospectionFacts(self._clock.now(None), None, None, None)
        row = rows[0]
        last_used_at, ended, text_hash = row[8:11]
        session = None
        if last_used_at is not None:
            session = SessionRecord(last_used_at, None if ended is None else end_reason(ended), text_hash)
        return IntrospectionFacts(self._clock.now(row[0]), _caller(caller, row[1:8]), _standing(row[11:]), session)


# What a row says of a resource server or a credential is mostly what the row before said of it. The values that were
# read are the key, so nothing is told that was not read in this statement; only building it anew is spared.
_caller = lru_cache(maxsize=256)(as_caller)
_standing = lru_cache(maxsize=2048)(as_standing)


def end_reason(text: str | None) -> Reason | None:
    """Why a session ended, as its row says."""
    if text is None:
        return None
    try:
        return Reason(text)
    except ValueError:
        # Written by a newer version beside us (INV-24): ended is ended.
        return Reason.REVOKED
