"""What a serving process does by itself, each task in its own rhythm."""

from collections.abc import Callable
from dataclasses import dataclass

from authserver.actions.events.old_secrets import PART, end_silent
from authserver.audit_export import checkpoints
from authserver.background import PeriodicTask
from authserver.ports.general_settings import retention_seconds
from authserver.ports.sign_in import ATTEMPTS_FORGOTTEN
from authserver.rules.facts import Instant
from authserver.store.engine.rollback_guard import RollbackGuard
from authserver.store.factory import Store
from authserver.telemetry.logs import logger

SWEEP_SECONDS = 20.0
"""How often ended sessions are deleted: often and briefly, so that 1,000 new tokens a second never pile up."""
SWEEP_FOR_SECONDS = 4.0
TIDY_SECONDS = 3600.0
OLD_SECRETS_SECONDS = 600.0
TICK_SECONDS = 60.0
"""How often a node looks whether a key must be made, promoted or withdrawn."""
FLUSH_SECONDS = 5.0
STATISTICS_SECONDS = 10.0
LOOK_SECONDS = 60.0
"""How often the numbers behind the charts of the security page are looked up, by one of all processes."""
CHECKPOINT_SECONDS = 300.0
"""How often it is looked whether a checkpoint of the audit trail is due; one is taken each hour."""

ROLLBACK_CHECK_SECONDS = 1.0
"""How often a node looks whether the database became rolled_back under it, and notes how new it is."""
WATERMARK_SECONDS = 30.0
KEEP_SIGN_INS_SECONDS = 24 * 3600
"""How long a sign-in is kept behind its last use: whoever comes back to a half-filled form finds it filled."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What the tasks work with."""

    store: Store
    now: Callable[[], Instant]
    """The instant for a change, by the database's clock where nodes share one."""
    guard: RollbackGuard
    """Of this thread alone: it notes how new the database is."""
    check_rollback: Callable[[], None]
    tick: Callable[[], object]
    """Does what the rotation of keys makes due."""
    sign_checkpoint: checkpoints.Sign
    forget_retired_keys: Callable[[], None]
    issuer: str


def serving_tasks(context: TaskContext) -> list[PeriodicTask]:
    """The tasks of one serving process; each is safe from many processes at once."""
    store, guard = context.store, context.guard

    def check_and_record() -> None:
        context.check_rollback()
        guard.record()

    def checkpoint() -> None:
        checkpoints.take_if_due(store.checkpoints, context.sign_checkpoint, issuer=context.issuer, now=context.now())

    return [
        PeriodicTask("check rollback", ROLLBACK_CHECK_SECONDS, check_and_record),
        PeriodicTask("record watermark", WATERMARK_SECONDS, lambda: guard.record(count_at=context.now())),
        PeriodicTask("sweep sessions", SWEEP_SECONDS, lambda: _sweep_sessions(store, context.now)),
        PeriodicTask("sweep sign-ins", TIDY_SECONDS, lambda: _sweep_what_is_old(store, context.now())),
        PeriodicTask("end old secrets", OLD_SECRETS_SECONDS, lambda: _end_old_secrets(store, context.now)),
        PeriodicTask("rotate keys", TICK_SECONDS, context.tick),
        PeriodicTask("write fetches", FLUSH_SECONDS, store.jwks_fetchers.flush),
        PeriodicTask("write fetches of the change feed", FLUSH_SECONDS, store.feed_fetches.flush),
        PeriodicTask("write statistics", STATISTICS_SECONDS, store.statistics.flush),
        PeriodicTask("look how it stands", LOOK_SECONDS, lambda: store.statistics.look(context.now())),
        PeriodicTask("sign checkpoint", CHECKPOINT_SECONDS, checkpoint),
        PeriodicTask("forget keys", FLUSH_SECONDS, context.forget_retired_keys),
    ]


def _sweep_sessions(store: Store, now: Callable[[], Instant]) -> None:
    general = store.accounts.general()
    keep, usage_days = retention_seconds(general.session_retention_days), general.usage_retention_days
    count = store.sessions.sweep(now(), keep, SWEEP_FOR_SECONDS, usage_days=usage_days)
    store.one_time_ids.sweep(now())
    if count:
        logger().info("sessions_swept", count=count)


def _end_old_secrets(store: Store, now: Callable[[], Instant]) -> None:
    while end_silent(store.accounts, store.old_secrets, now()) == PART:
        pass


def _sweep_what_is_old(store: Store, now: Instant) -> None:
    store.jwks_fetchers.sweep(now)
    store.sign_ins.sweep(now - KEEP_SIGN_INS_SECONDS)
    store.login_attempts.sweep(now - ATTEMPTS_FORGOTTEN)
    store.statistics.sweep(now)
