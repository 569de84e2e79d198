"""One administrative change: what it reads and writes, and the audit record that commits with it (INV-18).

One module, because all of its statements share one connection and one audit record.
"""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from authserver.audit import CLIENT, PEER, Event, canonical, seal, seal_head
from authserver.ports.credentials import Credential, KeyRecord, SecretRecord, TrustRecord
from authserver.ports.errors import AlreadyDone, Conflict, Invalid
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.sign_in import ConsoleSession
from authserver.ports.transaction import ChangeRequest
from authserver.ports.users import Role, User
from authserver.rules.claims import SessionStart
from authserver.rules.events.old_secret import OldSecret
from authserver.rules.facts import Instant, Reason
from authserver.rules.names import storable
from authserver.store.credentials.old_secrets import find_old_secret
from authserver.store.events.leaks import SqlLeakChanges
from authserver.store.events.unused import find_disables_at
from authserver.store.events.webhooks import SqlWebhookChanges
from authserver.store.rows import identities as identity_rows
from authserver.store.rows.accounts import (
    find_credential,
    find_general,
    find_resource_server,
    find_role,
    find_user,
    server_keys_of,
    user_by_id,
)
from authserver.store.sign_in import rows
from authserver.store.tables import (
    IS_SECRET,
    audit,
    audit_head,
    credential_roles,
    credentials,
    form_keys,
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
from authserver.store.tokens.revocations import Revocation, append_revocations, lock_head
from authserver.store.tokens.sessions import end_row, end_statement, ended_values
from keys.keyring import State

_KEY_HINT, _TRUST_HINT = "key", "trust"
"""Instead of the first characters of a secret, for a version that knows neither."""

_WIDTHS = {"actor": 200, "target": 255}


class SqlTransaction:
    """``ports.Transaction``: reads and writes inside one change."""

    def __init__(
        self, connection: Connection, event: Event, at: Instant, audit_key: bytes, request: ChangeRequest
    ) -> None:
        self.connection = connection
        self._at, self._key = at, audit_key
        self._origin = {name: value for name, value in ((PEER, request.peer), (CLIENT, request.client)) if value}
        self.webhooks, self.leaks = SqlWebhookChanges(connection), SqlLeakChanges(connection)
        self._begin(event)
        # The head's row lock makes changes, audit numbers and kill numbers one queue. It is always taken first.
        head = lock_head(connection)
        self._seq, self._hash, self._last_kill = head.seq, head.hash, head.kill_seq

    def _begin(self, event: Event) -> None:
        self._event, self.target = event, event.target
        self._detail: dict[str, object] = {**event.detail, **self._origin}
        self._kills: list[Revocation] = []

    def next_event(self, event: Event) -> None:
        """Close the record of what was done until here and begin another: both commit, or neither."""
        self.write_record()
        self._begin(event)

    def detail(self, **more: object) -> None:
        """Add to the audit record what only the transaction could read."""
        self._detail.update(more)

    def set_target(self, target: str) -> None:
        """Name the target of the audit record as it is called on disk."""
        self.target = target

    def claim_form_key(self, scope: str, form_key: str, subject: str, at: Instant) -> None:
        """Claim a form's key within ``scope``; ``AlreadyDone`` when it was claimed before."""
        key_hash = hashlib.sha256(form_key.encode("utf-8", "surrogatepass")).hexdigest()
        known = select(form_keys.c.subject).where(form_keys.c.scope == scope, form_keys.c.key_hash == key_hash)
        before = self.connection.execute(known).scalar()
        if before is not None:
            raise AlreadyDone(before)
        self.connection.execute(insert(form_keys).values(scope=scope, key_hash=key_hash, subject=subject, at=at))

    def write_record(self) -> None:
        """Append the audit record and the kills; the last act before the commit."""
        detail = canonical(self._detail)
        for column, text in ((audit.c.actor, self._event.actor), (audit.c.target, self.target)):
            if not storable(text) or len(text) > _WIDTHS[column.name]:
                msg = f"the {column.name} of a change is a line of {_WIDTHS[column.name]} characters at most"
                raise Invalid(msg)
        values = {
            "seq": self._seq + 1,
            "at": self._at,
            "actor": self._event.actor,
            "event": self._event.name,
            "target": self.target,
            "detail": detail,
        }
        sealed = seal(self._key, **values, previous=self._hash)
        self.connection.execute(insert(audit).values(**values, previous_hash=self._hash, hash=sealed))
        self._last_kill = append_revocations(self.connection, self._last_kill, self._kills)
        self._seq, self._hash = self._seq + 1, sealed
        self.connection.execute(
            update(audit_head).values(
                seq=self._seq,
                hash=sealed,
                seal=seal_head(self._key, self._seq, sealed),
                kill_seq=self._last_kill,
            )
        )

    def append_revocation(self, kind: str, subject: str, at: Instant, value: int = 0) -> None:
        """Append an end to the log of revocations, in the order in which a change feed reads it."""
        self._kills.append((kind, subject, at, value))

    def user(self, username: str) -> User:
        """Find a user by name."""
        return find_user(self.connection, username)

    def role(self, name: str) -> Role:
        """Find a live role by name."""
        return find_role(self.connection, name)

    def credential(self, client_id: str, owner_id: str | None = None) -> Credential:
        """Find a credential; with ``owner_id`` only that owner's."""
        return find_credential(self.connection, client_id, owner_id)

    def general(self) -> GeneralSettings:
        """The general settings."""
        return find_general(self.connection)

    def insert_role(self, role: Role, at: Instant) -> None:
        """Make a role."""
        taken = select(roles.c.id).where(roles.c.name == role.name, roles.c.deleted_at.is_(None))
        if self.connection.execute(taken).first():
            msg = f"there is a role {role.name!r} already"
            raise Conflict(msg)
        self.connection.execute(
            insert(roles).values(
                id=role.id, name=role.name, kind=role.kind, permissions=" ".join(role.permissions), created_at=at
            )
        )

    def delete_role(self, role: Role, at: Instant) -> int:
        """Take a role from all who hold it, raising each one's role version; how many held it."""
        holders = select(user_roles.c.user_id).where(user_roles.c.role_id == role.id)
        bumped = update(users).where(users.c.id.in_(holders)).values(role_version=users.c.role_version + 1)
        raised = self.connection.execute(bumped.returning(users.c.id, users.c.role_version)).all()
        self.connection.execute(delete(user_roles).where(user_roles.c.role_id == role.id))
        self.connection.execute(update(roles).where(roles.c.id == role.id).values(deleted_at=at))
        for user_id, version in sorted(map(tuple, raised)):
            self.append_revocation("role_version", user_id, at, version)
        return len(raised)

    def only_operational(self, role: Role) -> tuple[str, ...]:
        """The names of all whose one operational role it is, sorted."""
        if role.kind != "operational":
            return ()
        other, others = roles.alias(), user_roles.alias()
        has_another = (
            select(others.c.user_id)
            .join(other, other.c.id == others.c.role_id)
            .where(others.c.user_id == users.c.id, other.c.id != role.id)
            .where(other.c.kind == "operational", other.c.deleted_at.is_(None))
            .exists()
        )
        holds = users.join(user_roles, user_roles.c.user_id == users.c.id)
        found = select(users.c.username).select_from(holds).where(user_roles.c.role_id == role.id, ~has_another)
        return tuple(self.connection.execute(found.order_by(users.c.folded_username)).scalars())

    def insert_user(self, user: User, password_hash: str | None) -> None:
        """Make a user with the roles it comes with."""
        folded = user.username.casefold()
        if self.connection.execute(select(users.c.id).where(users.c.folded_username == folded)).first():
            msg = f"there is a user {user.username!r} already"
            raise Conflict(msg)
        self.connection.execute(
            insert(users).values(
                id=user.id,
                username=user.username,
                folded_username=folded,
                password_hash=password_hash,
                role_version=user.role_version,
                created_at=user.created_at,
            )
        )
        for role in user.roles:
            self.connection.execute(
                insert(user_roles).values(user_id=user.id, role_id=role.id, granted_at=user.created_at)
            )

    def grant(self, user: User, role: Role, at: Instant) -> int:
        """Assign a role; the new role version."""
        self.connection.execute(insert(user_roles).values(user_id=user.id, role_id=role.id, granted_at=at))
        return self._raise_role_version(user.id, at)

    def revoke(self, user: User, role: Role, at: Instant) -> int:
        """Remove a role; the new role version."""
        self.connection.execute(
            delete(user_roles).where(user_roles.c.user_id == user.id, user_roles.c.role_id == role.id)
        )
        return self._raise_role_version(user.id, at)

    def switch_user(self, user: User, disabled_at: Instant | None, at: Instant) -> int:
        """Disable or enable a user; the new role version."""
        self.connection.execute(update(users).where(users.c.id == user.id).values(disabled_at=disabled_at))
        self.end_console_sessions(user.id)
        return self._raise_role_version(user.id, at)

    def _raise_role_version(self, user_id: str, at: Instant) -> int:
        raised = update(users).where(users.c.id == user_id).values(role_version=users.c.role_version + 1)
        version: int = self.connection.execute(raised.returning(users.c.role_version)).scalar_one()
        self.append_revocation("role_version", user_id, at, version)
        return version

    def users_with_permission(self, permission: str) -> frozenset[str]:
        """The ids of all who may enter the console and have a permission there."""
        held = select(user_roles.c.user_id, roles.c.kind, roles.c.permissions).join(
            roles, roles.c.id == user_roles.c.role_id
        )
        builders, permitted = set(), set()
        enabled = held.join(users, users.c.id == user_roles.c.user_id).where(
            users.c.disabled_at.is_(None),
            roles.c.deleted_at.is_(None),
            (roles.c.kind == "builder") | (roles.c.permissions != ""),
        )
        for row in self.connection.execute(enabled):
            if row.kind == "builder":
                builders.add(row.user_id)
            if permission in row.permissions.split():
                permitted.add(row.user_id)
        return frozenset(builders & permitted)

    def set_password(self, user: User, password_hash: str) -> None:
        """Keep the hash of a user's password."""
        self.connection.execute(update(users).where(users.c.id == user.id).values(password_hash=password_hash))

    def open_console_session(self, session: ConsoleSession, id_hash: str, pending: str = "") -> None:
        """Begin a sign-in."""
        rows.insert_session(self.connection, session, id_hash, pending)

    def end_console_session(self, user_id: str, handle: str) -> bool:
        """End one sign-in of a user; False when there is none."""
        return rows.delete_session(self.connection, user_id, handle)

    def end_console_sessions(self, user_id: str, but: str = "") -> int:
        """End all sign-ins of a user, except the one with the handle ``but``; how many."""
        return rows.delete_sessions(self.connection, user_id, but)

    def link_identity(self, user: User, issuer: str, subject: str, at: Instant) -> None:
        """Join an identity to a user; ``Conflict`` when it is somebody's already."""
        identity_rows.insert_identity(self.connection, user.id, issuer, subject, at)

    def unlink_identity(self, user: User, issuer: str, subject: str) -> None:
        """Take an identity from a user; ``NotFound`` when it is not theirs."""
        identity_rows.delete_identity(self.connection, user.id, issuer, subject)

    def insert_login_link(self, user: User, link_hash: str, at: Instant, expires_at: Instant) -> None:
        """Keep a one-time link."""
        rows.insert_link(self.connection, user.id, link_hash, at, expires_at)

    def consume_login_link(self, link_hash: str, at: Instant) -> User:
        """Use up a link; ``NotFound`` when it is unknown, over, or was used."""
        return user_by_id(self.connection, rows.spend_link(self.connection, link_hash, at))

    def resource_server(self, name: str) -> ResourceServer:
        """Find a resource server by name, client id or audience."""
        return find_resource_server(self.connection, name)

    def update_resource_server(self, server_id: str, **values: object) -> None:
        """Set columns of one resource server."""
        self.connection.execute(update(resource_servers).where(resource_servers.c.id == server_id).values(**values))

    def insert_resource_server(self, server: ResourceServer, secret_hash: bytes, hint: str) -> None:
        """Register a resource server."""
        for column, value in (("name", server.name), ("audience", server.audience)):
            if self.connection.execute(
                select(resource_servers.c.id).where(resource_servers.c[column] == value)
            ).first():
                msg = f"there is a resource server with {column} {value!r} already"
                raise Conflict(msg)
        self.connection.execute(
            insert(resource_servers).values(
                id=server.id,
                client_id=server.client_id,
                name=server.name,
                audience=server.audience,
                secret_hash=secret_hash,
                secret_hint=hint,
                token_alg=server.token_alg,
                created_at=server.created_at,
                token_typ=server.token_typ,
                purpose=server.purpose or None,
            )
        )

    def count_credentials(self, owner_id: str, at: Instant) -> int:
        """How many credentials of an owner are neither deleted nor expired."""
        mine = (credentials.c.owner_id == owner_id, credentials.c.deleted_at.is_(None), credentials.c.expires_at > at)
        return self.connection.execute(select(func.count()).select_from(credentials).where(*mine)).scalar_one()

    def insert_credential(self, credential: Credential, role_ids: Sequence[str]) -> None:
        """Make a credential with its frozen role choice."""
        self.connection.execute(
            insert(credentials).values(
                client_id=credential.client_id,
                owner_id=credential.owner_id,
                name=credential.name,
                expires_at=credential.expires_at,
                created_at=credential.created_at,
                version=credential.version,
            )
        )
        for role_id in role_ids:
            self.connection.execute(insert(credential_roles).values(client_id=credential.client_id, role_id=role_id))

    def update_credential(self, client_id: str, **values: object) -> None:
        """Set columns of one credential."""
        if values.get("disabled_at", 0) is None:
            values["enabled_at"] = self._at
        self.connection.execute(update(credentials).where(credentials.c.client_id == client_id).values(**values))

    def set_email(self, user_id: str, address: str | None) -> bool:
        """Mail a user at an address, or no more; False when it is so already."""
        other = users.c.email.is_distinct_from(address)
        changed = update(users).where(users.c.id == user_id, other).values(email=address)
        return self.connection.execute(changed).rowcount > 0

    def unused_disables_at(self, client_id: str) -> Instant | None:
        """When the policy for unused credentials disables one; None where it does not."""
        return find_disables_at(self.connection, client_id)

    def insert_secret(self, client_id: str, secret: SecretRecord, secret_hash: bytes) -> None:
        """Add a secret to a credential."""
        self.connection.execute(
            insert(secrets).values(
                id=secret.id, client_id=client_id, hash=secret_hash, hint=secret.hint, created_at=secret.created_at
            )
        )

    def end_secrets(self, client_id: str, ends_at: Instant, at: Instant) -> None:
        """End every live secret at ``ends_at``; one in overlap already ends at once, so that two live at most."""
        mine = (secrets.c.client_id == client_id, IS_SECRET)
        # In the order the activity clock writes them: two transactions never wait for each other in a ring.
        self.connection.execute(select(secrets.c.id).where(*mine).order_by(secrets.c.id).with_for_update()).all()
        self.connection.execute(update(secrets).where(*mine, secrets.c.ends_at > at).values(ends_at=at))
        self.connection.execute(update(secrets).where(*mine, secrets.c.ends_at.is_(None)).values(ends_at=ends_at))
        self.append_revocation("secret", client_id, at, ends_at)

    def insert_client_key(self, client_id: str, key: KeyRecord) -> None:
        """Add a public key to a credential; its row is one of a secret whose hash nothing equals."""
        self.connection.execute(
            insert(secrets).values(
                id=key.id,
                client_id=client_id,
                hash=b"",
                hint=_KEY_HINT,
                created_at=key.created_at,
                public_jwk=key.public_jwk,
            )
        )

    def end_client_key(self, client_id: str, key_id: str, at: Instant) -> None:
        """End a public key of a credential at once."""
        mine = (secrets.c.client_id == client_id, secrets.c.id == key_id, secrets.c.public_jwk.is_not(None))
        self.connection.execute(update(secrets).where(*mine, secrets.c.ends_at.is_(None)).values(ends_at=at))
        self.append_revocation("secret", client_id, at, at)

    def insert_trust(self, client_id: str, trust: TrustRecord) -> None:
        """Add a trust, or what is kept as one; its row is one of a secret whose hash nothing equals."""
        values = {"id": trust.id, "trust": trust.text, "trust_issuer": trust.issuer or None}
        row = {"client_id": client_id, "hash": b"", "hint": _TRUST_HINT, "created_at": trust.created_at}
        self.connection.execute(insert(secrets).values(**row, **values))

    def end_trust(self, client_id: str, trust_id: str, at: Instant) -> None:
        """End a trust of a credential at once."""
        mine = (secrets.c.client_id == client_id, secrets.c.id == trust_id, secrets.c.trust.is_not(None))
        self.connection.execute(update(secrets).where(*mine, secrets.c.ends_at.is_(None)).values(ends_at=at))
        self.append_revocation("secret", client_id, at, at)

    def server_keys(self, client_id: str) -> Sequence[KeyRecord]:
        """All public keys of a resource server, newest first."""
        return server_keys_of(self.connection, client_id)

    def insert_server_key(self, client_id: str, key: KeyRecord) -> None:
        """Add a public key to a resource server."""
        values = {"id": key.id, "public_jwk": key.public_jwk, "created_at": key.created_at}
        self.connection.execute(insert(resource_server_keys).values(client_id=client_id, **values))

    def end_server_key(self, client_id: str, key_id: str, at: Instant) -> None:
        """End a public key of a resource server at once."""
        mine = (resource_server_keys.c.client_id == client_id, resource_server_keys.c.id == key_id)
        live = resource_server_keys.c.ends_at.is_(None)
        self.connection.execute(update(resource_server_keys).where(*mine, live).values(ends_at=at))

    def move_old_secret(self, client_id: str, ends_at: Instant, at: Instant) -> Instant | None:
        """Let the secret in overlap end at ``ends_at``; when it would have, None when no such secret lives."""
        old = (secrets.c.client_id == client_id, secrets.c.ends_at > at)
        query = select(secrets.c.ends_at).where(*old).order_by(secrets.c.id).with_for_update()
        before: list[Instant] = list(self.connection.execute(query).scalars())
        if not before:
            return None
        self.connection.execute(update(secrets).where(*old).values(ends_at=ends_at))
        self.append_revocation("secret", client_id, at, ends_at)
        return max(before)

    def old_secret(self, client_id: str, at: Instant) -> OldSecret | None:
        """What was seen of the secret in overlap; None when no such secret lives."""
        return find_old_secret(self.connection, client_id, at)

    def algorithms_in_use(self) -> frozenset[str]:
        """The algorithms that tokens are signed by, as the settings and the resource servers choose."""
        chosen = select(resource_servers.c.token_alg).where(
            resource_servers.c.token_alg.is_not(None), resource_servers.c.disabled_at.is_(None)
        )
        return frozenset(self.connection.execute(select(settings.c.token_alg).union(chosen)).scalars())

    def algorithms_ready(self) -> frozenset[str]:
        """The algorithms that a key is active for."""
        active = select(signing_keys.c.alg).where(signing_keys.c.state == State.ACTIVE.value)
        return frozenset(self.connection.execute(active).scalars())

    def key_state(self, kid: str) -> str:
        """The state of a signing key; empty where there is none."""
        found = self.connection.execute(select(signing_keys.c.state).where(signing_keys.c.kid == kid)).scalar()
        return found or ""

    def update_settings(self, **values: object) -> None:
        """Set general settings."""
        self.connection.execute(update(settings).values(**values))
        # Keys that sign now may sign tokens of the new length from here on.
        life = select(settings.c.max_token_lifetime_minutes * 60).scalar_subquery()
        signing = (signing_keys.c.state == State.ACTIVE.value, signing_keys.c.token_life < life)
        self.connection.execute(update(signing_keys).where(*signing).values(token_life=life))

    def end_session(self, jti: str, reason: Reason, at: Instant, owner_id: str | None = None) -> bool:
        """End a live session, with ``owner_id`` only that owner's; False when there is none."""
        if not storable(jti):
            return False
        if owner_id is not None:
            owner = (
                select(credentials.c.owner_id)
                .join(sessions, sessions.c.client_id == credentials.c.client_id)
                .where(sessions.c.jti == jti, credentials.c.deleted_at.is_(None))
            )
            if self.connection.execute(owner).scalar() != owner_id:
                return False
        ended = end_row(self.connection, jti, reason, at)
        if ended:
            self.append_revocation("session", jti, at)
        return ended

    def end_issued(self, start: SessionStart, reason: Reason, at: Instant) -> bool:
        """End a session by what its token was issued as, on record or not yet; False when it had ended."""
        statement = end_statement(self.connection.dialect.name).returning(sessions.c.jti)
        ended = self.connection.execute(statement, ended_values(start, reason, at)).first() is not None
        if ended:
            self.append_revocation("session", start.jti, at)
        return ended

    def end_sessions(self, client_id: str, reason: Reason, at: Instant) -> int:
        """End every recorded session of a credential that lives; how many.

        A token nobody recorded yet dies by the credential version, which the action raises in the same change.
        """
        live = (sessions.c.client_id == client_id, sessions.c.ended_at.is_(None), sessions.c.expires_at > at)
        # In the order the activity clock writes them, as above.
        self.connection.execute(select(sessions.c.jti).where(*live).order_by(sessions.c.jti).with_for_update()).all()
        ended = self.connection.execute(update(sessions).where(*live).values(ended_at=at, end_reason=reason.value))
        return ended.rowcount
