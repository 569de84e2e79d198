"""The context of a command: the services, the time, and the actor."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
from flask import current_app
from flask.cli import FlaskGroup

from authserver.ports.accounts import Accounts
from authserver.ports.client_authentication import RemoteKeys
from authserver.ports.clock import Clock
from authserver.ports.store import Store
from authserver.rules.facts import Instant
from keys.key_stores import KeyStore
from keys.master import MasterKey


class Services(Protocol):
    """What ``app.extensions["services"]`` gives."""

    @property
    def issuer(self) -> str:
        """The issuer identifier of this server."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock for changes."""
        ...

    def store(self) -> Store:
        """The store, opened once."""
        ...

    def sign_checkpoint(self, claims: Mapping[str, Any]) -> str:
        """Sign a checkpoint of the audit trail."""
        ...

    def master(self) -> MasterKey:
        """The master key."""
        ...

    @property
    def key_store(self) -> KeyStore:
        """Where new signing keys are kept."""
        ...

    @property
    def key_stores(self) -> Mapping[str, KeyStore]:
        """All key stores, by name."""
        ...

    @property
    def remote_keys(self) -> RemoteKeys:
        """The keys that issuers and clients publish."""
        ...

    def close(self) -> None:
        """Close the store and its connections."""
        ...


class Schema(Protocol):
    """The state of the schema: ``missing``, ``older``, ``current`` or ``newer``."""

    @property
    def state(self) -> str:
        """One word."""
        ...

    @property
    def revision(self) -> str | None:
        """The database's revision."""
        ...

    @property
    def head(self) -> str:
        """This program's revision."""
        ...


class Maintenance(Protocol):
    """What ``app.extensions["maintenance"]`` gives: the database, whether or not its schema is current."""

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        ...

    @property
    def place(self) -> str:
        """The URL, without its password."""
        ...

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None."""
        ...

    def schema(self) -> Schema:
        """Compare the schema with this program's."""
        ...

    def upgrade(self, revision: str = "head") -> None:
        """Upgrade the schema."""
        ...

    def downgrade(self, revision: str) -> None:
        """Downgrade the schema."""
        ...

    def history(self) -> tuple[Any, ...]:
        """All migrations, newest first."""
        ...

    def differences(self) -> tuple[str, ...]:
        """How the database differs from this program's tables."""
        ...

    def time(self) -> Instant | None:
        """The database's clock, where it has one."""
        ...

    def facts(self) -> tuple[Any, ...]:
        """Version and durability."""
        ...

    def backup(self, path: Path) -> int:
        """Copy a SQLite database; the size."""
        ...


@dataclass(frozen=True, slots=True)
class CommandContext:
    """What a command acts on, its actor and its time."""

    store: Store
    services: Services
    actor: str
    now: Instant

    @property
    def accounts(self) -> Accounts:
        """People, roles, credentials, settings, audit."""
        return self.store.accounts

    @property
    def who(self) -> "ActorAndTime":
        """``actor`` and ``now``, which every action takes."""
        return ActorAndTime(self.actor, self.now)


class ActorAndTime(dict[str, Any]):
    """``actor`` and ``now`` as keyword arguments, passed with ``**``."""

    def __init__(self, actor: str, now: Instant) -> None:
        super().__init__(actor=actor, now=now)


def services() -> Services:
    """The services of this process."""
    of_app: Services = current_app.extensions["services"]
    return of_app


def maintenance() -> Maintenance:
    """The database of this process."""
    of_app: Maintenance = current_app.extensions["maintenance"]
    return of_app


def command_context() -> CommandContext:
    """Open the store.

    Raises:
        Unavailable: the database cannot be reached, or its schema is not this program's.
        WrongMasterKey: the database was sealed under another master key.
    """
    opened = services()
    store = opened.store()
    root = click.get_current_context().find_root()
    if isinstance(root.command, FlaskGroup):
        # The program of one command closes the database at its end; elsewhere the caller owns the services.
        root.call_on_close(opened.close)
    return CommandContext(store, opened, actor(), opened.clock.now())


def actor() -> str:
    """The user of the operating system as ``cli:NAME``; environment variables are ignored."""
    number = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"cli:uid-{number}"
