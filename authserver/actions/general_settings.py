"""General settings: validate and change, and record what a change ends (PRODUCT.md §2.12)."""

import re
from dataclasses import asdict

from authserver.actions.preconditions.token_algorithms import require_usable_algorithm
from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.general_settings import GeneralSettings
from authserver.rules.facts import Instant
from authserver.rules.idle import used_since
from authserver.rules.lifetime import issued_since
from keys.keyring import ALGORITHMS, POST_QUANTUM

_NUMBER = re.compile("[0-9]{1,9}")


BOUNDS = {
    "idle_timeout_minutes": (1, 1440),
    "max_token_lifetime_minutes": (1, 43200),
    "max_credential_days": (1, 3650),
    "max_credentials_per_user": (1, 10_000),
    "key_rotation_days": (0, 3650),
    # An hour is far above what keys.rotation.SHORTEST_ANNOUNCEMENT asks.
    "key_announcement_hours": (1, 720),
    "key_patience_hours": (0, 2160),
    "post_quantum": (0, 1),
    "session_retention_days": (0, 365),
    "client_secrets_allowed": (0, 1),
    "bound_tokens_required": (0, 1),
    "self_rotation": (0, 1),
    "unused_disable_days": (0, 3650),
    "secret_notice_days": (0, 3650),
    "old_secret_silent_hours": (0, 168),
    "usage_retention_days": (1, 3650),
}

ENDS_TOKENS = ("idle_timeout_minutes", "max_token_lifetime_minutes")
"""Settings that end tokens when they are lowered."""


def _ended_by(name: str, before: GeneralSettings, now: Instant) -> dict[str, Instant]:
    """Column values that keep tokens dead which the old value had ended, asked about or not (INV-05)."""
    if name == "idle_timeout_minutes":
        return {"used_since": max(before.used_since, used_since(now, before.idle_timeout_minutes * 60))}
    if name == "max_token_lifetime_minutes":
        return {"issued_since": max(before.issued_since, issued_since(now, before.max_token_lifetime_minutes * 60))}
    if name == "unused_disable_days":
        return {"unused_policy_since": now}  # from here on the notice of the policy runs
    return {}


class ChangedMeanwhile(Conflict):
    """The setting was changed since the editor read it; ``value`` is its present value."""

    def __init__(self, value: str) -> None:
        super().__init__("Somebody else has changed this setting meanwhile.")
        self.value = value


def set_general(
    accounts: Accounts, name: str, value: str, *, actor: str, now: Instant, was: str | None = None
) -> GeneralSettings:
    """Change one general setting; it holds for live tokens at once.

    ``was`` is the value that the editor was shown; None skips the check.

    Raises:
        Invalid: no such setting, or a value out of bounds.
        ChangedMeanwhile: the present value is not ``was``.
        Conflict: it has that value already, or no key is active for the algorithm.
    """
    parsed = _parsed(accounts, name, value)
    with accounts.change(Event("settings.changed", actor, name), now) as tx:
        before = asdict(tx.general())[name]
        current = "" if before is None else str(before)
        if was not in {None, current}:
            raise ChangedMeanwhile(current)
        if before == parsed:
            msg = f"{name} is {value} already"
            raise Conflict(msg)
        if name == "token_alg":
            require_usable_algorithm(tx, value)
        if name == "post_quantum" and not parsed and tx.algorithms_in_use() & set(POST_QUANTUM):
            msg = "tokens are signed with ML-DSA; choose other algorithms first, then opt out"
            raise Conflict(msg)
        tx.detail(before=before, after=parsed)
        tx.update_settings(**{name: parsed}, **_ended_by(name, tx.general(), now))
        if name in ENDS_TOKENS:
            tx.append_revocation("settings", name, now, int(value))
        return tx.general()


def _parsed(accounts: Accounts, name: str, value: str) -> int | str | None:
    if name in BOUNDS:
        low, high = BOUNDS[name]
        if not _NUMBER.fullmatch(value) or not low <= int(value) <= high:
            msg = f"{name} is a whole number from {low} to {high}"
            raise Invalid(msg)
        return int(value)
    if name == "default_audience":
        registered = [server.audience for server in accounts.resource_servers() if server.disabled_at is None]
        if value and value not in registered:
            msg = f"default_audience is one of {', '.join(registered) or 'none: register a resource server first'}"
            raise Invalid(msg)
        return value or None
    if name == "token_alg":
        if value not in (*ALGORITHMS, *POST_QUANTUM):
            msg = f"token_alg is one of {', '.join((*ALGORITHMS, *POST_QUANTUM))}"
            raise Invalid(msg)
        return value
    msg = f"there is no setting {name!r}; there are {', '.join((*BOUNDS, 'default_audience', 'token_alg'))}"
    raise Invalid(msg)
