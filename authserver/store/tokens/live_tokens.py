"""Counts live tokens by the rules of ``rules/liveness``, told in SQL.

Only for numbers on a page: whether one token lives is always asked of the rules
themselves. ``tests/store/test_console_reads.py`` holds the two to the same answer.

What holds for all tokens alike (settings, usable keys) is read first and put
into the statement: with it both databases see how many sessions are left, and
begin at the right end.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import BigInteger, BindParameter, Connection, Select, String, bindparam, case, func, or_, select, true

from authserver.rules.facts import Instant
from authserver.rules.liveness import CLOCK_SLACK
from authserver.store.tables import credentials, secrets, sessions, settings, signing_keys, users
from keys.keyring import USABLE

AnySelect = TypeVar("AnySelect", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session must keep to live at ``now``, whosever it is. Both ends of ``issued`` count.

    Who ends behind ``young``, and lasts as long as any may, was issued within the idle timeout.
    """

    now: Instant
    issued: tuple[Instant, Instant]
    used_since: Instant
    young: Instant
    epoch: int
    kids: tuple[str, ...]

    @property
    def values(self) -> dict[str, Any]:
        """The values of ``living`` and ``YOUNG``."""
        return {
            "now": self.now,
            "written_now": self.now,
            "issued_from": self.issued[0],
            "issued_to": self.issued[1],
            "used_since": self.used_since,
            "young": self.young,
            "epoch": self.epoch,
            "kids": self.kids,
        }


_usable = signing_keys.c.state.in_([state.value for state in USABLE])
_TERMS = (
    select(
        *(settings.c[name] for name in ("max_token_lifetime_minutes", "idle_timeout_minutes")),
        *(settings.c[name] for name in ("issued_since", "used_since", "epoch")),
        signing_keys.c.kid,
    )
    .select_from(settings.outerjoin(signing_keys, true() & _usable))
    .order_by(signing_keys.c.kid)
)


def terms(connection: Connection, now: Instant) -> Terms:
    """Read them; ask what they are for in the same transaction."""
    rows = connection.execute(_TERMS).all()
    general = rows[0]
    # Half-open: what was issued or used so many seconds ago is over.
    oldest = now - general.max_token_lifetime_minutes * 60 + 1
    idle = now - general.idle_timeout_minutes * 60 + 1
    return Terms(
        now=now,
        issued=(max(general.issued_since, oldest), now + CLOCK_SLACK),
        used_since=max(general.used_since, idle),
        young=now + max(0, idle - oldest),
        epoch=general.epoch,
        kids=tuple(row.kid for row in rows if row.kid is not None),
    )


def _written(name: str) -> BindParameter[Instant]:
    """An instant in the text of a statement: a plan of PostgreSQL's for any instant takes all sessions for few."""
    return bindparam(name, type_=BigInteger, literal_execute=True)


YOUNG = sessions.c.expires_at > _written("young")


def living(asked: AnySelect, *, begin_with_sessions: bool = False) -> AnySelect:
    """What is asked of ``sessions``, of those whose tokens live under the ``values`` of ``Terms``.

    ``begin_with_sessions`` is for whoever narrows the sessions and not the credentials: SQLite would rather walk all
    credentials.
    """
    session, credential = sessions.c, credentials.c
    now = bindparam("now", type_=BigInteger)
    # An expression hides the column's index, and so leaves one way round.
    whose = func.coalesce(session.client_id, "") if begin_with_sessions else session.client_id
    return asked.select_from(
        sessions.join(credentials, credential.client_id == whose)
        .join(users, users.c.id == credential.owner_id)
        .join(secrets, secrets.c.id == session.secret_id)
    ).where(
        # Always so. As a plain equation it would make PostgreSQL expect one row where thousands come.
        case((secrets.c.client_id == credential.client_id, 1), else_=0) > 0,
        session.ended_at.is_(None),
        session.expires_at > _written("written_now"),
        session.kid.in_(bindparam("kids", type_=String, expanding=True)),
        session.epoch == bindparam("epoch", type_=BigInteger),
        session.issued_at.between(_written("issued_from"), _written("issued_to")),
        session.last_used_at >= _written("used_since"),
        users.c.disabled_at.is_(None),
        credential.deleted_at.is_(None),
        credential.disabled_at.is_(None),
        credential.expires_at > now,
        session.credential_version == credential.version,
        session.role_version == users.c.role_version,
        or_(secrets.c.ends_at.is_(None), secrets.c.ends_at > now),
    )
