"""When and where each token was last used: written in batches behind the request, or as a resource server reports."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from authserver.ports.hot_path import CallingResourceServer, SessionRecord
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Standing


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


class ReportedUse(NamedTuple):
    """``times`` uses of a token by one method and route of an API, the last of them at ``at``."""

    jti: str
    at: Instant
    times: int
    method: str
    route: str


class ReportedToken(NamedTuple):
    """A recorded token and all that can end it; ``standing`` is None when its credential or secret is gone."""

    start: SessionStart
    recorded: SessionRecord
    ended_at: Instant | None
    standing: Standing | None


Counted = Sequence[tuple[SessionStart, ReportedUse]]
"""The uses that count, each with the session that it moves."""

JudgeUses = Callable[[Sequence[ReportedToken], Instant], Counted]
"""The tokens of a report and the time -> the uses that count."""


class TakenReport(NamedTuple):
    """What became of a report.

    Attributes:
        accepted: how many uses counted, now or when it came first.
        tokens: those it names, as they were just before.
        counted: what was written now; nothing of a report that came before.
        at: when it was judged, by the clock of the database.
    """

    accepted: int
    tokens: Sequence[ReportedToken]
    counted: Counted
    at: Instant


class UsageReports(Protocol):
    """What resource servers report of the tokens they judged without asking."""

    def take(
        self, caller: CallingResourceServer, report_id: str, digest: str, jtis: Sequence[str], judge: JudgeUses
    ) -> TakenReport:
        """Read the tokens of a report, and write what ``judge`` lets count of it, in one transaction.

        Tokens of other audiences are passed over. A report that was taken before changes nothing; the answer is what it
        was, or ``Conflict`` where the ``digest`` of what was reported is another. An older instant never moves a newer
        one back, an ended session stays as it is.
        """
        ...
