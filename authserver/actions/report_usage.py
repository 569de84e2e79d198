"""A usage report: the uses of tokens that a resource server judged without asking.

A use counts when the token was alive at that instant and is on record as alive, and moves its idle end as an
introspection then would have; it never revives (INV-05, INV-06). Everything counted is durable before it is answered.
"""

from collections.abc import Sequence
from typing import NamedTuple

from authserver.actions.preconditions.calling_resource_server import ProvenCaller, require_resource_server
from authserver.ports.errors import Invalid
from authserver.ports.hot_path import CallingResourceServer, HotPathReads
from authserver.ports.sessions import Sessions
from authserver.ports.usage import ReportedToken, ReportedUse, UsageRecorder, UsageReports
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason
from authserver.rules.liveness import decide
from authserver.rules.presented_secret import PresentedSecret

WINDOW = 3600
"""Seconds; a use that is longer ago does not count, since nobody can tell any more what was true then."""


CLOCK_TOLERANCE = 30
"""Seconds that the clock of the node that told the time may be ahead of the database's; such a use counts as of now."""


class Ended(NamedTuple):
    """A reported token that is dead, and since when; the reason is not disclosed."""

    jti: str
    ended_at: Instant


class Outcome(NamedTuple):
    """How many uses counted, and which of the tokens are dead by now."""

    accepted: int
    dead: tuple[Ended, ...]


def reporter(presented: PresentedSecret | ProvenCaller, *, hot_path: HotPathReads) -> CallingResourceServer:
    """Authenticate who wants to report, before the report is read.

    Raises:
        InvalidClient: it is no resource server.
        Unavailable: the truth cannot be read.
    """
    return require_resource_server(presented, hot_path.introspection_facts(presented.client_id, None).caller)


def report_usage(
    caller: CallingResourceServer,
    report_id: str,
    uses: Sequence[ReportedUse],
    digest: str,
    *,
    reports: UsageReports,
    usage: UsageRecorder,
    sessions: Sessions,
) -> Outcome:
    """Count a report; the same ``report_id`` counts once (INV-23).

    Args:
        caller: the resource server, authenticated.
        report_id: chosen by the resource server, the same when it sends the report again.
        uses: of tokens for its own audience; others are passed over.
        digest: the SHA-256 of the uses, in hex.
        reports: reads the tokens and the time, and writes what counts, in one transaction.
        usage: knows the uses that are buffered here.
        sessions: where a death is written before it is answered.

    Raises:
        Invalid: a use lies in the future by more than clocks may differ.
        Conflict: the same id came before with other uses.
        Unavailable: the truth cannot be read or written.
    """
    usage.flush()  # a token that this node has just issued may not have its row yet
    jtis = sorted({use.jti for use in uses})
    taken = reports.take(caller, report_id, digest, jtis, lambda tokens, now: _counted(uses, tokens, now, usage))
    moved = {start.jti: use.at for start, use in taken.counted}  # the oldest come first
    dead, found = [], []
    for token in taken.tokens:
        ended_at = token.ended_at
        if ended_at is None:
            last_used = max(_last_used(token, usage), moved.get(token.start.jti, 0))
            reason = _verdict(token, taken.at, last_used)
            if reason is None:
                continue
            found.append((token.start, reason))
            ended_at = taken.at
        dead.append(Ended(token.start.jti, ended_at))
    sessions.end_all(found, taken.at)
    return Outcome(taken.accepted, tuple(dead))


def _counted(
    uses: Sequence[ReportedUse], tokens: Sequence[ReportedToken], now: Instant, usage: UsageRecorder
) -> list[tuple[SessionStart, ReportedUse]]:
    """The uses that count, oldest first: each is what kept the token alive until the next."""
    if any(use.at > now + CLOCK_TOLERANCE for use in uses):
        msg = "at lies in the future; use the time of the Date header of our answers"
        raise Invalid(msg)
    by_jti = {token.start.jti: token for token in tokens}
    last_used = {jti: _last_used(token, usage) for jti, token in by_jti.items()}
    counted = []
    for use in sorted(uses, key=lambda each: each.at):
        token, at = by_jti.get(use.jti), min(use.at, now)
        if token is None or at < max(token.start.issued_at, now - WINDOW):
            continue
        if _verdict(token, at, last_used[use.jti]) is None:
            last_used[use.jti] = max(last_used[use.jti], at)
            counted.append((token.start, use._replace(at=at)))
    return counted


def _last_used(token: ReportedToken, usage: UsageRecorder) -> Instant:
    return max(token.start.issued_at, usage.last_used(token.start.jti) or 0, token.recorded.last_used_at)


def _verdict(token: ReportedToken, at: Instant, last_used: Instant) -> Reason | None:
    """Why the token is dead at ``at``, as the state of everything else is now; None while it lives."""
    if token.standing is None:
        return Reason.CREDENTIAL_DELETED
    return decide(token.start.as_token(last_used, token.recorded.ended), at, token.standing).reason
