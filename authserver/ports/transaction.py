"""One administrative change and its audit record, in one transaction (INV-18)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.audit import Event
from authserver.ports.credentials import Credential, KeyRecord, SecretRecord, TrustRecord
from authserver.ports.events.leaks import LeakChanges
from authserver.ports.events.webhooks import WebhookChanges
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.sign_in import ConsoleSession
from authserver.ports.users import Role, User
from authserver.rules.claims import SessionStart
from authserver.rules.events.old_secret import OldSecret
from authserver.rules.facts import Instant, Reason


class Transaction(Protocol):
    """One administrative change; its audit record commits with it or not at all (INV-18)."""

    @property
    def webhooks(self) -> WebhookChanges:
        """What is written of webhooks."""
        ...

    @property
    def leaks(self) -> LeakChanges:
        """What is written of leaks."""
        ...

    def set_email(self, user_id: str, address: str | None) -> bool:
        """Mail a user at an address, or no more; False when it is so already."""
        ...

    def unused_disables_at(self, client_id: str) -> Instant | None:
        """When the policy for unused credentials disables one; None where it does not."""
        ...

    def detail(self, **more: object) -> None:
        """Add to the audit record what only the transaction could read."""
        ...

    def set_target(self, target: str) -> None:
        """Name the target of the audit record as it is called on disk, whatever spelling was asked for."""
        ...

    def next_event(self, event: Event) -> None:
        """Close the record of what was done until here and begin another: both commit, or neither."""
        ...

    def claim_form_key(self, scope: str, form_key: str, subject: str, at: Instant) -> None:
        """Claim a form's key within ``scope``; ``AlreadyDone`` when it was claimed before (INV-23)."""
        ...

    def user(self, username: str) -> User:
        """One user by name, in any letter case; ``NotFound`` else."""
        ...

    def role(self, name: str) -> Role:
        """One live role by its exact name; ``NotFound`` else."""
        ...

    def credential(self, client_id: str, owner_id: str | None = None) -> Credential:
        """One credential that is not deleted; with ``owner_id`` only that owner's; ``NotFound`` else."""
        ...

    def general(self) -> GeneralSettings:
        """The general settings."""
        ...

    def insert_role(self, role: Role, at: Instant) -> None:
        """Make a role; ``Conflict`` when a live one has the name."""
        ...

    def delete_role(self, role: Role, at: Instant) -> int:
        """Take it from all who hold it, raising each one's role version; how many held it."""
        ...

    def only_operational(self, role: Role) -> tuple[str, ...]:
        """The names of all whose one operational role it is, sorted."""
        ...

    def insert_user(self, user: User, password_hash: str | None) -> None:
        """Make a user with the roles it comes with; ``Conflict`` when the name is taken in any letter case."""
        ...

    def grant(self, user: User, role: Role, at: Instant) -> int:
        """Assign a role; the new role version."""
        ...

    def revoke(self, user: User, role: Role, at: Instant) -> int:
        """Remove a role; the new role version."""
        ...

    def switch_user(self, user: User, disabled_at: Instant | None, at: Instant) -> int:
        """Disable (an instant) or enable (None); the new role version."""
        ...

    def users_with_permission(self, permission: str) -> frozenset[str]:
        """The ids of all who may enter the console and have a permission there, as things stand in this change."""
        ...

    def set_password(self, user: User, password_hash: str) -> None:
        """Keep the hash of a user's password; the one before is forgotten."""
        ...

    def open_console_session(self, session: ConsoleSession, id_hash: str, pending: str = "") -> None:
        """Begin a sign-in."""
        ...

    def end_console_session(self, user_id: str, handle: str) -> bool:
        """End one sign-in of a user; False when there is none."""
        ...

    def end_console_sessions(self, user_id: str, but: str = "") -> int:
        """End all sign-ins of a user, except the one with the handle ``but``; how many."""
        ...

    def link_identity(self, user: User, issuer: str, subject: str, at: Instant) -> None:
        """Let whoever is ``subject`` at ``issuer`` sign in as ``user``; ``Conflict`` when it is somebody's already."""
        ...

    def unlink_identity(self, user: User, issuer: str, subject: str) -> None:
        """Take an identity away and end the user's sign-ins by a provider; ``NotFound`` when it is not theirs."""
        ...

    def insert_login_link(self, user: User, link_hash: str, at: Instant, expires_at: Instant) -> None:
        """Keep a one-time link."""
        ...

    def consume_login_link(self, link_hash: str, at: Instant) -> User:
        """Use up a link; ``NotFound`` when it is unknown, over, or was used: of many at once one succeeds."""
        ...

    def resource_server(self, name: str) -> ResourceServer:
        """One resource server by its name, client id or audience; ``NotFound`` else."""
        ...

    def insert_resource_server(self, server: ResourceServer, secret_hash: bytes, hint: str) -> None:
        """Register a resource server; ``Conflict`` when name or audience is taken."""
        ...

    def update_resource_server(self, server_id: str, **values: object) -> None:
        """Set fields of one resource server."""
        ...

    def count_credentials(self, owner_id: str, at: Instant) -> int:
        """How many credentials of an owner are neither deleted nor expired."""
        ...

    def insert_credential(self, credential: Credential, role_ids: Sequence[str]) -> None:
        """Make a credential with its frozen role choice."""
        ...

    def update_credential(self, client_id: str, **values: object) -> None:
        """Set fields of one credential."""
        ...

    def insert_secret(self, client_id: str, secret: SecretRecord, secret_hash: bytes) -> None:
        """Add a secret to a credential."""
        ...

    def end_secrets(self, client_id: str, ends_at: Instant, at: Instant) -> None:
        """End every live secret at ``ends_at``; one already in overlap ends at once, so two live at most.

        Keys live on.
        """
        ...

    def insert_client_key(self, client_id: str, key: KeyRecord) -> None:
        """Add a public key to a credential."""
        ...

    def end_client_key(self, client_id: str, key_id: str, at: Instant) -> None:
        """End a public key of a credential at once."""
        ...

    def insert_trust(self, client_id: str, trust: TrustRecord) -> None:
        """Add a trust, an address of keys or a condition on certificates; a trust can be found by its issuer."""
        ...

    def end_trust(self, client_id: str, trust_id: str, at: Instant) -> None:
        """End a trust of a credential at once."""
        ...

    def server_keys(self, client_id: str) -> Sequence[KeyRecord]:
        """All public keys of a resource server, newest first, ended ones too."""
        ...

    def insert_server_key(self, client_id: str, key: KeyRecord) -> None:
        """Add a public key to a resource server."""
        ...

    def end_server_key(self, client_id: str, key_id: str, at: Instant) -> None:
        """End a public key of a resource server at once."""
        ...

    def move_old_secret(self, client_id: str, ends_at: Instant, at: Instant) -> Instant | None:
        """Let the secret in overlap end at ``ends_at``; when it would have, None when no such secret lives."""
        ...

    def old_secret(self, client_id: str, at: Instant) -> OldSecret | None:
        """What was seen of the secret in overlap; None when no such secret lives."""
        ...

    def append_revocation(self, kind: str, subject: str, at: Instant, value: int = 0) -> None:
        """Note that something ended, in the one order a change feed will read."""
        ...

    def algorithms_in_use(self) -> frozenset[str]:
        """The algorithms that tokens are signed by, as the settings and the resource servers choose."""
        ...

    def algorithms_ready(self) -> frozenset[str]:
        """The algorithms that a key is active for."""
        ...

    def key_state(self, kid: str) -> str:
        """The state of a signing key; empty where there is none."""
        ...

    def update_settings(self, **values: object) -> None:
        """Set general settings."""
        ...

    def end_session(self, jti: str, reason: Reason, at: Instant, owner_id: str | None = None) -> bool:
        """End a live session, with ``owner_id`` only that owner's; False when there is none."""
        ...

    def end_issued(self, start: SessionStart, reason: Reason, at: Instant) -> bool:
        """End a session by what its token was issued as, on record or not yet; False when it had ended."""
        ...

    def end_sessions(self, client_id: str, reason: Reason, at: Instant) -> int:
        """End every recorded session of a credential that lives; how many."""
        ...


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What a request that may be sent again is known by, within ``scope``; ``fingerprint`` is a hash of all it asks."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """Who asks for changes, from where, and on which conditions.

    ``peer`` and ``client`` (the credential that acts in its owner's name) are recorded with each change.
    ``precondition`` is called inside the transaction, before anything is written, and raises to prevent the change.
    A change under an ``idempotency_key`` that had its effect before raises ``AlreadyDone`` with its target, or
    ``KeyReused`` when it asked for something else (INV-23).
    """

    peer: str = ""
    client: str = ""
    precondition: Callable[[Transaction], None] | None = None
    idempotency_key: IdempotencyKey | None = None
