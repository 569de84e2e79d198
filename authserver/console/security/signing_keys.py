"""Security: the signing keys as a time line, with every move behind a fresh proof and a typed word."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from markupsafe import escape

from authserver.console.blueprint import console
from authserver.console.context import ConsoleContext, console_context
from authserver.console.frame.access import JUST_NOW, RECENT, requires, step_up
from authserver.console.frame.dates import on
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_, _, gettext
from authserver.console.security import key_actions
from authserver.ports.errors import Conflict, Invalid
from authserver.rules import permission
from authserver.rules.facts import Instant
from keys.keyring import KeyInfo, State

STATES: Final = {
    State.STAGED: ("busy", N_("Next")),
    State.ACTIVE: ("good", N_("Signing")),
    State.RETIRED: ("soon", N_("Only verifying")),
    State.REMOVED: ("off", N_("Withdrawn")),
    State.COMPROMISED: ("bad", N_("Compromised")),
}
_WIDTH: Final = 1000
_MIN_WIDTH: Final = 6
CONFIRM_CHARS: Final = 8
"""How much of a key's id is typed to confirm: nobody types that by accident."""


@dataclass(frozen=True, slots=True)
class TimelineSegment:
    """A part of a key's life on the time line, in units of its width."""

    state: str
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A key on the time line."""

    key: KeyInfo
    kind: str
    label: str
    live: int
    segments: tuple[TimelineSegment, ...]
    leaves_at: Instant | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """All keys, and where now is on the line."""

    rows: tuple[TimelineRow, ...]
    now_x: int


@console.get("/security/keys")
@requires(permission.SECURITY)
def keys() -> ResponseReturnValue:
    """Show all keys on one time line, newest first, and what comes next."""
    context = console_context()
    key_context = key_actions.key_context(context)
    return page(
        "keys/list.html",
        timeline=timeline(context, context.store.token_reads.by_key(context.now)),
        next_rotations=key_actions.next_rotations(context, key_context),
        fetchers=key_context.fetchers,
        max_age=key_actions.MAX_AGE,
        State=State,
    )


def timeline(context: ConsoleContext, live: Mapping[str, int]) -> Timeline:
    """The lives of all keys, newest first; ``live`` is how many tokens of each are alive."""
    ring = context.store.keys.ring()
    begins = min((key.created_at for key in ring), default=context.now)
    ends = max((_end(key, context.now) for key in ring), default=context.now)
    last = max(ends, begins + 1)
    rows = [_timeline_row(key, context.now, begins, last, live.get(key.kid, 0)) for key in reversed(ring)]
    return Timeline(tuple(rows), _x(context.now, begins, last))


@console.route("/security/keys/new", methods=["GET", "POST"])
@requires(permission.SECURITY)
@requires(permission.KEYS)
@step_up(RECENT)
def new_key() -> ResponseReturnValue:
    """Make a key and publish it."""
    context = console_context()
    form = Form.submitted() if Form.is_submitted() else Form.initial({"alg": context.accounts.general().token_alg})
    if Form.is_submitted():
        if form["alg"] in key_actions.OFFERED_ALGORITHMS:
            key = key_actions.generate(context, form["alg"])
            flash(_("Key %(kid)s is published and will be next.", kid=key.kid[:CONFIRM_CHARS]))
            return redirect(url_for("console.keys"), 303)
        form.add_error("alg", _("Choose one of the list."))
    options = [(alg, alg) for alg in key_actions.OFFERED_ALGORITHMS]
    return page(
        "keys/new.html", form.status(HTTPStatus.CONFLICT), form=form, options=options, max_age=key_actions.MAX_AGE
    )


@console.route("/security/keys/rotate/<alg>", methods=["GET", "POST"])
@requires(permission.SECURITY)
@requires(permission.KEYS)
@step_up(JUST_NOW)
def rotate_keys(alg: str) -> ResponseReturnValue:
    """Let the next key sign, once every verifier had time to fetch it or for a reason; the algorithm is typed first."""
    context = console_context()
    next_rotation = next((each for each in key_actions.next_rotations(context) if each.alg == alg), None)
    if next_rotation is None:
        return redirect(url_for("console.keys"), 303)
    form = Form.submitted()
    if Form.is_submitted() and form["confirm"] != alg:
        form.add_error("confirm", _("Type the name of the algorithm exactly as it is shown."))
    elif form["force"] and not form["reason"]:
        form.add_error("reason", _("Say why it cannot wait."))
    elif Form.is_submitted():
        try:
            key = key_actions.rotate(context, alg, form["reason"] if form["force"] else "")
        except key_actions.NotReady as error:
            form.add_error("", _not_ready(error))
        except Invalid:
            form.add_error("reason", _bad_reason())
        except Conflict:
            form.add_error("", _("Somebody else changed the keys meanwhile. Look at the list again."))
        else:
            signs = key.state is State.ACTIVE
            text = N_("Key %(kid)s signs now.") if signs else N_("Key %(kid)s is published and will be next.")
            flash(gettext(text) % {"kid": key.kid[:CONFIRM_CHARS]})
            return redirect(url_for("console.keys"), 303)
    waits = next_rotation.ready_at is not None and context.now < next_rotation.ready_at
    return page(
        "keys/rotate.html",
        form.status(HTTPStatus.CONFLICT),
        form=form,
        next_rotation=next_rotation,
        waits=waits,
        most=key_actions.MAX_REASON,
        max_age=key_actions.MAX_AGE,
    )


@console.route("/security/keys/k/<kid>/retire", methods=["GET", "POST"])
@requires(permission.SECURITY)
@requires(permission.KEYS)
@step_up(JUST_NOW)
def retire_key(kid: str) -> ResponseReturnValue:
    """Take a key out of signing; its tokens stay good."""
    return _change_key(
        kid, "keys/retire.html", key_actions.retire, N_("Key %(kid)s signs no more; its tokens stay good.")
    )


@console.route("/security/keys/k/<kid>/compromise", methods=["GET", "POST"])
@requires(permission.SECURITY)
@requires(permission.KEYS)
@step_up(JUST_NOW)
def compromise_key(kid: str) -> ResponseReturnValue:
    """Kill a key and every token it signed."""
    text = N_("Key %(kid)s is dead, and so is every token it signed.")
    return _change_key(kid, "keys/compromise.html", key_actions.compromise, text)


@console.route("/security/keys/k/<kid>/withdraw", methods=["GET", "POST"])
@requires(permission.SECURITY)
@requires(permission.KEYS)
@step_up(JUST_NOW)
def withdraw_key(kid: str) -> ResponseReturnValue:
    """Take a retired key out of the JWKS, once its last token is over."""
    return _change_key(kid, "keys/withdraw.html", key_actions.withdraw, N_("Key %(kid)s is withdrawn."))


def _change_key(
    kid: str, template: str, verb: Callable[[ConsoleContext, str, str], None], done: str
) -> ResponseReturnValue:
    context = console_context()
    key = key_actions.find_key(context, kid)
    form = Form.submitted()
    if Form.is_submitted() and form["confirm"] != key.kid[:CONFIRM_CHARS]:
        form.add_error("confirm", _("Type the beginning of the key's id exactly as it is shown."))
    elif Form.is_submitted():
        try:
            verb(context, key.kid, form["reason"])
        except key_actions.NotReady as error:
            form.add_error("", _not_ready(error))
        except Conflict:
            form.add_error("", _refusal(key, context.now))
        except Invalid:
            form.add_error("reason", _bad_reason())
        else:
            flash(gettext(done) % {"kid": key.kid[:CONFIRM_CHARS]})
            return redirect(url_for("console.keys"), 303)
    live = context.store.token_reads.by_key(context.now, key.kid).get(key.kid, 0)
    successor = next((each for each in key_actions.next_rotations(context) if each.alg == key.alg), None)
    return page(
        template,
        form.status(HTTPStatus.CONFLICT),
        form=form,
        key=key,
        typed=key.kid[:CONFIRM_CHARS],
        live=live,
        successor=successor.staged if successor and successor.staged and successor.staged.kid != key.kid else None,
        leaves_at=key_actions.leaves_at(key) if key.state is State.RETIRED else None,
    )


def _refusal(key: KeyInfo, now: Instant) -> str:
    if key.state is State.ACTIVE:
        return _("No next key is published, and tokens must be signed with something. Rotate instead.")
    if key.state is State.RETIRED and now < key_actions.leaves_at(key):
        text = N_("A token it signed may still live; it can be withdrawn from %(at)s.")
        return escape(gettext(text)) % {"at": on(key_actions.leaves_at(key))}
    return _("The key is in another state by now. Look at the list again.")


def _bad_reason() -> str:
    return _("Use one line of 1 to %(most)s characters.", most=key_actions.MAX_REASON)


def _not_ready(error: key_actions.NotReady) -> str:
    if error.late:
        text = N_("%(names)s did not fetch the next key yet; it is waited for until %(at)s.")
    else:
        text = N_("The next key may sign from %(at)s: until then verifiers may not know it.")
    return escape(gettext(text)) % {"names": ", ".join(error.late), "at": on(error.since)}


def _timeline_row(key: KeyInfo, now: Instant, begins: Instant, ends: Instant, live: int) -> TimelineRow:
    kind, label = STATES[key.state]
    leaves_at = key_actions.leaves_at(key) if key.state is State.RETIRED else None
    return TimelineRow(key, kind, gettext(label), live, tuple(_segments(key, now, begins, ends)), leaves_at)


def _segments(key: KeyInfo, now: Instant, begins: Instant, ends: Instant) -> Sequence[TimelineSegment]:
    """Staged, active, retired: each as long as it lasted, and never too short to be seen."""
    end = _end(key, now)
    staged_until = key.activated_at or key.ended_at or end
    active_until = (key.retired_at or key.ended_at or end) if key.activated_at is not None else staged_until
    found = []
    for state, since, until in (
        ("staged", key.created_at, staged_until),
        ("active", staged_until, active_until),
        ("retired", active_until, end),
    ):
        if until > since or (state == "active" and key.activated_at is not None):
            x = _x(since, begins, ends)
            found.append(
                TimelineSegment(state, min(x, _WIDTH - _MIN_WIDTH), max(_x(until, begins, ends) - x, _MIN_WIDTH))
            )
    return found


def _end(key: KeyInfo, now: Instant) -> Instant:
    if key.ended_at is not None:
        return key.ended_at
    return max(now, key_actions.leaves_at(key)) if key.state is State.RETIRED else now


def _x(at: Instant, begins: Instant, ends: Instant) -> int:
    return round((at - begins) * _WIDTH / (ends - begins))
