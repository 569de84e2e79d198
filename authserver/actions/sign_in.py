"""Signing in to the console: by password, by one-time link; and proving it again.

Whoever may not enter gets one answer, in one time: an unknown name, a wrong
password, no password, a disabled account and one without a builder role look
alike (INV-29). A session's id is 256 random bits; the database keeps a hash.
"""

import functools
import hashlib
import secrets as dice
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
"""Seconds between two notes that somebody is still there: a page a second is not a write a second."""

_MAX_AGENT, _MAX_PEER = 200, 64
_AT_ONCE = threading.BoundedSemaphore(2)
"""A password costs 64 MiB and a core for a while: strangers get no more than so many at a time."""


class SignInRefused(Refusal):
    """All causes look like this; ``reason`` is the true one, for the log."""

    code = "sign_in_refused"

    def __init__(self, reason: str) -> None:
        super().__init__("The user name or the password is wrong, or this account may not enter.")
        self.reason = reason


@dataclass(frozen=True, slots=True, repr=False)
class SignedIn:
    """A sign-in and the id that opens it. Has no repr."""

    session: ConsoleSession
    id: str


@dataclass(frozen=True, slots=True, repr=False)
class LoginLink:
    """A one-time link for the one moment it may be seen. Has no repr."""

    user: User
    code: str
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class SessionState:
    """Who comes with a session's id: somebody signed in, or nobody; ``expired`` is a sign-in that is over by time."""

    current_user: CurrentUser | None = None
    expired: CurrentUser | None = None


def check_password(sign_ins: SignIns, username: str, password: str) -> User:
    """Find who may enter with this password.

    Raises:
        SignInRefused: nobody.
    """
    known = sign_ins.password_of(username)
    user, kept = known or (None, None)
    # Somebody unknown costs as much as somebody known.
    right = _matches(kept or _nobodys_hash(), password)
    if user is None:
        reason = "unknown_user"
    elif kept is None:
        reason = "no_password"
    elif not right:
        reason = "wrong_password"
    elif not may_enter_now(user):
        reason = "may_not_enter"
    else:
        return user
    raise SignInRefused(reason)


def begin(
    accounts: Accounts, user: User, *, method: str, peer: str, agent: str, now: Instant, pending: str = ""
) -> SignedIn:
    """Sign in somebody who has proved who they are."""
    signed_in = _fresh(user, method, peer, agent, now)
    with accounts.change(_signed_in(signed_in.session, user), now) as tx:
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
    code = mint(LOGIN_LINK_PREFIX, dice.choice)
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
    """Whom a link would sign in; None when it is not good any more."""
    if not well_formed(code, LOGIN_LINK_PREFIX):
        return None
    user = sign_ins.link_owner(hashed(code), now)
    return user if user is not None and may_enter_now(user) else None


def use_link(accounts: Accounts, code: str, *, peer: str, agent: str, now: Instant) -> SignedIn:
    """Sign in by a one-time link, and use it up.

    Raises:
        NotFound: it is unknown, over, or was used; or its owner may not enter any more.
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
        signed_in = _fresh(user, "link", peer, agent, now)
        tx.open_console_session(signed_in.session, hashed(signed_in.id))
        tx.detail(user=user.id, username=user.username, session=signed_in.session.handle)
    return signed_in


def session_state(sign_ins: SignIns, session_id: str, now: Instant) -> SessionState:
    """Who comes with this session's id; a use of it, where it is good."""
    id_hash = hashed(session_id)
    current_user = sign_ins.current_user(id_hash)
    if current_user is None:
        return SessionState()
    session = current_user.session
    if not may_enter_now(current_user.user):
        # For good: a role that comes back does not bring back who was signed in.
        sign_ins.close(id_hash)
        return SessionState()
    if signed_out(now, session.last_seen_at, session.ends_at):
        return SessionState(expired=current_user)
    if now - session.last_seen_at >= SEEN_EVERY:
        sign_ins.seen(id_hash, now)
    return SessionState(current_user)


def prove(sign_ins: SignIns, session_id: str, user: User, password: str, now: Instant) -> str:
    """Take a new proof from somebody signed in; the session's new id.

    Raises:
        SignInRefused: the password is wrong.
    """
    if check_password(sign_ins, user.username, password).id != user.id:
        raise SignInRefused("session_gone")
    return renew(sign_ins, session_id, now)


def renew(sign_ins: SignIns, session_id: str, now: Instant) -> str:
    """Note that somebody signed in has proved it again; the session's new id.

    Raises:
        SignInRefused: the session is gone.
    """
    fresh = _new_id()
    if not sign_ins.renew(hashed(session_id), hashed(fresh), now):
        raise SignInRefused("session_gone")
    return fresh


def sessions_of(sign_ins: SignIns, user: User, now: Instant) -> list[ConsoleSession]:
    """Where a user is signed in now, newest first."""
    return [each for each in sign_ins.of_user(user.id) if not signed_out(now, each.last_seen_at, each.ends_at)]


def end_session(accounts: Accounts, user: User, handle: str, *, actor: str, now: Instant) -> None:
    """End one sign-in of ``user``.

    Raises:
        NotFound: the user has none with that handle.
    """
    with accounts.change(Event("console.session_ended", actor, user.username, {"session": handle}), now) as tx:
        if not tx.end_console_session(user.id, handle):
            msg = "that sign-in has ended already"
            raise NotFound(msg)


def end_other_sessions(accounts: Accounts, user: User, keep: str, *, actor: str, now: Instant) -> int:
    """End every sign-in of ``user`` but the one with the handle ``keep``; how many."""
    with accounts.change(Event("console.other_sessions_ended", actor, user.username), now) as tx:
        ended = tx.end_console_sessions(user.id, keep)
        tx.detail(user=user.id, ended=ended)
    return ended


def hashed(text: str) -> str:
    """What the database keeps of an id or a code; 238 random bits and more need no slow hash."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _fresh(user: User, method: str, peer: str, agent: str, now: Instant) -> SignedIn:
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


def _signed_in(session: ConsoleSession, user: User) -> Event:
    detail = {"method": session.method, "peer": session.peer, "session": session.handle, "user": user.id}
    return Event("console.signed_in", f"console:{user.username}", user.username, detail)


def _new_id() -> str:
    return dice.token_urlsafe(32)


def may_enter_now(user: User) -> bool:
    """Whether a user may be in the console as things stand."""
    return user.disabled_at is None and may_enter(role.kind for role in user.roles)


def _matches(kept: str, password: str) -> bool:
    # Too long a one is cut: it is never right, and costs no more than any other.
    long, tried = len(password) > MAX_PASSWORD, password[:MAX_PASSWORD].encode("utf-8", "surrogatepass")
    try:
        with _AT_ONCE:
            PasswordHasher().verify(kept, tried)
    except (VerificationError, InvalidHashError):
        return False
    return not long


@functools.cache
def _nobodys_hash() -> str:
    return PasswordHasher().hash(dice.token_urlsafe(32))
