"""The types of events that webhooks and mail tell, and the body of one.

Most follow from a change on record: the audit record commits with the change, so it is the outbox that no crash can
lose. The others follow from time alone (``credential.expiring``) or from what is seen (``secret.new_network``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from authserver.rules.facts import Instant

EVENT_TYPES: Final[Mapping[str, str]] = {
    "credential.expiring": "a credential expires in 30, 7 or 1 days",
    "credential.expired": "a credential has expired",
    "credential.unused": "an unused credential is disabled in 30, 7 or 1 days, or was disabled just now",
    "secret.regenerated": "a credential got a new secret",
    "secret.new_network": "a secret was used from a network it was never used from before",
    "secret.leaked": "a secret or a token was reported as leaked, and ended",
    "user.role_reduced": "a user lost a role, or was disabled",
    "signing_key.rotated": "another signing key signs from now on",
    "signing_key.compromised": "a signing key was declared compromised; its tokens are dead",
    "audit.chain_broken": "the chain of audit records does not hold",
    "webhook.test": "somebody asked for a test delivery",
}
"""Each type, and when it is raised."""

UNUSED: Final = "credential.unused"

WARNING_DAYS: Final = (30, 7, 1)
"""How many days ahead it is told that a credential expires, or will be switched off unused."""

_OF_CHANGES: Final[Mapping[str, str]] = {
    "credential.regenerated": "secret.regenerated",
    "credential.leak_reported": "secret.leaked",
    "credential.token_leak_reported": "secret.leaked",
    "user.role_revoked": "user.role_reduced",
    "user.disabled": "user.role_reduced",
    "role.deleted": "user.role_reduced",
    "key.activated": "signing_key.rotated",
    "key.rotated": "signing_key.rotated",
    "key.retired": "signing_key.rotated",
    "key.compromised": "signing_key.compromised",
    "credential.disabled": "credential.unused",
    "webhook.tested": "webhook.test",
}
"""Changes on record that are told, by their name in the audit."""

_HIDDEN: Final = frozenset({"peer", "client"})
"""Details that stay inside: from where a change was asked for is personal data of whoever asked."""

AUDIT_CHAIN: Final = "audit"
"""The object of events about the chain."""


@dataclass(frozen=True, slots=True)
class RaisedEvent:
    """Something to be told.

    ``object`` is what it happened to: of one object events are delivered in their order. ``key`` is unique: the same
    key raised again is the same event, and delivered once. ``client_id`` names the credential whose owner is told.
    """

    type: str
    object: str
    key: str
    at: Instant
    data: Mapping[str, Any]
    client_id: str = ""
    user_id: str = ""


def of_change(seq: int, at: Instant, event: str, target: str, detail: Mapping[str, Any]) -> RaisedEvent | None:
    """The event that an audit record is; None for one that is not told."""
    event_type = _OF_CHANGES.get(event)
    if event_type is None or _is_left_out(event, detail):
        return None
    data: dict[str, Any] = {name: value for name, value in detail.items() if name not in _HIDDEN}
    key = f"audit:{seq}"
    if event_type.startswith(("secret.", "credential.")):
        return RaisedEvent(event_type, target, key, at, {"client_id": target} | data, client_id=target)
    if event == "role.deleted":
        return RaisedEvent(
            event_type, str(detail.get("role", target)), key, at, {"change": event, "role": target} | data
        )
    if event_type == "user.role_reduced":
        user = str(detail.get("user", target))
        return RaisedEvent(event_type, user, key, at, data | {"change": event, "username": target}, user_id=user)
    if event_type == "webhook.test":
        return RaisedEvent(event_type, target, key, at, {"webhook_id": target})
    return RaisedEvent(event_type, target, key, at, {"change": event, "key": target} | data)


def _is_left_out(event: str, detail: Mapping[str, Any]) -> bool:
    """The first key of all rotates none; of what is disabled only that is told which the policy did."""
    if event == "key.activated":
        return bool(detail.get("first"))
    return event == "credential.disabled" and detail.get("reason") != "unused"


def expiry_event(client_id: str, expires_at: Instant, days: int, at: Instant) -> RaisedEvent:
    """A credential expires in ``days`` days; with 0 it has expired."""
    data: dict[str, Any] = {"client_id": client_id, "expires_at": expires_at}
    event_type = "credential.expiring" if days else "credential.expired"
    return RaisedEvent(
        event_type,
        client_id,
        f"expiry:{client_id}:{expires_at}:{days}",
        at,
        data | ({"days": days} if days else {}),
        client_id=client_id,
    )


def unused_event(
    client_id: str, last_used_at: Instant | None, disables_at: Instant, days: int, at: Instant
) -> RaisedEvent:
    """A credential is disabled in ``days`` days, if nobody uses it meanwhile."""
    data = {"client_id": client_id, "last_used_at": last_used_at, "disables_at": disables_at, "days": days}
    key = f"unused:{client_id}:{disables_at}:{days}"
    return RaisedEvent(UNUSED, client_id, key, at, data, client_id=client_id)


def network_event(client_id: str, secret_id: str, network: str, at: Instant) -> RaisedEvent:
    """A secret was used from a network for the first time, after it had been used from another one."""
    data = {"client_id": client_id, "secret_id": secret_id, "network": network}
    return RaisedEvent("secret.new_network", client_id, f"network:{secret_id}:{network}", at, data, client_id=client_id)


def chain_event(first_bad: int, fault: str, at: Instant) -> RaisedEvent:
    """The chain of audit records does not hold."""
    data = {"record": first_bad, "fault": fault}
    return RaisedEvent("audit.chain_broken", AUDIT_CHAIN, f"chain:{first_bad}", at, data)


def wanted(types: tuple[str, ...], event_type: str) -> bool:
    """Whether a subscription to ``types`` takes an event; one that names none takes every event."""
    return not types or event_type in types


def body(event_type: str, timestamp: str, data: Mapping[str, Any]) -> bytes:
    """What is sent, the same bytes each time: ``type``, ``timestamp`` and ``data`` (Standard Webhooks, payload)."""
    document = {"type": event_type, "timestamp": timestamp, "data": data}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
