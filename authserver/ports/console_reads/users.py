"""Users and roles as the console lists them, and previews of what a change of roles would end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.ports.console_reads.paging import MAX_COUNTED, Page
from authserver.ports.users import Role, User
from authserver.rules.facts import Instant


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
    A token that was issued in the last second may not be counted yet. At ``MAX_COUNTED`` tokens
    the count stops: then both numbers are lower bounds, and ``losses`` come from what was counted.
    """

    losses: tuple[Loss, ...]
    credentials: int
    live_tokens: int
    users: int

    @property
    def at_least(self) -> bool:
        """Whether there may be more than was counted."""
        return self.live_tokens >= MAX_COUNTED


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user with the number of credentials that are not deleted."""

    user: User
    credentials: int


@dataclass(frozen=True, slots=True)
class UserQuery:
    """Which users to list, by name. ``search`` is part of the user name; ``after`` a user name to begin behind."""

    search: str = ""
    role: str = ""
    disabled: bool | None = None
    after: str = ""
    page: int = 1
    size: int = 50


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role, how many users hold it and how many credentials were given it."""

    role: Role
    holders: int
    credentials: int


class UserReads(Protocol):
    """Reads of users and roles for the console, and previews of a change."""

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
