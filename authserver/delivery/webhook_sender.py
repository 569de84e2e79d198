"""Sends what is due at each webhook: in the order of each object, and to several webhooks at the same time.

An attempt is recorded when it is over. A process that dies between the two sends the event again, with the same
``webhook-id``: at least once, and an idempotent receiver takes it once (Standard Webhooks, idempotency).
"""

import json
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from authserver.actions.events import webhooks as webhook_actions
from authserver.delivery.https_client import Answered, post
from authserver.ports.errors import Refusal
from authserver.ports.events.outbox import Outcome
from authserver.ports.events.webhooks import Delivery, Webhook
from authserver.ports.store import Store
from authserver.rules.events.backoff import next_wait
from authserver.rules.events.catalogue import body
from authserver.rules.events.signature import headers
from authserver.rules.facts import Instant
from authserver.rules.outbound.public_addresses import Network
from authserver.telemetry.logs import logger

AT_ONCE: Final = 8
"""Webhooks that are sent to at the same time."""

PART: Final = 20
"""Deliveries of one webhook and round."""

ROUND_SECONDS: Final = 10.0
"""After so long a webhook's part of a round is over, however much is due."""

_GONE: Final = 410
_SILENCE_SECONDS: Final = 4.0
_MAX_DOUBLINGS: Final = 4
_SPREADS: Final = 1000


class WebhookSender:
    """Sends; ``close`` ends its threads."""

    def __init__(self, store: Store, allowed: Sequence[Network], context: ssl.SSLContext | None = None) -> None:
        self._store, self._allowed, self._context = store, allowed, context
        self._pool: ThreadPoolExecutor | None = None
        self._silent: dict[str, tuple[int, float]] = {}
        """Webhooks of which no answer came: how often in a row, and until when they are let alone."""

    def send_due(self, now: Callable[[], Instant]) -> int:
        """Send what is due; how many attempts were made."""
        due = self._store.outbox.due(now(), PART)
        if not due:
            return 0
        if self._pool is None:
            self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhooks")
        sent = [self._pool.submit(self._send_to, webhook, mine, now) for webhook, mine in due]
        return sum(each.result() for each in sent)

    def close(self) -> None:
        """End the threads, when what is under way is done."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _send_to(self, webhook: Webhook, deliveries: Sequence[Delivery], now: Callable[[], Instant]) -> int:
        if time.monotonic() < self._silent.get(webhook.id, (0, 0.0))[1]:
            return 0
        until, done = time.monotonic() + ROUND_SECONDS, 0
        failed: set[str] = set()
        for delivery in deliveries:
            if time.monotonic() > until:
                break
            if delivery.object in failed:
                continue  # its object's turn is over until that one was taken
            answered = self._attempt(webhook, delivery, now)
            done += 1
            if answered.status == _GONE:
                with suppress(Refusal):
                    webhook_actions.disable(
                        self._store.accounts, webhook.id, actor="system", now=now(), reason="answered 410 Gone"
                    )
                break
            if answered.error:
                failed.add(delivery.object)
                if answered.status is None:
                    self._let_alone(webhook.id)
                    break
            if answered.status is not None:
                self._silent.pop(webhook.id, None)
        return done

    def _let_alone(self, webhook_id: str) -> None:
        """Nobody is there: what else is due need not wait for that as well, nor the other webhooks."""
        times = self._silent.get(webhook_id, (0, 0.0))[0] + 1
        wait = _SILENCE_SECONDS * 2 ** min(times - 1, _MAX_DOUBLINGS)
        self._silent[webhook_id] = (times, time.monotonic() + wait)

    def _attempt(self, webhook: Webhook, delivery: Delivery, now: Callable[[], Instant]) -> Answered:
        at, began = now(), time.monotonic()
        content = message(delivery)
        signed = headers(webhook_actions.secrets_at(self._store.pepper, webhook, at), delivery.id, at, content)
        answered = post(
            webhook.url,
            {"Content-Type": "application/json", "User-Agent": "authserver-webhooks/1", **signed},
            content,
            allowed=self._allowed,
            context=self._context,
        )
        ended, next_at = now(), None
        if answered.error:
            spread = secrets.randbelow(_SPREADS) / _SPREADS
            wait = next_wait(delivery.attempts + 1, spread, answered.retry_after)
            next_at = None if wait is None else ended + wait
        outcome = Outcome(
            at=ended,
            milliseconds=int((time.monotonic() - began) * 1000),
            status=answered.status,
            error=answered.error,
            delivered=not answered.error,
            next_at=next_at,
        )
        self._store.outbox.record(delivery, outcome)
        if answered.error:
            level = logger().warning if next_at is not None else logger().error
            level(
                "webhook_failed" if next_at is not None else "webhook_given_up",
                webhook=webhook.id,
                delivery=delivery.id,
                attempt=delivery.attempts + 1,
                reason=answered.error,
            )
        return answered


def message(delivery: Delivery) -> bytes:
    """The body of a delivery: the same bytes at each attempt."""
    timestamp = datetime.fromtimestamp(delivery.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return body(delivery.type, timestamp, json.loads(delivery.data))
