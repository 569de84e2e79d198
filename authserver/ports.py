"""What the verbs need from the world, as promises. ``tests/test_store.py`` holds one test a promise."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from authserver.audit import Event, Record, Verdict
from authserver.rules.facts import Instant, Reason, Standing, Token


class Unavailable(Exception):  # noqa: N818 - a state of the world, not an error of the caller
    """The truth cannot be read or written now: answer 503, never "inactive" (INV-25)."""


class Refusal(Exception):  # noqa: N818 - the caller may not have it
    """The caller may not have it. ``code`` is public; the text names the fix."""

    code = "refused"


class NotFound(Refusal):
    """Unknown, or not yours: the two are told in the same words (INV-09)."""

    code = "not_found"


class Conflict(Refusal):
    """True already, or taken."""

    code = "conflict"


class Invalid(Refusal):
    """A value that cannot be; the text names the right one."""

    code = "invalid"


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


@dataclass(frozen=True, slots=True)
class GeneralSettings:
    """What an administrator may change while the server runs; minutes and days."""

    idle_timeout_minutes: int
    max_token_lifetime_minutes: int
    max_credential_days: int
    default_audience: str | None
    token_alg: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Session:
    """The server's record of one token."""

    jti: str
    client_id: str
    audience: str
    roles: tuple[str, ...]
    issued_at: Instant
    expires_at: Instant
    last_used_at: Instant
    ended_at: Instant | None
    end_reason: str | None


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """A secret that may authenticate now."""

    id: str
    hash: bytes
    ends_at: Instant | None


@dataclass(frozen=True, slots=True)
class IssueFacts:
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


@dataclass(frozen=True, slots=True)
class Caller:
    """A resource server that may ask about tokens of its audience."""

    id: str
    client_id: str
    audience: str
    secret_hash: bytes
    disabled: bool


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Which rows a token points at; all from its verified text."""

    jti: str
    client_id: str
    secret_id: str
    kid: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the server recorded of a token."""

    last_used_at: Instant
    ended: Reason | None


@dataclass(frozen=True, slots=True)
class IntrospectionFacts:
    """Everything an introspection needs, read in one statement."""

    now: Instant
    caller: Caller | None
    standing: Standing | None
    recorded: Recorded | None


@dataclass(frozen=True, slots=True)
class SessionStart:
    """What is recorded of a token when it is issued, used or ended."""

    jti: str
    client_id: str
    secret_id: str
    kid: str
    audience: str
    roles: str
    role_version: int
    credential_version: int
    epoch: int
    issued_at: Instant
    expires_at: Instant


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

    def sweep(self, now: Instant, keep: int) -> int:
        """Delete what ended by ``exp`` more than ``keep`` seconds ago; how many."""
        ...


class ActivityClock(Protocol):
    """When each token was last used; collected in memory, written in batches."""

    def issued(self, start: SessionStart) -> None:
        """Note a new session."""
        ...

    def used(self, start: SessionStart, at: Instant, *, by: str, method: str, route: str) -> None:
        """Note a use; an older instant never moves a newer one back. ``Unavailable`` when notes pile up."""
        ...

    def last_used(self, jti: str) -> Instant | None:
        """The newest use noted here and not yet written."""
        ...

    def flush(self) -> None:
        """Write what is noted."""
        ...


class Transaction(Protocol):
    """One administrative change; its audit record commits with it or not at all (INV-18)."""

    def detail(self, **more: object) -> None:
        """Add to the audit record what only the transaction could read."""
        ...

    def user(self, username: str) -> User: ...
    def role(self, name: str) -> Role: ...
    def credential(self, client_id: str, owner_id: str | None = None) -> Credential: ...
    def general(self) -> GeneralSettings: ...
    def insert_role(self, role: Role, at: Instant) -> None: ...
    def delete_role(self, role: Role, at: Instant) -> int: ...
    def insert_user(self, user: User, password_hash: str | None) -> None: ...
    def grant(self, user: User, role: Role, at: Instant) -> int: ...
    def revoke(self, user: User, role: Role, at: Instant) -> int: ...
    def switch_user(self, user: User, disabled_at: Instant | None, at: Instant) -> int: ...
    def insert_resource_server(self, server: ResourceServer, secret_hash: bytes, hint: str) -> None: ...
    def insert_credential(self, credential: Credential, role_ids: Sequence[str]) -> None: ...
    def update_credential(self, client_id: str, **values: object) -> None: ...
    def insert_secret(self, client_id: str, secret: SecretRecord, secret_hash: bytes) -> None: ...
    def end_secrets(self, client_id: str, ends_at: Instant, at: Instant) -> None: ...
    def kill(self, kind: str, subject: str, at: Instant, value: int = 0) -> None: ...
    def update_settings(self, **values: object) -> None: ...
    def end_session(self, jti: str, reason: Reason, at: Instant) -> bool: ...


class Accounts(Protocol):
    """People, roles, credentials, resource servers, settings and the book of changes."""

    def change(self, event: Event, at: Instant) -> AbstractContextManager[Transaction]:
        """Open the only kind of transaction that writes; commits the audit record with it."""
        ...

    def user(self, username: str) -> User: ...
    def users(self) -> Sequence[User]: ...
    def roles(self) -> Sequence[Role]: ...
    def credential(self, client_id: str, owner_id: str | None = None) -> Credential: ...
    def credentials(self, owner_id: str | None = None) -> Sequence[Credential]: ...
    def resource_servers(self) -> Sequence[ResourceServer]: ...
    def general(self) -> GeneralSettings: ...
    def audit_records(self, after: int = 0, limit: int | None = None) -> Iterator[Record]: ...
    def audit_verify(self) -> Verdict: ...
    def ping(self) -> None: ...


Claims = Mapping[str, object]

__all__ = [
    "Accounts",
    "ActivityClock",
    "Caller",
    "Claims",
    "Clock",
    "Conflict",
    "Credential",
    "GeneralSettings",
    "HotReads",
    "IntrospectionFacts",
    "Invalid",
    "IssueFacts",
    "LiveSecret",
    "NotFound",
    "Recorded",
    "Refusal",
    "ResourceServer",
    "Role",
    "SecretRecord",
    "Session",
    "SessionStart",
    "Sessions",
    "Standing",
    "Token",
    "TokenKeys",
    "Transaction",
    "Unavailable",
    "User",
]
