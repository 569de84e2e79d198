"""What ended, in the order it was committed, for resource servers that verify tokens by themselves."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from authserver.ports.hot_path import CallingResourceServer
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Span


class ChangesHead(NamedTuple):
    """How far the list of what ended reaches, and who asks; read in one statement."""

    now: Instant
    caller: CallingResourceServer | None
    epoch: int
    last: int
    """The number of the newest entry."""
    limits: "Limits"


class Limits(NamedTuple):
    """What the general settings say about all tokens, in whole seconds; the instants as in ``rules.facts.Standing``."""

    idle_timeout: Span
    max_lifetime: Span
    used_since: Instant
    issued_since: Instant


@dataclass(frozen=True, slots=True)
class Changes:
    """What ended for the tokens of one audience; instants are whole seconds UTC."""

    as_of: Instant
    epoch: int
    last: int
    limits: Limits
    role_versions: dict[str, int] = field(default_factory=dict)
    """Owner -> the lowest role version that is not dead."""
    ended_tokens: dict[str, Instant] = field(default_factory=dict)
    """``jti`` -> its ``exp``."""
    ended_credentials: dict[str, Instant] = field(default_factory=dict)
    """Client id -> since when: tokens issued until then are dead."""
    ended_secrets: dict[str, Instant] = field(default_factory=dict)
    """Secret -> since when its tokens are dead; also an end that is still to come."""
    disabled_users: frozenset[str] = frozenset()
    removed_keys: frozenset[str] = frozenset()


class ChangeReads(Protocol):
    """The list of what ended."""

    def head(self, caller: str) -> ChangesHead:
        """How far it reaches, and the resource server of this client id."""
        ...

    def since(self, audience: str, after: int | None, now: Instant, oldest: Instant) -> Changes | None:
        """What was added behind number ``after``, or the whole state for None, as of one instant.

        The whole state leaves out what ended before ``oldest``, from when no token can be alive. None when entries
        behind ``after`` are no longer on record.
        """
        ...


class FeedFetches(Protocol):
    """Who follows the list; collected in memory, written in batches."""

    def fetched(self, server_id: str, at: Instant, seq: int) -> None:
        """Buffer that a resource server has fetched the change feed up to entry ``seq``."""
        ...


class Kill(NamedTuple):
    """One entry of the list, with when it was written by the database's clock, in milliseconds of UTC."""

    seq: int
    kind: str
    subject: str
    at: Instant
    value: int
    stamped_ms: int


class KillReads(Protocol):
    """The list of what ended, for measuring how soon each end is obeyed."""

    def kills(self, after: int | None, most: int) -> tuple[int, list[Kill]]:
        """The newest ``most`` entries behind number ``after`` that have a stamp, and the number of the last entry.

        None: from now on, so no entries. A database restored from a backup begins again at its own last number.
        """
        ...

    def token_ended_by(self, kill: Kill) -> SessionStart | None:
        """A token on record that was to live on without this end; None when there is none."""
        ...

    def clock_ms(self) -> int:
        """What the database's clock says, in milliseconds of UTC."""
        ...
