"""Leak reports: whose reports are believed, and whose secret a hash is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class LeakReporter:
    """Who may report leaks: the identifier of a key, its public half in PEM, and what people call it."""

    identifier: str
    name: str
    public_key: str
    created_at: Instant


@dataclass(frozen=True, slots=True)
class LeakedSecret:
    """A secret that a report found; ``ends_at`` as it was before."""

    client_id: str
    secret_id: str
    ends_at: Instant | None


class LeakReads(Protocol):
    """What judging a report needs."""

    def reporters(self) -> Sequence[LeakReporter]:
        """All who may report, by name."""
        ...

    def reporter(self, identifier: str) -> LeakReporter | None:
        """Who has the key of this identifier; None for nobody."""
        ...

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, LeakedSecret]:
        """The secrets of credentials that have one of these keyed hashes."""
        ...


class LeakChanges(Protocol):
    """What a change writes of leaks, within its transaction."""

    def insert_reporter(self, reporter: LeakReporter) -> None:
        """Believe reports by a key; ``Conflict`` when its identifier is known."""
        ...

    def delete_reporter(self, identifier: str) -> bool:
        """Believe them no more; False when the key is unknown."""
        ...

    def end_secret(self, client_id: str, secret_id: str, at: Instant) -> bool:
        """End one secret at once, and with it its tokens; False when it had ended."""
        ...
