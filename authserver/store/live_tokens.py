"""Counts live tokens by the rules of ``rules/liveness``, told in SQL.

Only for numbers on a page: whether one token lives is always asked of the rules
themselves. ``tests/test_console_reads.py`` holds the two to the same answer.
"""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from authserver.rules.facts import Instant
from authserver.rules.liveness import CLOCK_SLACK
from authserver.store.tables import credentials, secrets, sessions, settings, signing_keys, users
from keys.keyring import USABLE

AnySelect = TypeVar("AnySelect", bound=Select[*tuple[Any, ...]])


def live_tokens(now: Instant, *only: ColumnElement[bool]) -> Select[Any]:
    """``client_id`` and ``live``, a row for each credential that has any; ``only`` narrows the credentials."""
    counted = select(sessions.c.client_id, func.count().label("live"))
    return living(now, counted).where(*only).group_by(sessions.c.client_id)


def living(now: Instant, asked: AnySelect) -> AnySelect:
    """What is asked of ``sessions``, of those whose tokens live."""
    session, credential, general = sessions.c, credentials.c, settings.c
    return asked.select_from(
        credentials.join(users, users.c.id == credential.owner_id)
        .join(settings, general.id == 1)
        .join(sessions, session.client_id == credential.client_id)
        .join(secrets, and_(secrets.c.id == session.secret_id, secrets.c.client_id == credential.client_id))
        .join(signing_keys, signing_keys.c.kid == session.kid)
    ).where(
        session.ended_at.is_(None),
        session.expires_at > now,
        signing_keys.c.state.in_([state.value for state in USABLE]),
        users.c.disabled_at.is_(None),
        credential.deleted_at.is_(None),
        credential.disabled_at.is_(None),
        credential.expires_at > now,
        session.epoch == general.epoch,
        session.credential_version == credential.version,
        session.role_version == users.c.role_version,
        session.issued_at <= now + CLOCK_SLACK,
        session.issued_at >= general.issued_since,
        session.last_used_at >= general.used_since,
        session.issued_at + general.max_token_lifetime_minutes * 60 > now,
        session.last_used_at + general.idle_timeout_minutes * 60 > now,
        or_(secrets.c.ends_at.is_(None), secrets.c.ends_at > now),
    )
