"""Leak reports: a secret that was found where it should not be ends at once, with every token that it obtained.

A report says which secrets or tokens somebody found, and where. A secret of ours ends in the change that is on record
as ``credential.leak_reported``, from which the owner and the security team are told; one that is not costs a look-up by
its keyed hash, which all of a report share, and leaves no trace. A token of ours is known by its signature alone, and
ends as ``credential.token_leak_reported``; one that is over, or of somebody else, costs no statement.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Invalid, NotFound
from authserver.ports.events.leaks import LeakedSecret, LeakReads, LeakReporter
from authserver.ports.sessions import Sessions
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason, over
from authserver.rules.names import display_name_fault, storable
from authserver.rules.secret_format import keyed_hash, masked, well_formed
from keys.detached_signature import read_p256
from keys.import_key import WeakKey

MAX_TOKENS = 500
"""Of one report."""

MAX_IDENTIFIER = 128
_MAX_URL, _MAX_SOURCE = 500, 64
_TOKEN = re.compile(r"eyJ[0-9A-Za-z_-]{8,}[0-9A-Za-z_.-]*")
StartOf = Callable[[str], SessionStart | None]
"""What a text was issued as; None when its signature is not ours."""

OURS, NOT_OURS = "true_positive", "false_positive"


@dataclass(frozen=True, slots=True, repr=False)
class FoundToken:
    """A text that somebody found, and where. Has no repr, so it cannot be logged by accident."""

    text: str
    url: str
    source: str


def add_reporter(
    accounts: Accounts, identifier: str, name: str, public_key: str, *, actor: str, now: Instant
) -> LeakReporter:
    """Believe leak reports that are signed by a key.

    Raises:
        Conflict: there is a key of that identifier.
        Invalid: identifier, name or key cannot be.
    """
    if not 0 < len(identifier) <= MAX_IDENTIFIER or not all("!" <= char <= "~" for char in identifier):
        msg = f"an identifier is 1 to {MAX_IDENTIFIER} visible ASCII characters, as the reporter sends it"
        raise Invalid(msg)
    fault = display_name_fault(name)
    if fault:
        raise Invalid(fault)
    try:
        pem = read_p256(public_key)
    except WeakKey as error:
        raise Invalid(str(error)) from None
    reporter = LeakReporter(identifier, name, pem, now)
    with accounts.change(Event("leak_reporter.added", actor, identifier, {"name": name}), now) as tx:
        tx.leaks.insert_reporter(reporter)
    return reporter


def remove_reporter(accounts: Accounts, identifier: str, *, actor: str, now: Instant) -> None:
    """Believe reports by a key no more.

    Raises:
        NotFound: there is no such key.
    """
    with accounts.change(Event("leak_reporter.removed", actor, identifier), now) as tx:
        if not tx.leaks.delete_reporter(identifier):
            msg = f"there is no key {identifier!r}; `flask leaks keys` lists them"
            raise NotFound(msg)


def report(
    accounts: Accounts,
    leaks: LeakReads,
    found: Sequence[FoundToken],
    *,
    sessions: Sessions,
    start_of: StartOf,
    pepper: bytes,
    reporter: LeakReporter,
    now: Instant,
) -> list[str]:
    """End what is ours of the texts; a label for each of them, in their order.

    ``start_of`` verifies the signature of a token.
    """
    hashes = [keyed_hash(pepper, each.text) if well_formed(each.text) else b"" for each in found]
    asked = sorted({each for each in hashes if each})
    known = leaks.find(asked) if asked else {}
    ours = set(known)
    labels = []
    for each, hashed in zip(found, hashes, strict=True):
        secret, start = known.pop(hashed, None), None if hashed else start_of(each.text)
        if secret is not None and not (secret.ends_at is not None and secret.ends_at <= now):
            _end_secret(accounts, secret, each, reporter, now)
        if start is not None and _may_live(sessions, start, now):
            _end_token(accounts, start, each, reporter, now)
        labels.append(OURS if hashed in ours or start is not None else NOT_OURS)
    return labels


def _may_live(sessions: Sessions, start: SessionStart, now: Instant) -> bool:
    """Whether a token did not end by itself; one that is over costs no statement."""
    if over(now, start.expires_at):
        return False
    session = sessions.find(start.jti)
    return session is None or session.ended_at is None


def _end_secret(
    accounts: Accounts, secret: LeakedSecret, found: FoundToken, reporter: LeakReporter, now: Instant
) -> None:
    detail = {"secret": secret.secret_id, **_where(found, reporter)}
    event = Event("credential.leak_reported", f"leaks:{reporter.identifier}", secret.client_id, detail)
    with accounts.change(event, now) as tx:
        ended = tx.leaks.end_secret(secret.client_id, secret.secret_id, now)
        tx.append_revocation("secret", secret.client_id, now, now)
        tx.detail(ended=ended)


def _end_token(
    accounts: Accounts, start: SessionStart, found: FoundToken, reporter: LeakReporter, now: Instant
) -> None:
    detail = {"token": start.jti, **_where(found, reporter)}
    event = Event("credential.token_leak_reported", f"leaks:{reporter.identifier}", start.client_id, detail)
    with suppress(NotFound), accounts.change(event, now) as tx:
        tx.credential(start.client_id)  # a deleted one has no live token
        tx.detail(ended=tx.end_issued(start, Reason.LEAKED, now))


def _where(found: FoundToken, reporter: LeakReporter) -> dict[str, str]:
    return {
        "reporter": reporter.name,
        "url": _shortened(found.url, _MAX_URL),
        "source": _shortened(found.source, _MAX_SOURCE),
    }


def _shortened(text: str, most: int) -> str:
    """A text of a stranger as it may be kept: no secret in it, one line, and not long."""
    text = text[:most] if storable(text) else ""
    return _TOKEN.sub("[token]", masked("".join(char if char.isprintable() else "?" for char in text)))
