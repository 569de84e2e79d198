"""What of an owner's ends soon: credentials by their expiry, and old secrets that are still in use beside a new one."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Engine, Select, bindparam, func, literal, select, union_all

from authserver.ports.console_reads.credentials import Expiring
from authserver.rules.credential_status import NOTICE_SECONDS
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import credentials, secrets


class SqlExpiringReads:
    """``console_reads.EndingReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def soon(self, owner_id: str, now: Instant) -> Sequence[Expiring]:
        """What ends within ``NOTICE_SECONDS`` of what works now, soonest first; one statement."""
        parameters = {"owner": owner_id, "now": now, "until": now + NOTICE_SECONDS}
        with reading(self._engine) as connection:
            rows = connection.execute(_SOON, parameters)
            return [Expiring(row.client_id, row.name, row.ends_at, row.hint, row.used or None) for row in rows]


def _soon() -> Select[Any]:
    now, until = bindparam("now", type_=BigInteger), bindparam("until", type_=BigInteger)
    mine, each, newer = credentials.c, secrets.c, secrets.alias("newer").c
    works = (
        mine.owner_id == bindparam("owner"),
        mine.deleted_at.is_(None),
        mine.disabled_at.is_(None),
        mine.expires_at > now,
    )
    whole = select(
        mine.client_id,
        mine.name,
        mine.expires_at.label("ends_at"),
        literal("").label("hint"),
        literal(0).label("used"),
    ).where(*works, mine.expires_at <= until)
    # One that nobody used since its successor was made ends as it was meant to.
    moved = select(func.max(newer.created_at)).where(newer.client_id == each.client_id).scalar_subquery()
    old = (
        select(mine.client_id, mine.name, each.ends_at, each.hint, each.last_used_at)
        .join(secrets, each.client_id == mine.client_id)
        .where(*works, each.ends_at > now, each.ends_at < mine.expires_at, each.last_used_at >= moved)
    )
    found = union_all(whole, old).subquery()
    return select(found).order_by(found.c.ends_at, found.c.client_id)


# Every look at the list asks this: it is put together once.
_SOON = _soon()
