"""Users and roles as values."""

from dataclasses import dataclass

from authserver.rules.facts import Instant


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
