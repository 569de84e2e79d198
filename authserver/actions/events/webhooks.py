"""Webhooks: where events are sent. Create, edit, rotate the secret, disable, enable, delete, test, replay.

The secret is told once, by the function that made it. It is derived and not kept (``rules/events/signature``).
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.ports.events.webhooks import Webhook
from authserver.ports.transaction import Transaction
from authserver.rules.events.addresses import url_fault
from authserver.rules.events.catalogue import EVENT_TYPES
from authserver.rules.events.signature import derived_secret
from authserver.rules.facts import Instant, Span, over
from authserver.rules.names import display_name_fault

MAX_WEBHOOKS = 50
OVERLAPS = (0, 3600, 24 * 3600, 7 * 24 * 3600)
"""Seconds for which deliveries are signed by the old secret as well."""

_FORMS = "webhooks"


@dataclass(frozen=True, slots=True, repr=False)
class RevealedWebhook:
    """A webhook with its secret, which is shown once. Has no repr, so it cannot be logged by accident."""

    webhook: Webhook
    secret: str


class WebhookChanged(Conflict):
    """The webhook was changed since the editor read it."""


def create(
    accounts: Accounts,
    url: str,
    *,
    pepper: bytes,
    actor: str,
    now: Instant,
    events: Sequence[str] = (),
    description: str = "",
    form_key: str | None = None,
) -> RevealedWebhook:
    """Let events be sent to ``url``; those of ``events``, or all.

    Raises:
        AlreadyDone: the form was sent before; ``subject`` is the webhook it made.
        Conflict: there are as many webhooks as there may be.
        Invalid: the URL, a type of event or the description cannot be.
    """
    _check(url, events, description)
    webhook = Webhook(
        id=f"wh_{uuid.uuid4().hex}",
        url=url,
        description=description,
        events=tuple(sorted(set(events))),
        created_at=now,
        disabled_at=None,
        generation=1,
        old_ends_at=None,
        version=1,
    )
    detail = {"url": url, "events": list(webhook.events)}
    with accounts.change(Event("webhook.created", actor, webhook.id, detail), now) as tx:
        if form_key is not None:
            tx.claim_form_key(_FORMS, form_key, webhook.id, now)
        if tx.webhooks.count() >= MAX_WEBHOOKS:
            msg = f"there are {MAX_WEBHOOKS} webhooks, which is the most; delete one that is not needed first"
            raise Conflict(msg)
        tx.webhooks.insert(webhook)
    return RevealedWebhook(webhook, derived_secret(pepper, webhook.id, webhook.generation))


def edit(
    accounts: Accounts,
    webhook_id: str,
    *,
    actor: str,
    now: Instant,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    seen: int | None = None,
) -> Webhook:
    """Change where it is sent, what is sent, or what it is called; ``seen`` is the version the editor was shown.

    Raises:
        WebhookChanged: it has another version than ``seen``.
        Invalid: nothing to change, or a value that cannot be.
        NotFound: no such webhook.
    """
    with _editing(accounts, "webhook.edited", webhook_id, actor, now) as (tx, before):
        if seen is not None and seen != before.version:
            msg = "it was changed meanwhile; look at it as it is now"
            raise WebhookChanged(msg)
        wanted = {
            "url": url,
            "events": None if events is None else tuple(sorted(set(events))),
            "description": description,
        }
        changed = {
            name: value for name, value in wanted.items() if value is not None and value != getattr(before, name)
        }
        if not changed:
            msg = "nothing to change; give another url, events or description"
            raise Invalid(msg)
        _check(
            before.url if url is None else url,
            before.events if events is None else events,
            before.description if description is None else description,
        )
        tx.detail(before={name: _plain(getattr(before, name)) for name in changed})
        tx.detail(after={name: _plain(value) for name, value in changed.items()})
        columns = {name: " ".join(value) if isinstance(value, tuple) else value for name, value in changed.items()}
        tx.webhooks.update(webhook_id, version=before.version + 1, **columns)
        return tx.webhooks.find(webhook_id)


def rotate(
    accounts: Accounts,
    webhook_id: str,
    overlap: Span,
    *,
    pepper: bytes,
    actor: str,
    now: Instant,
    form_key: str | None = None,
) -> RevealedWebhook:
    """Make a new secret; for ``overlap`` seconds deliveries carry a signature by the old one too.

    Raises:
        AlreadyDone: with a ``form_key`` that was used before; nothing is changed again (INV-23).
        Invalid: an overlap that is not offered.
        NotFound: no such webhook.
    """
    if overlap not in OVERLAPS:
        msg = "an overlap is 0, 1h, 24h or 7d"
        raise Invalid(msg)
    with _editing(accounts, "webhook.secret_rotated", webhook_id, actor, now) as (tx, before):
        if form_key is not None:
            tx.claim_form_key(_FORMS, form_key, webhook_id, now)
        tx.detail(overlap_seconds=overlap)
        tx.webhooks.update(
            webhook_id,
            generation=before.generation + 1,
            old_ends_at=now + overlap if overlap else None,
            version=before.version + 1,
        )
        webhook = tx.webhooks.find(webhook_id)
    return RevealedWebhook(webhook, derived_secret(pepper, webhook_id, webhook.generation))


def disable(accounts: Accounts, webhook_id: str, *, actor: str, now: Instant, reason: str = "") -> Webhook:
    """Send nothing any more; what is on its way waits, and what happens meanwhile is not told.

    Raises:
        Conflict: it is disabled already.
        NotFound: no such webhook.
    """
    return _switch(accounts, "webhook.disabled", webhook_id, now, actor=actor, now=now, reason=reason)


def enable(accounts: Accounts, webhook_id: str, *, actor: str, now: Instant) -> Webhook:
    """Send again, first what waits.

    Raises:
        Conflict: it is enabled already.
        NotFound: no such webhook.
    """
    return _switch(accounts, "webhook.enabled", webhook_id, None, actor=actor, now=now)


def delete(accounts: Accounts, webhook_id: str, *, actor: str, now: Instant) -> None:
    """Delete it with its deliveries; what is on its way is not sent any more.

    Raises:
        NotFound: no such webhook.
    """
    with _editing(accounts, "webhook.deleted", webhook_id, actor, now) as (tx, webhook):
        tx.detail(url=webhook.url)
        tx.webhooks.delete(webhook_id)


def test(accounts: Accounts, webhook_id: str, *, actor: str, now: Instant) -> None:
    """Send a ``webhook.test`` event to it, and to no other.

    Raises:
        Conflict: it is disabled.
        NotFound: no such webhook.
    """
    with _editing(accounts, "webhook.tested", webhook_id, actor, now) as (_tx, webhook):
        if webhook.disabled_at is not None:
            msg = "the webhook is disabled; enable it first"
            raise Conflict(msg)


def replay(accounts: Accounts, webhook_id: str, event_id: str, *, actor: str, now: Instant) -> None:
    """Send one event again, with the same ``webhook-id``.

    Raises:
        NotFound: no such webhook, or it never had that event.
    """
    with _editing(accounts, "webhook.replayed", webhook_id, actor, now) as (tx, _webhook):
        tx.detail(event=event_id)
        if not tx.webhooks.replay(webhook_id, event_id, now):
            msg = f"the webhook has no delivery {event_id!r}; `flask webhooks deliveries` shows them"
            raise NotFound(msg)


def replay_dead(accounts: Accounts, webhook_id: str, *, actor: str, now: Instant) -> int:
    """Send everything again that was given up; how many deliveries.

    Raises:
        Conflict: nothing was given up.
        NotFound: no such webhook.
    """
    with _editing(accounts, "webhook.replayed", webhook_id, actor, now) as (tx, _webhook):
        number = tx.webhooks.replay_dead(webhook_id, now)
        if not number:
            msg = "nothing of the webhook was given up"
            raise Conflict(msg)
        tx.detail(deliveries=number)
    return number


@contextmanager
def _editing(
    accounts: Accounts, name: str, webhook_id: str, actor: str, now: Instant
) -> Iterator[tuple[Transaction, Webhook]]:
    with accounts.change(Event(name, actor, webhook_id), now) as tx:
        yield tx, tx.webhooks.find(webhook_id)


def _switch(
    accounts: Accounts,
    name: str,
    webhook_id: str,
    disabled_at: Instant | None,
    *,
    actor: str,
    now: Instant,
    reason: str = "",
) -> Webhook:
    with _editing(accounts, name, webhook_id, actor, now) as (tx, before):
        if (before.disabled_at is None) == (disabled_at is None):
            msg = f"the webhook is {'enabled' if disabled_at is None else 'disabled'} already"
            raise Conflict(msg)
        if reason:
            tx.detail(reason=reason)
        tx.webhooks.update(webhook_id, disabled_at=disabled_at, version=before.version + 1)
        return tx.webhooks.find(webhook_id)


def secrets_at(pepper: bytes, webhook: Webhook, now: Instant) -> tuple[str, ...]:
    """The secrets that sign a delivery now: the newest, and the one before while it overlaps."""
    old = webhook.old_ends_at is not None and not over(now, webhook.old_ends_at)
    generations = (webhook.generation, webhook.generation - 1) if old else (webhook.generation,)
    return tuple(derived_secret(pepper, webhook.id, each) for each in generations)


def _check(url: str, events: Sequence[str], description: str) -> None:
    fault = url_fault(url)
    unknown = sorted(set(events) - set(EVENT_TYPES))
    if unknown:
        fault = f"there is no event {unknown[0]!r}; there are {', '.join(EVENT_TYPES)}"
    if description and display_name_fault(description):
        fault = "a description is up to 100 characters, none of them control, invisible or line-breaking ones"
    if fault:
        raise Invalid(fault)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
