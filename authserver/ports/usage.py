"""When and where each token was last used: written in batches, behind the request."""

from typing import Protocol

from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant


class UsageRecorder(Protocol):
    """When each token was last used; collected in memory, written in batches."""

    def issued(self, start: SessionStart, *, token_hash: str = "", peer: str = "", agent: str = "") -> None:
        """Buffer a new session with the hash of its token's text and where it was requested from.

        ``Unavailable`` when buffered sessions pile up, or have waited longer than ε: what is not recorded is not
        active on other nodes.
        """
        ...

    def issued_hash(self, jti: str) -> str:
        """The hash of a token issued by this process that a row read a moment ago may not have yet; or empty."""
        ...

    def refused(self, client_id: str, reason: str, at: Instant) -> None:
        """Count a token request of a known credential that was refused; one of nobody, "", costs as much."""
        ...

    def used(
        self,
        start: SessionStart,
        at: Instant,
        *,
        by: str,
        method: str,
        route: str,
        peer: str = "",
        recorded: bool = False,
    ) -> None:
        """Buffer a use; an older instant never moves a newer one back, an ended session stays as it is.

        The caller has judged the token alive at ``at``; ``recorded`` when it saw the session's row, which costs less
        to write. ``Unavailable`` when buffered uses have waited longer than ε.
        """
        ...

    def seen_inactive(self, by: str, at: Instant) -> None:
        """Buffer that a resource server asked about a token that was not active."""
        ...

    def last_used(self, jti: str) -> Instant | None:
        """The newest use buffered here that a row read a moment ago may not show yet."""
        ...

    def flush(self) -> None:
        """Write what is buffered."""
        ...
