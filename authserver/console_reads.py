"""What pages ask of the store, as promises: lists, searches, previews and counts.

``ports`` has what the verbs need to act; here is what people look at. Nothing
here writes, and looking is never use (PRODUCT.md §2.9). Lists come in pages.
``owner_id`` narrows a read to one owner's credentials: a foreign one then looks
exactly like an unknown one (INV-09). All raise ``Unavailable`` when the truth
cannot be read. ``tests/test_console_reads.py`` holds the promises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from authserver.audit import Record
from authserver.ports import Role, SecretRecord, User
from authserver.rules.credential_status import Status
from authserver.rules.facts import Instant

MAX_PAGE = 200
"""Rows of a page at most; a larger size is cut down to it."""

SPARK_DAYS = 30

MANY = 500
"""Live tokens of many credentials are counted up to this: so many stands for so many or more."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list; ``number`` counts from 1, ``total`` is of all pages."""

    rows: tuple[Row, ...]
    total: int
    number: int
    size: int

    @property
    def pages(self) -> int:
        """How many pages there are; an empty list has one."""
        return max(1, -(-self.total // self.size))


@dataclass(frozen=True, slots=True)
class DayCount:
    """Token requests of one day of UTC that begins at ``day``."""

    day: Instant
    granted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """An application credential as lists show it; metadata only.

    ``held`` are those of the ``chosen`` roles that the owner still has. ``secrets``
    are the live ones, newest first. ``statuses`` are all that hold, the badge first.
    ``last_used_at`` counts token requests and uses of tokens; where the last token
    request came from is ``requested_*``. ``days`` are the last 30, oldest first.
    """

    client_id: str
    name: str
    owner: str
    owner_id: str
    owner_disabled: bool
    chosen: tuple[str, ...]
    held: tuple[str, ...]
    expires_at: Instant
    created_at: Instant
    disabled_at: Instant | None
    statuses: tuple[Status, ...]
    secrets: tuple[SecretRecord, ...]
    rotation_ends_at: Instant | None
    last_used_at: Instant | None
    requested_at: Instant | None
    requested_peer: str | None
    requested_agent: str | None
    days: tuple[DayCount, ...] = ()

    @property
    def status(self) -> Status:
        """The badge."""
        return self.statuses[0]

    @property
    def lost(self) -> tuple[str, ...]:
        """Chosen roles that the owner no longer has."""
        return tuple(name for name in self.chosen if name not in self.held)


CredentialOrder = Literal["name", "owner", "expires_at", "created_at", "last_used_at"]


@dataclass(frozen=True, slots=True)
class CredentialQuery:
    """What to list. ``search`` is part of a name, owner or role, or the start of a client id.

    Filters all hold together; a credential that was never used counts as unused since it was made.
    """

    search: str = ""
    status: Status | None = None
    never_used: bool = False
    older_than_days: int | None = None
    unused_days: int | None = None
    owner_disabled: bool = False
    order: CredentialOrder = "created_at"
    descending: bool = True
    page: int = 1
    size: int = 50


@dataclass(frozen=True, slots=True)
class RouteUse:
    """How often tokens of a credential were used at one route; ``server`` is None once it is gone."""

    server_id: str
    server: str | None
    method: str
    route: str
    uses: int
    last_used_at: Instant


@dataclass(frozen=True, slots=True)
class ServerUse:
    """How often tokens of a credential were used at one resource server."""

    server_id: str
    server: str | None
    uses: int
    last_used_at: Instant


@dataclass(frozen=True, slots=True)
class Usage:
    """Uses since a day: the most used routes, every resource server, and the sum; most used first."""

    routes: tuple[RouteUse, ...]
    servers: tuple[ServerUse, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What one credential loses by a change of its owner's roles; ``left`` are the roles it keeps."""

    client_id: str
    name: str
    owner: str
    lost: tuple[str, ...]
    left: tuple[str, ...]
    live_tokens: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen: the credentials that lose roles or tokens, the most tokens first.

    ``credentials`` and ``live_tokens`` count all of them, ``losses`` lists the first 100.
    A token that was issued in the last second may not be counted yet. At ``MANY`` tokens
    the count stops: then both numbers are lower bounds, and ``losses`` come from what was counted.
    """

    losses: tuple[Loss, ...]
    credentials: int
    live_tokens: int
    users: int

    @property
    def at_least(self) -> bool:
        """Whether there may be more than was counted."""
        return self.live_tokens >= MANY


class CredentialReads(Protocol):
    """Credentials as people look at them."""

    def page(
        self, query: CredentialQuery, now: Instant, *, owner_id: str | None = None, days: bool = True
    ) -> Page[CredentialRow]:
        """One page of the list; the statuses are judged at ``now``. Without ``days`` the rows have none."""
        ...

    def counts(self, now: Instant, *, owner_id: str | None = None) -> Mapping[Status, int]:
        """How many credentials each status holds for; one credential may count several times."""
        ...

    def row(self, client_id: str, now: Instant, *, owner_id: str | None = None) -> CredentialRow:
        """One credential that is not deleted; ``NotFound`` else."""
        ...

    def secrets(self, client_id: str) -> Sequence[SecretRecord]:
        """All secrets of a credential, newest first, ended ones too."""
        ...

    def export(self, query: CredentialQuery, now: Instant) -> Iterator[CredentialRow]:
        """All rows a query finds, by client id, without ``days``; reads a part at a time and holds nothing meanwhile.

        Names are what people typed: a door that writes CSV has to defuse what a spreadsheet takes for a formula.
        """
        ...

    def refusals(self, client_id: str, since: Instant) -> Mapping[str, int]:
        """Token requests since a day by outcome: ``granted`` or the reason they were refused for."""
        ...

    def usage(self, client_id: str, since: Instant, top: int = 10) -> Usage:
        """Uses of tokens since a day."""
        ...

    def live_tokens(self, client_id: str, now: Instant) -> int:
        """How many recorded tokens of a credential live at ``now``, by the rules of an introspection."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that ends soon: a credential, or with a ``hint`` one of its secrets, used last at ``used_at``."""

    client_id: str
    name: str
    ends_at: Instant
    hint: str = ""
    used_at: Instant | None = None


class EndingReads(Protocol):
    """What an owner is told before it breaks."""

    def soon(self, owner_id: str, now: Instant) -> Sequence[Ending]:
        """What ends within ``credential_status.TOLD_WITHIN`` of what works now, soonest first.

        Credentials that expire, and secrets that end and were used since a newer one was made.
        """
        ...


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user with the number of credentials that are not deleted."""

    user: User
    credentials: int


@dataclass(frozen=True, slots=True)
class UserQuery:
    """Which users to list, by name. ``search`` is part of the user name."""

    search: str = ""
    role: str = ""
    disabled: bool | None = None
    page: int = 1
    size: int = 50


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role, how many users hold it and how many credentials were given it."""

    role: Role
    holders: int
    credentials: int


class PeopleReads(Protocol):
    """Users and roles as people look at them, and what a change would do."""

    def users_page(self, query: UserQuery) -> Page[UserRow]:
        """One page of users by name."""
        ...

    def role_rows(self, role_id: str | None = None) -> Sequence[RoleRow]:
        """All live roles by name, or only the one with this id."""
        ...

    def preview_revoke(self, username: str, role: str, now: Instant) -> Preview:
        """What removing a role from a user would do; ``NotFound`` for an unknown one of either."""
        ...

    def preview_grant(self, username: str, now: Instant) -> Preview:
        """What assigning any role to a user would do: every live token dies, no role is lost."""
        ...

    def preview_disable(self, username: str, now: Instant) -> Preview:
        """What disabling a user would do."""
        ...

    def preview_disable_credentials(self, client_ids: Sequence[str], now: Instant) -> Preview:
        """What switching credentials off would do; those that are off already, deleted or unknown are left out."""
        ...

    def preview_delete_role(self, role: str, now: Instant) -> Preview:
        """What deleting a role would do to all who hold it."""
        ...


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which audit records to show; empty means all. ``until`` is not included; ``text`` is part of the target."""

    actor: str = ""
    events: tuple[str, ...] = ()
    target: str = ""
    text: str = ""
    since: Instant | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True, order=True)
class AuditPlace:
    """Where a page ends: the next one begins behind it."""

    at: Instant
    seq: int


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Records, newest first. ``after`` is handed to the next call; None at the end.

    With ``text`` a call looks at a bounded number of records, so a page may be short or empty and still have an
    ``after``: "searched back to" its instant.
    """

    records: tuple[Record, ...]
    after: AuditPlace | None


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """Whether the newest record and the sealed head agree: the cheap part of ``audit verify``."""

    records: int
    newest_at: Instant | None
    fault: str = ""

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong at the head; only ``Accounts.audit_verify`` looks at every record."""
        return not self.fault


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A general setting, and the change that gave it its value; None where it is as it was at first."""

    name: str
    value: object
    changed_by: str | None = None
    changed_at: Instant | None = None
    before: object = field(default=None)


class AuditReads(Protocol):
    """The book of changes as people look at it."""

    def audit_page(self, query: AuditQuery, limit: int = 50, after: AuditPlace | None = None) -> AuditPage:
        """Records that match, newest first."""
        ...

    def audit_export(self, query: AuditQuery) -> Iterator[Record]:
        """Records that match, whatever their ``text``, oldest first; reads a part at a time, holds nothing meanwhile.

        By instant and number: where the clock was set back, that is another order than the chain's.
        """
        ...

    def audit_events(self) -> Sequence[str]:
        """The names of all events on record, sorted."""
        ...

    def timeline(
        self, client_id: str, limit: int = 50, after: AuditPlace | None = None, *, owner_id: str | None = None
    ) -> AuditPage:
        """What happened to a credential since it was made: to itself, its sessions, and its owner's roles.

        ``NotFound`` when it is unknown, deleted or not the owner's.
        """
        ...

    def chain_status(self) -> ChainStatus:
        """The head of the chain and its newest record; two rows, whatever its length."""
        ...

    def setting_rows(self) -> Sequence[SettingRow]:
        """All general settings with who gave them their value."""
        ...

    def setting_history(self, name: str, limit: int = 20) -> Sequence[SettingRow]:
        """The last changes of one setting, newest first."""
        ...


class TokenReads(Protocol):
    """Live tokens as people count them, by the rules of an introspection; one of the last second may be missing.

    Every count stops at ``MANY``.
    """

    def all(self, now: Instant) -> int:
        """How many live tokens there are."""
        ...

    def by_key(self, now: Instant, kid: str | None = None) -> Mapping[str, int]:
        """How many live tokens each signing key has signed, by ``kid``, or only the one that is named."""
        ...

    def by_audience(self, now: Instant, audience: str | None = None) -> Mapping[str, int]:
        """How many live tokens there are for each resource server's audience, or only for the one that is named."""
        ...

    def ended_by(
        self, now: Instant, *, idle_timeout_minutes: int | None = None, max_token_lifetime_minutes: int | None = None
    ) -> int:
        """How many tokens live now and would not under these settings; None: as it is."""
        ...
