"""Where a command stands: the services it acts in, the time, and who is acting."""

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
from authserver.ports.clock import Clock
from authserver.ports.store import Store
from authserver.rules.facts import Instant
from keys.key_stores import KeyStore
from keys.master import MasterKey


class Services(Protocol):
    """What ``app.extensions["services"]`` gives."""

    @property
    def issuer(self) -> str:
        """Our issuer identifier."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock for changes."""
        ...

    def store(self) -> Store:
        """The store, opened once."""
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
        """Everywhere that a private key may be kept, by name."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Schema(Protocol):
    """Where the schema stands; ``state`` is missing, older, current or newer."""

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
    """What ``app.extensions["upkeep"]`` gives: the database itself, opened or not."""

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        ...

    @property
    def place(self) -> str:
        """Where it is, without its password."""
        ...

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None."""
        ...

    def schema(self) -> Schema:
        """Compare the schema with this program's."""
        ...

    def upgrade(self, revision: str = "head") -> None:
        """Bring the schema up."""
        ...

    def downgrade(self, revision: str) -> None:
        """Take the schema back."""
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
    """What a command acts on, as whom and when."""

    store: Store
    services: Services
    actor: str
    now: Instant

    @property
    def accounts(self) -> Accounts:
        """People, roles, credentials, settings, audit."""
        return self.store.accounts

    @property
    def who(self) -> "Who":
        """The two words every verb ends with."""
        return Who(self.actor, self.now)


class Who(dict[str, Any]):
    """``actor`` and ``now``, to be handed on with ``**``."""

    def __init__(self, actor: str, now: Instant) -> None:
        super().__init__(actor=actor, now=now)


def services() -> Services:
    """The services of this process."""
    found: Services = current_app.extensions["services"]
    return found


def maintenance() -> Maintenance:
    """The database of this process."""
    found: Maintenance = current_app.extensions["upkeep"]
    return found


def command_context() -> CommandContext:
    """Open the store of a database that fits.

    Raises:
        Unavailable: it cannot be reached, or its schema is not this program's.
        WrongMasterKey: it was sealed under another master key.
    """
    found = services()
    store = found.store()
    root = click.get_current_context().find_root()
    if isinstance(root.command, FlaskGroup):
        # A process of our own: let go of the database in peace. Elsewhere the services belongs to others.
        root.call_on_close(found.close)
    return CommandContext(store, found, actor(), found.clock.now())


def actor() -> str:
    """Who acts, by the operating system's word and not the environment's."""
    number = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"cli:uid-{number}"
