"""Token text -> active or not (RFC 7662 §2.2); only "active" counts as use.

A text is a token of this server when its keyed hash is the one in its session row (INV-33). Where there is no hash to
compare with, the signature decides for a token of the last ε that another node issued, and for a row of a version
without hashes; any other text is unknown, whoever signed it.

An end that is found here is written before it is answered: neither a buffered use of a slower node nor a setting that
is changed back may revive the token (INV-05).
"""

import hmac
from collections.abc import Callable
from typing import NamedTuple, Protocol

from authserver.actions.preconditions.calling_resource_server import ProvenCaller, require_resource_server
from authserver.ports.hot_path import CallingResourceServer, HotPathReads, IntrospectionFacts, TokenKeys
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason
from authserver.rules.idle import USE_TOLERANCE, idle_end_of_use
from authserver.rules.lease import lease_seconds
from authserver.rules.lifetime import MAX_LIFETIME
from authserver.rules.liveness import decide
from authserver.rules.presented_secret import PresentedSecret

UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a reason, no secret
FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a reason, no secret
NEVER_RECORDED = "not_recorded"


class Presented(Protocol):
    """A parsed token that is not verified yet."""

    @property
    def keys(self) -> TokenKeys:
        """The ids of the rows it refers to."""
        ...

    @property
    def owner_id(self) -> str:
        """The unverified ``sub``."""
        ...

    @property
    def typ(self) -> str:
        """The ``typ`` of its header."""
        ...

    @property
    def jkt(self) -> str:
        """The thumbprint of the key that it is bound to; empty for none."""
        ...

    @property
    def x5t(self) -> str:
        """The thumbprint of the TLS certificate that it is bound to; empty for none."""
        ...

    @property
    def token_hash(self) -> str:
        """``rules/token_hash`` of the text."""
        ...

    def recorded_start(self) -> SessionStart:
        """What it was issued as; valid only once its hash was found recorded."""
        ...

    def claimed_start(self) -> SessionStart | None:
        """What it was issued as by its unverified claims; None when this server makes no such claims."""
        ...


Verify = Callable[[], bool]
"""Verifies signature and claims of the presented text."""


class Answer(NamedTuple):
    """The verdict: ``idle_expires_at`` is when an active token idles out unless it is used before, None for inactive.

    ``reason`` is for the log, not for the caller: a ``Reason``, ``UNKNOWN_TOKEN`` for a text that is no token of this
    server, ``NEVER_RECORDED`` for one without a session row, or ``FOREIGN_TOKEN`` for one of another resource server.
    ``lease`` is for how many seconds an active answer may be trusted. ``alg`` is what this resource server wants signed
    answers in (RFC 9701 §6).
    """

    audience: str
    alg: str
    now: Instant
    idle_expires_at: Instant | None = None
    reason: str = ""
    lease: int = 0


def introspect(
    caller_secret: PresentedSecret | ProvenCaller,
    token: Presented | None,
    *,
    hot_path: HotPathReads,
    sessions: Sessions,
    usage: UsageRecorder,
    verify: Verify = lambda: False,
    before_use: Callable[[Instant], None] | None = None,
    method: str = "",
    route: str = "",
    peer: str = "",
) -> Answer:
    """Decide whether a token is active, for the resource server it was issued for.

    Args:
        caller_secret: the resource server's id and secret, not authenticated yet; or who proved a key.
        token: the parsed token, or None for a text that cannot be parsed as one.
        hot_path: reads all facts in one statement.
        sessions: writes an end before it is answered.
        usage: buffers a use.
        before_use: is called with the instant if the token is active, before that counts as a use, and raises to
            prevent both; None: nothing more is asked.
        verify: verifies the signature of ``token``; called only where there is no recorded hash to compare with.
        method: the HTTP method of the API that was called, if reported.
        route: the route of the API that was called, if reported.
        peer: the address the resource server asks from.

    Raises:
        InvalidClient: the caller is no resource server.
        Unavailable: the facts cannot be read, or the end cannot be written.
    """
    facts = hot_path.introspection_facts(caller_secret.client_id, token.keys if token else None)
    caller = require_resource_server(caller_secret, facts.caller)
    now, recorded = facts.now, facts.recorded
    if token is None:
        return _inactive(UNKNOWN_TOKEN, caller, now, usage)
    start = _issued_as(token, facts, hot_path=hot_path, usage=usage, verify=verify)
    if isinstance(start, str):
        return _inactive(start, caller, now, usage)
    if start.audience != caller.audience:
        return _inactive(FOREIGN_TOKEN, caller, now, usage)
    if facts.standing is None:
        return _inactive(Reason.CREDENTIAL_DELETED, caller, now, usage)
    last_used_at = max(usage.last_used(start.jti) or 0, recorded.last_used_at if recorded else 0)
    record = start.as_token(last_used_at, recorded.ended if recorded else None)
    reason = decide(record, now, facts.standing).reason
    if reason is None and token.typ != caller.token_typ:
        reason = Reason.TYP_CHANGED
    if reason is not None:
        # A later introspection must not find it active, whatever setting is changed back (INV-05).
        if record.ended is None:
            sessions.end(start, reason, now)
        return _inactive(reason, caller, now, usage)
    if before_use is not None:
        before_use(now)
    usage.used(start, now, by=caller.id, method=method, route=route, peer=peer, recorded=recorded is not None)
    lease = lease_seconds(record, now, facts.standing, caller.max_staleness) if caller.max_staleness else 0
    return Answer(caller.audience, caller.alg, now, idle_end_of_use(now, facts.standing), lease=lease)


def _inactive(reason: str, caller: CallingResourceServer, now: Instant, usage: UsageRecorder) -> Answer:
    usage.seen_inactive(caller.id, now)
    return Answer(caller.audience, caller.alg, now, None, reason)


def _issued_as(
    token: Presented, facts: IntrospectionFacts, *, hot_path: HotPathReads, usage: UsageRecorder, verify: Verify
) -> SessionStart | str:
    """What the token was issued as by the session row, or the reason why it is not accepted as recorded."""
    recorded = facts.recorded
    # The hash stays in memory until the row is written, so a token of this process is verified by it at once.
    expected = (recorded.token_hash if recorded else "") or usage.issued_hash(token.keys.jti)
    proven = bool(expected) and hmac.compare_digest(expected, token.token_hash)
    start = token.recorded_start() if proven else None if expected else token.claimed_start()
    if start is None or not 0 < start.expires_at - start.issued_at <= MAX_LIFETIME:
        return UNKNOWN_TOKEN
    if proven:
        return start
    if recorded is not None and (recorded.token_hash is None or recorded.ended is not None):
        # A row of a version without hashes, or the end of a token: the signature decides whose it is.
        return start if verify() else UNKNOWN_TOKEN
    if facts.now - start.issued_at > USE_TOLERANCE:
        # Checked before the signature: a forged token costs no more than a text that is no token.
        return NEVER_RECORDED
    if not verify():
        return UNKNOWN_TOKEN
    return start if _could_be_issued(start, token.owner_id, hot_path) else NEVER_RECORDED


def _could_be_issued(start: SessionStart, owner_id: str, hot_path: HotPathReads) -> bool:
    """Whether the credential can have these roles now: another node may have issued the token within the last ε."""
    facts = hot_path.issue_facts(start.client_id, start.audience)
    return (
        facts is not None
        and facts.owner_id == owner_id
        and facts.audience == start.audience
        and set(start.roles.split()) <= facts.chosen & facts.held
    )
