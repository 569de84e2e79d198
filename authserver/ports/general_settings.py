"""The general settings, which an administrator may change while the server runs."""

from dataclasses import dataclass

from authserver.rules.facts import Instant

LEAST_RETENTION_SECONDS = 3600
"""A session stays on record that long behind its ``exp`` even where the setting says 0 days."""


def retention_seconds(days: int) -> int:
    """How long a session stays on record behind its ``exp``, by the setting ``session_retention_days``."""
    return max(days * 24 * 3600, LEAST_RETENTION_SECONDS)


@dataclass(frozen=True, slots=True)
class GeneralSettings:
    """What an administrator may change while the server runs, in minutes and days; and what earlier values killed."""

    idle_timeout_minutes: int
    max_token_lifetime_minutes: int
    max_credential_days: int
    max_credentials_per_user: int
    default_audience: str | None
    token_alg: str
    epoch: int
    used_since: Instant
    issued_since: Instant
    key_rotation_days: int = 0
    """How long a key signs; 0: until somebody rotates."""
    key_announcement_hours: int = 24
    key_patience_hours: int = 168
    post_quantum: int = 0
    """1: keys of RFC 9964 are in the one JWKS with the others, and tokens may be signed with them."""
    session_retention_days: int = 30
    """How long a session stays on record behind its ``exp``, for its owner to see why it ended."""
    client_secrets_allowed: int = 1
    """0: clients authenticate by a key; a secret gets no token any more."""
    bound_tokens_required: int = 0
    """1: tokens are issued only bound to a key of their holder (RFC 9449)."""
    self_rotation: int = 0
    """1: a client may rotate its own secret by the management API."""
    unused_disable_days: int = 0
    """After how many days without use a credential is disabled; 0: never."""
    secret_notice_days: int = 0
    """After how many days the console asks the owner of a secret to use a key instead; 0: never."""
    old_secret_silent_hours: int = 0
    """After how many hours without use an old secret ends, once its successor is in use; 0: when its overlap ends."""
    usage_retention_days: int = 400
    """How long counts of uses and of token requests are kept, by day."""
