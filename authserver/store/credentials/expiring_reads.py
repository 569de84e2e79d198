"""An owner's credentials that expire soon, and old secrets that end soon and are still used beside a new one."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Engine, Select, bindparam, func, literal, select, union_all

from authserver.ports.console_reads.credentials import Expiring
from authserver.rules.credential_status import NOTICE_SECONDS
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import credentials, secrets


class SqlExpiringReads:
    """``console_reads.ExpiringReads``."""

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
    credential, secret, newer = credentials.c, secrets.c, secrets.alias("newer").c
    working = (
        credential.owner_id == bindparam("owner"),
        credential.deleted_at.is_(None),
        credential.disabled_at.is_(None),
        credential.expires_at > now,
    )
    expiring_credentials = select(
        credential.client_id,
        credential.name,
        credential.expires_at.label("ends_at"),
        literal("").label("hint"),
        literal(0).label("used"),
    ).where(*working, credential.expires_at <= until)
    # A secret that was not used since its successor was made may end: nobody needs it.
    newest_created_at = select(func.max(newer.created_at)).where(newer.client_id == secret.client_id).scalar_subquery()
    ending_secrets = (
        select(credential.client_id, credential.name, secret.ends_at, secret.hint, secret.last_used_at)
        .join(secrets, secret.client_id == credential.client_id)
        .where(
            *working,
            secret.ends_at > now,
            secret.ends_at < credential.expires_at,
            secret.last_used_at >= newest_created_at,
        )
    )
    both = union_all(expiring_credentials, ending_secrets).subquery()
    return select(both).order_by(both.c.ends_at, both.c.client_id)


# Each view of the list runs it: it is built once.
_SOON = _soon()
