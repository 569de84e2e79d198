"""Users, roles and the entry point of every administrative change."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from authserver.audit import Event, Record, Verdict
from authserver.ports.credentials import Credential, KeyRecord
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.transaction import Transaction
from authserver.ports.users import Role, User
from authserver.rules.facts import Instant


class Accounts(Protocol):
    """Users, roles, credentials, resource servers, settings and the audit trail."""

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

    def server_keys(self, name: str) -> Sequence[KeyRecord]:
        """All public keys of a resource server, newest first, ended ones too; ``NotFound`` when there is none."""
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
