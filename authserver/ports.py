"""What the verbs need from the world, as promises. ``tests/test_store.py`` holds one test a promise."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from authserver.audit import Event, Record, Verdict
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason, Span, Standing
from keys.keyring import KeyInfo
from keys.material import NewKey


class Unavailable(Exception):
    """The truth cannot be read or written now: answer 503, never "inactive" (INV-25)."""


class KeyGone(Unavailable):
    """A signing key retired between the facts that named it and the signature: read the facts again."""


class Refusal(Exception):
    """The caller may not have it. ``code`` is public; the text names the fix."""

    code = "refused"


class NotFound(Refusal):
    """Unknown, or not yours: the two are told in the same words (INV-09)."""

    code = "not_found"


class Conflict(Refusal):
    """True already, or taken."""

    code = "conflict"


class AlreadyDone(Conflict):
    """The form was sent before and had its effect then (INV-23); ``subject`` is what it made or changed."""

    def __init__(self, subject: str) -> None:
        super().__init__("This was done already; its secret was shown then and is not shown again.")
        self.subject = subject


class Invalid(Refusal):
    """A value that cannot be; the text names the right one."""

    code = "invalid"


class InvalidClient(Refusal):
    """Unknown, wrong, disabled and expired all look like this (INV-29); ``reason`` is the true cause, for the log."""

    code = "invalid_client"

    def __init__(self, reason: str) -> None:
        super().__init__("Unknown client, wrong secret, or the credential is disabled or expired.")
        self.reason = reason


class InvalidScope(Refusal):
    """A role was asked for that is not to be had, or none is left."""

    code = "invalid_scope"


class InvalidTarget(Refusal):
    """RFC 8707 §2: no registered resource server for that audience."""

    code = "invalid_target"


class NotYours(Refusal):
    """RFC 7009 §2.1: the token was issued to another client."""

    code = "invalid_grant"


class Clock(Protocol):
    """What time it is, in whole seconds of UTC."""

    def now(self, database: Instant | None = None) -> Instant:
        """The time; ``database`` is the database's own clock, read with the facts, and wins where given."""
        ...


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of access; ``permissions`` open parts of the console."""

    id: str
    name: str
    kind: str
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account."""

    id: str
    username: str
    roles: tuple[Role, ...]
    role_version: int
    disabled_at: Instant | None
    created_at: Instant

    @property
    def role_names(self) -> tuple[str, ...]:
        """The names of the roles held, sorted."""
        return tuple(sorted(role.name for role in self.roles))


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """One secret of a credential, without the secret."""

    id: str
    hint: str
    created_at: Instant
    ends_at: Instant | None
    last_used_at: Instant | None
    last_used_peer: str | None = None
    last_used_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """An application credential, without its secrets."""

    client_id: str
    owner: str
    owner_id: str
    name: str
    roles: tuple[str, ...]
    expires_at: Instant
    created_at: Instant
    disabled_at: Instant | None
    deleted_at: Instant | None
    version: int
    secrets: tuple[SecretRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """A registered API and its audience."""

    id: str
    client_id: str
    name: str
    audience: str
    token_alg: str | None
    created_at: Instant
    disabled_at: Instant | None
    last_asked_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class GeneralSettings:
    """What an administrator may change while the server runs, in minutes and days; and what earlier values killed."""

    idle_timeout_minutes: int
    max_token_lifetime_minutes: int
    max_credential_days: int
    max_credentials_per_user: int
    default_audience: str | None
    token_alg: str
    epoch: int
    used_since: Instant
    issued_since: Instant
    key_rotation_days: int = 0
    """How long a key signs; 0: until somebody rotates."""
    key_announcement_hours: int = 24
    key_patience_hours: int = 168
    post_quantum: int = 0
    """1: keys of RFC 9964 are in the one JWKS with the others, and tokens may be signed with them."""


@dataclass(frozen=True, slots=True)
class Session:
    """The server's record of one token."""

    jti: str
    client_id: str
    secret_id: str
    kid: str
    audience: str
    roles: tuple[str, ...]
    role_version: int
    credential_version: int
    epoch: int
    issued_at: Instant
    expires_at: Instant
    last_used_at: Instant
    ended_at: Instant | None
    end_reason: str | None
    issued_peer: str | None = None
    last_used_peer: str | None = None


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """One sign-in to the console; ``handle`` names it without opening it."""

    handle: str
    user_id: str
    method: str
    created_at: Instant
    last_seen_at: Instant
    proof_at: Instant
    ends_at: Instant
    peer: str
    agent: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a user is at another provider."""

    issuer: str
    subject: str
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Preferences:
    """How a person likes the console; an empty word means: as the browser says."""

    language: str = ""
    zone: str = ""
    theme: str = ""
    shortcuts: bool = True


@dataclass(frozen=True, slots=True)
class Visit:
    """Who is at the console, read in one transaction; ``pending`` is what waits for the next page."""

    session: ConsoleSession
    user: User
    preferences: Preferences
    pending: str


class LiveSecret(NamedTuple):
    """A secret that may authenticate now."""

    id: str
    hash: bytes
    ends_at: Instant | None


class IssueFacts(NamedTuple):
    """Everything a token request needs, read in one statement (INV-02)."""

    now: Instant
    client_id: str
    owner_id: str
    owner_disabled: bool
    role_version: int
    credential_version: int
    credential_disabled: bool
    credential_deleted: bool
    credential_expires_at: Instant
    chosen: frozenset[str]
    held: frozenset[str]
    secrets: tuple[LiveSecret, ...]
    max_lifetime: int
    idle_timeout: int
    epoch: int
    audience: str | None
    token_alg: str
    active_kid: str | None


class Caller(NamedTuple):
    """A resource server that may ask about tokens of its audience; ``alg`` is what answers to it are signed with."""

    id: str
    client_id: str
    audience: str
    secret_hash: bytes
    disabled: bool
    alg: str


class TokenKeys(NamedTuple):
    """Which rows a token points at; all from its verified text."""

    jti: str
    client_id: str
    secret_id: str
    kid: str


class Recorded(NamedTuple):
    """What the server recorded of a token."""

    last_used_at: Instant
    ended: Reason | None


class IntrospectionFacts(NamedTuple):
    """Everything an introspection needs, read in one statement."""

    now: Instant
    caller: Caller | None
    standing: Standing | None
    recorded: Recorded | None


class HotReads(Protocol):
    """The reads of the two hot paths; each is one statement, never from a replica."""

    def issue_facts(self, client_id: str, resource: str | None) -> IssueFacts | None:
        """All facts for a token request, or None for an unknown client."""
        ...

    def introspection_facts(self, caller: str, keys: TokenKeys | None) -> IntrospectionFacts:
        """All facts for an introspection; ``keys`` is None when the text is no token of ours."""
        ...


class Sessions(Protocol):
    """The record of each token."""

    def end(self, start: SessionStart, reason: Reason, at: Instant) -> None:
        """Durable before it returns; the first end stands (INV-05)."""
        ...

    def end_known(self, jti: str, reason: Reason, at: Instant) -> bool:
        """End a session by its id; False when there is none that lives."""
        ...

    def of_credential(self, client_id: str) -> Sequence[Session]:
        """All kept sessions of a credential, newest first."""
        ...

    def recent_of_credential(self, client_id: str, now: Instant, limit: int) -> Sequence[Session]:
        """The sessions that may live, and the newest of the others; ``limit`` of each kind at most, newest first."""
        ...

    def sweep(self, now: Instant, keep: int) -> int:
        """Delete sessions past their ``exp`` for more than ``keep`` seconds, and usage beyond 400 days; how many."""
        ...


class ActivityClock(Protocol):
    """When each token was last used; collected in memory, written in batches."""

    def issued(self, start: SessionStart, *, peer: str = "", agent: str = "") -> None:
        """Note a new session and where it was asked for; ``Unavailable`` when notes pile up."""
        ...

    def refused(self, client_id: str, reason: str, at: Instant) -> None:
        """Count a token request of a known credential that was refused; one of nobody, "", costs as much."""
        ...

    def used(self, start: SessionStart, at: Instant, *, by: str, method: str, route: str, peer: str = "") -> None:
        """Note a use; an older instant never moves a newer one back, an ended session stays as it is.

        The caller has judged the token alive at ``at``. ``Unavailable`` when notes have waited longer than ε.
        """
        ...

    def asked(self, by: str, at: Instant) -> None:
        """Note that a resource server asked about a token that was not active."""
        ...

    def last_used(self, jti: str) -> Instant | None:
        """The newest use noted here that a row read a moment ago may not show yet."""
        ...

    def flush(self) -> None:
        """Write what is noted."""
        ...


class Transaction(Protocol):
    """One administrative change; its audit record commits with it or not at all (INV-18)."""

    def detail(self, **more: object) -> None:
        """Add to the audit record what only the transaction could read."""
        ...

    def about(self, target: str) -> None:
        """Name the target of the audit record as it is called on disk, whatever spelling was asked for."""
        ...

    def also(self, event: Event) -> None:
        """Close the record of what was done until here and begin another: both commit, or neither."""
        ...

    def once(self, scope: str, form_key: str, subject: str, at: Instant) -> None:
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

    def able(self, permission: str) -> frozenset[str]:
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

    def spend_login_link(self, link_hash: str, at: Instant) -> User:
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
        """End every live secret at ``ends_at``; one already in overlap ends at once, so two live at most."""
        ...

    def move_old_secret(self, client_id: str, ends_at: Instant, at: Instant) -> Instant | None:
        """Let the secret in overlap end at ``ends_at``; when it would have, None when no such secret lives."""
        ...

    def kill(self, kind: str, subject: str, at: Instant, value: int = 0) -> None:
        """Note that something ended, in the one order a change feed will read."""
        ...

    def algorithms_in_use(self) -> frozenset[str]:
        """The algorithms that tokens are signed by, as the settings and the resource servers choose."""
        ...

    def algorithms_ready(self) -> frozenset[str]:
        """The algorithms that a key is active for."""
        ...

    def update_settings(self, **values: object) -> None:
        """Set general settings."""
        ...

    def end_session(self, jti: str, reason: Reason, at: Instant, owner_id: str | None = None) -> bool:
        """End a live session, with ``owner_id`` only that owner's; False when there is none."""
        ...

    def end_sessions(self, client_id: str, reason: Reason, at: Instant) -> int:
        """End every recorded session of a credential that lives; how many."""
        ...


class Accounts(Protocol):
    """People, roles, credentials, resource servers, settings and the book of changes."""

    def change(self, event: Event, at: Instant) -> AbstractContextManager[Transaction]:
        """Open the only kind of transaction that writes; commits the audit record with it."""
        ...

    def user(self, username: str) -> User:
        """One user by name, in any letter case; ``NotFound`` else."""
        ...

    def users(self) -> Sequence[User]:
        """All users by name."""
        ...

    def roles(self) -> Sequence[Role]:
        """All live roles by name."""
        ...

    def credential(self, client_id: str, owner_id: str | None = None) -> Credential:
        """One credential that is not deleted; with ``owner_id`` only that owner's; ``NotFound`` else."""
        ...

    def credentials(self, owner_id: str | None = None) -> Sequence[Credential]:
        """All credentials that are not deleted, newest first."""
        ...

    def resource_servers(self) -> Sequence[ResourceServer]:
        """All resource servers by name."""
        ...

    def general(self) -> GeneralSettings:
        """The general settings."""
        ...

    def audit_records(self, after: int = 0, limit: int | None = None, **only: str) -> Iterator[Record]:
        """Audit records in their order, from the one behind ``after``; ``only`` an event, actor or target."""
        ...

    def audit_newest(self, limit: int, **only: str) -> Sequence[Record]:
        """The newest audit records, in their order."""
        ...

    def audit_verify(self) -> Verdict:
        """Walk the whole chain."""
        ...

    def ping(self) -> None:
        """Answer, or raise ``Unavailable``."""
        ...


Ripe = Callable[[KeyInfo], bool]


def always(_key: KeyInfo) -> bool:
    """Let any staged key sign."""
    return True


class SigningKeys(Protocol):
    """The key ring; every move is one audited transaction, and never leaves an algorithm in use without its key.

    ``ripe`` says which staged keys may sign, and is asked inside the transaction; ``reason`` goes into its record.
    """

    def ring(self) -> tuple[KeyInfo, ...]:
        """All keys, oldest first."""
        ...

    def get(self, kid: str) -> KeyInfo:
        """One key by its id, or by a start of it that fits only one; ``NotFound`` else."""
        ...

    def add(self, key: NewKey, actor: str, at: Instant) -> KeyInfo:
        """Stage a new key."""
        ...

    def ensure_staged(self, key: NewKey, actor: str, at: Instant) -> bool:
        """Stage a new key if none is for its algorithm; False, and no trace, when one was first (INV-16)."""
        ...

    def ensure_active(self, key: NewKey, actor: str, at: Instant) -> bool:
        """Let a new key sign if none does for its algorithm; False, and no trace, when one was first (INV-16)."""
        ...

    def activate(self, kid: str, actor: str, at: Instant, *, ripe: Ripe = always, reason: str = "") -> None:
        """Make a staged key the one that signs; the one before retires and its private part is destroyed."""
        ...

    def retire(self, kid: str, actor: str, at: Instant, *, ripe: Ripe = always, reason: str = "") -> None:
        """Take an active key out of signing; a staged one takes over, ``Conflict`` when there is none."""
        ...

    def compromise(self, kid: str, actor: str, at: Instant, spare: NewKey | None, *, reason: str = "") -> None:
        """Kill a key and every token it signed; a staged key or the spare takes over at once."""
        ...

    def rotate(
        self, alg: str, spare: NewKey | None, actor: str, at: Instant, *, ripe: Ripe = always, reason: str = ""
    ) -> str:
        """Let the oldest staged key sign, or the spare where none is staged; the new ``kid``."""
        ...

    def remove(self, kid: str, actor: str, at: Instant) -> None:
        """Withdraw a retired key from the JWKS; ``Conflict`` while a token it signed may live (INV-14)."""
        ...


class SignIns(Protocol):
    """Who is signed in to the console; beginning and ending is ``Transaction``'s."""

    def password_of(self, username: str) -> tuple[User, str | None] | None:
        """A user by name, in any letter case, with the hash of the password, if any; None when unknown."""
        ...

    def visit(self, id_hash: str) -> Visit | None:
        """The sign-in with this id, however old, with its user as things stand now."""
        ...

    def seen(self, id_hash: str, at: Instant) -> None:
        """Note that something was asked for; an older instant never moves a newer one back."""
        ...

    def renew(self, id_hash: str, fresh_hash: str, proof_at: Instant) -> bool:
        """Give a sign-in a new id after a new proof; False when it is gone."""
        ...

    def leave(self, id_hash: str, pending: str) -> None:
        """Keep what waits for the next page, in place of what waited before."""
        ...

    def close(self, id_hash: str) -> None:
        """End a sign-in by its id."""
        ...

    def of_user(self, user_id: str) -> Sequence[ConsoleSession]:
        """All sign-ins of a user that are on record, newest first."""
        ...

    def prefer(self, user_id: str, preferences: Preferences) -> None:
        """Keep how a user likes the console."""
        ...

    def identity_owner(self, issuer: str, subject: str) -> User | None:
        """Whose identity this is; None when it is nobody's here."""
        ...

    def identities_of(self, user_id: str) -> Sequence[Identity]:
        """The identities of a user, by issuer and subject."""
        ...

    def link_owner(self, link_hash: str, at: Instant) -> User | None:
        """Whose one-time link this is; None when it is unknown, over, or was used."""
        ...

    def sweep(self, before: Instant) -> int:
        """Forget sign-ins not seen since, and links that were over by then; how many."""
        ...


TRIES_FORGOTTEN: Span = 15 * 60
"""Seconds without a failure after which it is as if there had been none."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How often something failed, and when last."""

    failures: int = 0
    last_at: Instant = 0

    def at(self, now: Instant) -> "Tried":
        """The same as it counts now: what is long ago does not."""
        return Tried() if now - self.last_at > TRIES_FORGOTTEN else self


class SignInTries(Protocol):
    """Tries to sign in, counted for all processes together; each method is a transaction of its own."""

    def past(self, key: str) -> Tried:
        """What is known about one key."""
        ...

    def count(self, keys: Sequence[str], at: Instant, judge: Callable[[Sequence[Tried]], int]) -> int:
        """Hold some keys, ask ``judge`` how long to wait, and count a try for each key if that is 0; the wait."""
        ...

    def take_back(self, key: str) -> None:
        """Uncount one try."""
        ...

    def forget(self, key: str) -> None:
        """Forget all tries of a key."""
        ...

    def sweep(self, before: Instant) -> int:
        """Forget what was last tried before an instant; how many keys."""
        ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """Somebody who fetches the JWKS: a resource server by its id, or an anonymous one by its user agent."""

    kind: str
    name: str
    fetches: int
    last_fetched_at: Instant
    seen: frozenset[str]
    """The keys in the set it was given last; empty for the anonymous."""


class Verifiers(Protocol):
    """Who has fetched the JWKS; collected in memory, written in batches."""

    def all(self) -> Sequence[Verifier]:
        """Everybody on record, who fetched last first."""
        ...


@dataclass(frozen=True, slots=True)
class SignedFor:
    """What hangs on one key: a credential and its live tokens of that key, as far as they are on record."""

    client_id: str
    owner: str
    name: str
    tokens: int
    last_used_at: Instant
    ends_at: Instant
    """When the last of them ends."""
