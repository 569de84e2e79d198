"""Selects live tokens by the rules of ``rules/liveness``, written in SQL.

Only for numbers on a page: whether one token is alive is always decided by the rules
themselves. ``tests/store/console_reads`` compares the two.

What is the same for all tokens (settings, usable keys) is read first and put
into the statement as literals: so both databases can estimate how many sessions
are left, and choose the right index.
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
    """What every live session satisfies at ``now``. ``issued``: from and to, both included.

    A session of the longest lifetime that ends after ``young`` was issued within the idle timeout.
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


def read_terms(connection: Connection, now: Instant) -> Terms:
    """Read the terms; run the statement that needs them in the same transaction."""
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


def _literal_instant(name: str) -> BindParameter[Instant]:
    """An instant as a literal: for a bound one PostgreSQL makes a generic plan, which expects few sessions."""
    return bindparam(name, type_=BigInteger, literal_execute=True)


YOUNG = sessions.c.expires_at > _literal_instant("young")


def where_live(query: AnySelect, *, begin_with_sessions: bool = False) -> AnySelect:
    """Restrict a query of ``sessions`` to those whose tokens are alive; takes the ``values`` of ``Terms``.

    ``begin_with_sessions`` is for queries that filter sessions and not credentials: SQLite would otherwise scan
    all credentials.
    """
    session, credential = sessions.c, credentials.c
    now = bindparam("now", type_=BigInteger)
    # An expression hides the column's index, so that only one join order is left.
    client_id = func.coalesce(session.client_id, "") if begin_with_sessions else session.client_id
    return query.select_from(
        sessions.join(credentials, credential.client_id == client_id)
        .join(users, users.c.id == credential.owner_id)
        .join(secrets, secrets.c.id == session.secret_id)
    ).where(
        # Always true. As a plain equation it would make PostgreSQL expect one row instead of thousands.
        case((secrets.c.client_id == credential.client_id, 1), else_=0) > 0,
        session.ended_at.is_(None),
        session.expires_at > _literal_instant("written_now"),
        session.kid.in_(bindparam("kids", type_=String, expanding=True)),
        session.epoch == bindparam("epoch", type_=BigInteger),
        session.issued_at.between(_literal_instant("issued_from"), _literal_instant("issued_to")),
        session.last_used_at >= _literal_instant("used_since"),
        users.c.disabled_at.is_(None),
        credential.deleted_at.is_(None),
        credential.disabled_at.is_(None),
        credential.expires_at > now,
        session.credential_version == credential.version,
        session.role_version == users.c.role_version,
        or_(secrets.c.ends_at.is_(None), secrets.c.ends_at > now),
    )
