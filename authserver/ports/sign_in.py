"""Console sign-ins, linked identities, preferences and failed sign-in attempts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.ports.users import User
from authserver.rules.facts import Instant, Span


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
class CurrentUser:
    """Who is at the console, read in one transaction; ``pending`` is what waits for the next page."""

    session: ConsoleSession
    user: User
    preferences: Preferences
    pending: str


class SignIns(Protocol):
    """Who is signed in to the console; beginning and ending is ``Transaction``'s."""

    def password_of(self, username: str) -> tuple[User, str | None] | None:
        """A user by name, in any letter case, with the hash of the password, if any; None when unknown."""
        ...

    def current_user(self, id_hash: str) -> CurrentUser | None:
        """The sign-in with this id, however old, with its user as things stand now."""
        ...

    def seen(self, id_hash: str, at: Instant) -> None:
        """Note that something was asked for; an older instant never moves a newer one back."""
        ...

    def renew(self, id_hash: str, fresh_hash: str, proof_at: Instant) -> bool:
        """Give a sign-in a new id after a new proof; False when it is gone."""
        ...

    def set_pending(self, id_hash: str, pending: str) -> None:
        """Store the pending state for the next page, in place of the previous one."""
        ...

    def close(self, id_hash: str) -> None:
        """End a sign-in by its id."""
        ...

    def of_user(self, user_id: str) -> Sequence[ConsoleSession]:
        """All sign-ins of a user that are on record, newest first."""
        ...

    def set_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Keep how a user likes the console."""
        ...

    def identity_owner(self, issuer: str, subject: str) -> User | None:
        """The user of this identity; None when it is linked to none."""
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


ATTEMPTS_FORGOTTEN: Span = 15 * 60
"""Seconds without a failure after which it is as if there had been none."""


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """How often something failed, and when last."""

    failures: int = 0
    last_at: Instant = 0

    def at(self, now: Instant) -> "LoginAttempts":
        """The same as it counts now: what is long ago does not."""
        return LoginAttempts() if now - self.last_at > ATTEMPTS_FORGOTTEN else self


class LoginAttemptCounter(Protocol):
    """Tries to sign in, counted for all processes together; each method is a transaction of its own."""

    def past(self, key: str) -> LoginAttempts:
        """What is known about one key."""
        ...

    def count(self, keys: Sequence[str], at: Instant, judge: Callable[[Sequence[LoginAttempts]], int]) -> int:
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
