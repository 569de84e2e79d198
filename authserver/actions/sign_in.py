"""Signing in to the console by password or one-time link, and re-authentication.

Every refusal has the same answer and takes the same time: an unknown name, a wrong
password, no password, a disabled account and one without a builder role cannot be
told apart (INV-29). A session id is 256 random bits; the database keeps its hash.
"""

import functools
import hashlib
import secrets
import threading
import uuid
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Invalid, NotFound, Refusal
from authserver.ports.sign_in import ConsoleSession, CurrentUser, SignIns
from authserver.ports.users import User
from authserver.rules.facts import Instant
from authserver.rules.password import MAX_PASSWORD
from authserver.rules.permission import may_enter
from authserver.rules.secret_format import LOGIN_LINK_PREFIX, mint, well_formed
from authserver.rules.sign_in import ABSOLUTE, LINK_LIFE, signed_out

SEEN_EVERY = 30
"""Seconds between two writes of ``last_seen_at``, so that a busy session does not write for each page."""

_MAX_AGENT, _MAX_PEER = 200, 64
_AT_ONCE = threading.BoundedSemaphore(2)
"""Bounds concurrent password checks: each costs 64 MiB and a core, and anonymous callers can ask for them."""


class SignInRefused(Refusal):
    """The same for every cause; ``reason`` is the true one, for the log."""

    code = "sign_in_refused"

    def __init__(self, reason: str) -> None:
        super().__init__("The user name or the password is wrong, or this account may not enter.")
        self.reason = reason


@dataclass(frozen=True, slots=True, repr=False)
class SignedIn:
    """A console session and its secret id. Has no repr, so it cannot be logged by accident."""

    session: ConsoleSession
    id: str


@dataclass(frozen=True, slots=True, repr=False)
class LoginLink:
    """A one-time link, which is shown once. Has no repr, so it cannot be logged by accident."""

    user: User
    code: str
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class SessionState:
    """The user of a session id, None if not signed in; ``expired`` is the user of a session that has timed out."""

    current_user: CurrentUser | None = None
    expired: CurrentUser | None = None


def check_password(sign_ins: SignIns, username: str, password: str) -> User:
    """Find the user by name and password.

    Raises:
        SignInRefused: unknown, wrong password, or not allowed in the console.
    """
    row = sign_ins.password_of(username)
    user, password_hash = row or (None, None)
    # An unknown user name takes as long as a known one.
    matches = _matches(password_hash or _dummy_hash(), password)
    if user is None:
        reason = "unknown_user"
    elif password_hash is None:
        reason = "no_password"
    elif not matches:
        reason = "wrong_password"
    elif not may_enter_now(user):
        reason = "may_not_enter"
    else:
        return user
    raise SignInRefused(reason)


def begin(
    accounts: Accounts, user: User, *, method: str, peer: str, agent: str, now: Instant, pending: str = ""
) -> SignedIn:
    """Open a console session for an authenticated user."""
    signed_in = _new_session(user, method, peer, agent, now)
    with accounts.change(_signed_in_event(signed_in.session, user), now) as tx:
        tx.open_console_session(signed_in.session, hashed(signed_in.id), pending)
    return signed_in


def link_url(issuer: str, code: str) -> str:
    """Where a browser opens a one-time link: below the issuer."""
    return f"{issuer}/console/link?code={code}"


def make_link(accounts: Accounts, username: str, *, actor: str, now: Instant) -> LoginLink:
    """Make a link that signs ``username`` in once.

    Raises:
        NotFound: no such user.
        Invalid: the user may not enter the console.
    """
    code = mint(LOGIN_LINK_PREFIX, secrets.choice)
    with accounts.change(Event("console.link_made", actor, username), now) as tx:
        user = tx.user(username)
        if user.disabled_at is not None:
            msg = f"{username} is disabled; `flask users enable {username}` first"
            raise Invalid(msg)
        if not may_enter_now(user):
            msg = f"{username} holds no builder role and may not enter; `flask users grant {username} ROLE` first"
            raise Invalid(msg)
        tx.insert_login_link(user, hashed(code), now, now + LINK_LIFE)
        tx.detail(user=user.id, expires_at=now + LINK_LIFE)
    return LoginLink(user, code, now + LINK_LIFE)


def link_owner(sign_ins: SignIns, code: str, now: Instant) -> User | None:
    """The user a link would sign in; None when it is unknown, expired or used."""
    if not well_formed(code, LOGIN_LINK_PREFIX):
        return None
    user = sign_ins.link_owner(hashed(code), now)
    return user if user is not None and may_enter_now(user) else None


def use_link(accounts: Accounts, code: str, *, peer: str, agent: str, now: Instant) -> SignedIn:
    """Sign in by a one-time link, and use it up.

    Raises:
        NotFound: it is unknown, expired or used, or its owner may not enter any more.
    """
    if not well_formed(code, LOGIN_LINK_PREFIX):
        msg = "this link was used, or is too old; ask for a new one"
        raise NotFound(msg)
    event = Event("console.signed_in", "link", "-", {"method": "link", "peer": peer[:_MAX_PEER]})
    with accounts.change(event, now) as tx:
        user = tx.consume_login_link(hashed(code), now)
        if not may_enter_now(user):
            msg = "this link was used, or is too old; ask for a new one"
            raise NotFound(msg)
        signed_in = _new_session(user, "link", peer, agent, now)
        tx.open_console_session(signed_in.session, hashed(signed_in.id))
        tx.detail(user=user.id, username=user.username, session=signed_in.session.handle)
    return signed_in


def session_state(sign_ins: SignIns, session_id: str, now: Instant) -> SessionState:
    """The state of a session by its id; counts as a use of the session where it is live."""
    id_hash = hashed(session_id)
    current_user = sign_ins.current_user(id_hash)
    if current_user is None:
        return SessionState()
    session = current_user.session
    if not may_enter_now(current_user.user):
        # Ended for good: a role that is granted again does not revive the session.
        sign_ins.close(id_hash)
        return SessionState()
    if signed_out(now, session.last_seen_at, session.ends_at):
        return SessionState(expired=current_user)
    if now - session.last_seen_at >= SEEN_EVERY:
        sign_ins.seen(id_hash, now)
    return SessionState(current_user)


def reauthenticate(sign_ins: SignIns, session_id: str, user: User, password: str, now: Instant) -> str:
    """Re-authenticate a signed-in user by password; returns the session's new id.

    Raises:
        SignInRefused: the password is wrong.
    """
    if check_password(sign_ins, user.username, password).id != user.id:
        raise SignInRefused("session_gone")
    return renew(sign_ins, session_id, now)


def renew(sign_ins: SignIns, session_id: str, now: Instant) -> str:
    """Record a re-authentication; returns the session's new id.

    Raises:
        SignInRefused: the session is gone.
    """
    new_id = _new_id()
    if not sign_ins.renew(hashed(session_id), hashed(new_id), now):
        raise SignInRefused("session_gone")
    return new_id


def sessions_of(sign_ins: SignIns, user: User, now: Instant) -> list[ConsoleSession]:
    """The live console sessions of a user, newest first."""
    return [each for each in sign_ins.of_user(user.id) if not signed_out(now, each.last_seen_at, each.ends_at)]


def end_session(accounts: Accounts, user: User, handle: str, *, actor: str, now: Instant) -> None:
    """End one console session of ``user``.

    Raises:
        NotFound: the user has no session with that handle.
    """
    with accounts.change(Event("console.session_ended", actor, user.username, {"session": handle}), now) as tx:
        if not tx.end_console_session(user.id, handle):
            msg = "that sign-in has ended already"
            raise NotFound(msg)


def end_other_sessions(accounts: Accounts, user: User, keep: str, *, actor: str, now: Instant) -> int:
    """End every console session of ``user`` but the one with the handle ``keep``; returns how many."""
    with accounts.change(Event("console.other_sessions_ended", actor, user.username), now) as tx:
        ended = tx.end_console_sessions(user.id, keep)
        tx.detail(user=user.id, ended=ended)
    return ended


def hashed(text: str) -> str:
    """The hash that the database keeps of an id or a code; 238 random bits and more need no slow hash."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _new_session(user: User, method: str, peer: str, agent: str, now: Instant) -> SignedIn:
    session = ConsoleSession(
        handle=f"cs_{uuid.uuid4().hex}",
        user_id=user.id,
        method=method,
        created_at=now,
        last_seen_at=now,
        proof_at=now,
        ends_at=now + ABSOLUTE,
        peer=peer[:_MAX_PEER],
        agent="".join(char for char in agent if char.isprintable())[:_MAX_AGENT],
    )
    return SignedIn(session, _new_id())


def _signed_in_event(session: ConsoleSession, user: User) -> Event:
    detail = {"method": session.method, "peer": session.peer, "session": session.handle, "user": user.id}
    return Event("console.signed_in", f"console:{user.username}", user.username, detail)


def _new_id() -> str:
    return secrets.token_urlsafe(32)


def may_enter_now(user: User) -> bool:
    """Whether a user may use the console now."""
    return user.disabled_at is None and may_enter(role.kind for role in user.roles)


def _matches(password_hash: str, password: str) -> bool:
    # A password that is too long is cut, so that it costs no more than any other; it never matches.
    too_long, candidate = len(password) > MAX_PASSWORD, password[:MAX_PASSWORD].encode("utf-8", "surrogatepass")
    try:
        with _AT_ONCE:
            PasswordHasher().verify(password_hash, candidate)
    except (VerificationError, InvalidHashError):
        return False
    return not too_long


@functools.cache
def _dummy_hash() -> str:
    return PasswordHasher().hash(secrets.token_urlsafe(32))
