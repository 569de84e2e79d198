"""Credentials as the console lists them, their use, and what expires soon."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from authserver.ports.console_reads.paging import Page
from authserver.ports.credentials import KeyRecord, SecretRecord
from authserver.rules.credential_status import Status
from authserver.rules.facts import Instant

SPARK_DAYS = 30


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
class SecretHolder:
    """An owner with credentials that use a shared secret; ``only_secret`` of them have nothing else."""

    owner: str
    credentials: int
    only_secret: int


@dataclass(frozen=True, slots=True)
class SecretApi:
    """An API that was called lately with tokens that ``credentials`` got by a shared secret."""

    name: str
    audience: str
    credentials: int


@dataclass(frozen=True, slots=True)
class SharedSecrets:
    """How many live credentials still use a shared secret, and whose; the most first.

    ``only_secret`` have no key and no trust: they would stop under ``client_secrets_allowed`` 0. ``with_both`` may be
    moved at once: their secret can end. ``apis`` counts the calls of 30 days.
    """

    credentials: int
    only_secret: int
    with_both: int
    owners: tuple[SecretHolder, ...]
    apis: tuple[SecretApi, ...]

    @property
    def with_secret(self) -> int:
        """How many use a shared secret."""
        return self.only_secret + self.with_both


class SharedSecretReads(Protocol):
    """Who still uses a shared secret."""

    def report(self, now: Instant, most: int) -> SharedSecrets:
        """The counts as of one instant, with ``most`` owners and APIs."""
        ...


class CredentialReads(Protocol):
    """Reads of credentials for the console."""

    def page(
        self, query: CredentialQuery, now: Instant, *, owner_id: str | None = None, days: bool = True
    ) -> Page[CredentialRow]:
        """One page of the list; the statuses are judged at ``now``. Without ``days`` the rows have none."""
        ...

    def part(
        self, query: CredentialQuery, now: Instant, limit: int, *, after: str = "", owner_id: str | None = None
    ) -> Sequence[CredentialRow]:
        """Up to ``limit`` rows, without ``days``, behind the credential ``after`` in the query's order; "" begins.

        Whatever the page of the query. A credential that was deleted still marks its place.
        """
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

    def keys(self, client_id: str) -> Sequence[KeyRecord]:
        """All public keys of a credential, newest first, ended ones too."""
        ...

    def export(self, query: CredentialQuery, now: Instant) -> Iterator[CredentialRow]:
        """All rows a query finds, by client id, without ``days``; read in batches, no connection is held between.

        Names are user input: an endpoint that writes CSV has to defuse what a spreadsheet takes for a formula.
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
class Expiring:
    """Something that ends soon: a credential, or with a ``hint`` one of its secrets, used last at ``used_at``."""

    client_id: str
    name: str
    ends_at: Instant
    hint: str = ""
    used_at: Instant | None = None


class ExpiringReads(Protocol):
    """What an owner is warned of before it expires."""

    def soon(self, owner_id: str, now: Instant) -> Sequence[Expiring]:
        """What ends within ``credential_status.NOTICE_SECONDS`` of what works now, soonest first.

        Credentials that expire, and secrets that end and were used since a newer one was made.
        """
        ...
