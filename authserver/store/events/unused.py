"""Finds the credentials that nobody uses: by the last request or call, the last enabling, and the creation."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select, update

from authserver.ports.events.unused import UnusedCredential, UnusedPolicy
from authserver.rules.events.catalogue import WARNING_DAYS, RaisedEvent, unused_event
from authserver.rules.events.unused import disables_at, earliest
from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY
from authserver.store.engine.batch_statements import greatest
from authserver.store.engine.connections import reading, writing
from authserver.store.events.expiries import LONGEST_GAP
from authserver.store.events.raising import insert_events, lock_outbox
from authserver.store.tables import credential_use, credentials, event_outbox, settings, users

_MOST = 1000
_EACH, _USE = credentials.c, credential_use.c


def _used(dialect: str) -> Any:
    """The last use; 0 for never."""
    return greatest(dialect)(func.coalesce(_USE.last_used_at, 0), func.coalesce(_USE.requested_at, 0))


def _active(dialect: str) -> Any:
    """The last use, or what counts like one."""
    return greatest(dialect)(_used(dialect), _EACH.created_at, func.coalesce(_EACH.enabled_at, 0))


def find_policy(connection: Connection) -> UnusedPolicy:
    """The policy that holds."""
    row = connection.execute(select(settings.c.unused_disable_days, settings.c.unused_policy_since)).one()
    return UnusedPolicy(row.unused_disable_days, row.unused_policy_since)


def find_disables_at(connection: Connection, client_id: str) -> Instant | None:
    """When the policy disables a credential; None where it does not."""
    policy = find_policy(connection)
    query = _query(connection.dialect.name).where(_EACH.client_id == client_id)
    row = connection.execute(query).first() if policy.days else None
    return None if row is None else disables_at(row.active, policy.days, policy.since)


class SqlUnusedReads:
    """``ports.UnusedReads``, and the warnings that follow from the policy."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def policy(self) -> UnusedPolicy:
        """The policy that holds."""
        with reading(self._engine) as connection:
            return find_policy(connection)

    def disabled_by(self, policy: UnusedPolicy, until: Instant, limit: int) -> Sequence[UnusedCredential]:
        """Whom a policy would disable up to ``until``, the soonest first."""
        if not policy.days or until < earliest(policy.days, policy.since):
            return ()
        dialect = self._engine.dialect.name
        query = _query(dialect).where(_active(dialect) <= until - policy.days * DAY, _EACH.expires_at > until)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by("active", _EACH.client_id).limit(limit)).all()
        return tuple(
            UnusedCredential(
                row.client_id,
                row.name,
                row.username,
                row.used or None,
                disables_at(row.active, policy.days, policy.since),
            )
            for row in rows
        )

    def disables_at(self, client_id: str) -> Instant | None:
        """When the policy disables a credential; None where it does not."""
        with reading(self._engine) as connection:
            return find_disables_at(connection, client_id)

    def sweep(self, now: Instant) -> int:
        """Raise the warnings that came due since the last time, each once; how many."""
        with writing(self._engine) as connection:
            policy, outbox = find_policy(connection), lock_outbox(connection)
            newest = outbox.seq
            if policy.days:
                since = max(outbox.unused_swept_at, policy.since - 1, now - LONGEST_GAP)
                newest = insert_events(connection, newest, _warnings(connection, policy, since, now), outbox.mail)
            connection.execute(update(event_outbox).values(seq=newest, unused_swept_at=now))
            return int(newest - outbox.seq)


def _warnings(connection: Connection, policy: UnusedPolicy, since: Instant, now: Instant) -> list[RaisedEvent]:
    """One for each credential that came within 30, 7 or 1 days of its end; the nearest where it is several."""
    dialect, found = connection.dialect.name, {}
    ends = greatest(dialect)(_active(dialect) + policy.days * DAY, earliest(policy.days, policy.since))
    for days in WARNING_DAYS:
        if days < policy.days or days == min(WARNING_DAYS):
            ahead = days * DAY
            query = _query(dialect).where(ends > since + ahead, ends <= now + ahead, ends > now)
            for row in connection.execute(query.limit(_MOST)):
                at = disables_at(row.active, policy.days, policy.since)
                found[row.client_id] = unused_event(row.client_id, row.used or None, at, days, at - ahead)
    return list(found.values())


def _query(dialect: str) -> Select[Any]:
    """Credentials that work, with their last use."""
    return (
        select(
            _EACH.client_id,
            _EACH.name,
            users.c.username,
            _used(dialect).label("used"),
            _active(dialect).label("active"),
        )
        .select_from(
            credentials.join(users, users.c.id == _EACH.owner_id).outerjoin(
                credential_use, _USE.client_id == _EACH.client_id
            )
        )
        .where(_EACH.deleted_at.is_(None), _EACH.disabled_at.is_(None))
    )
