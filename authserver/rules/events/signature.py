"""Standard Webhooks 1.0: the secret of a webhook and the signature of a delivery.

The secret of each generation is derived from a key that is not in the database, so nothing that verifies or forges a
delivery is stored, and a dump of the database has none (INV-11).
"""

import base64
import hmac
from collections.abc import Sequence

from authserver.rules.facts import Instant

SECRET_PREFIX = "whsec_"  # noqa: S105 - how every such secret begins


def derived_secret(pepper: bytes, webhook_id: str, generation: int) -> str:
    """The secret of a webhook in one of its generations: ``whsec_`` and 32 bytes in base64."""
    key = hmac.digest(pepper, f"webhook secret 1 {webhook_id} {generation}".encode("ascii"), "sha256")
    return SECRET_PREFIX + base64.b64encode(key).decode("ascii")


def signature(secret: str, message_id: str, sent_at: Instant, body: bytes) -> str:
    """``v1,`` and HMAC-SHA-256 over id, instant and body, in base64."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{sent_at}.".encode("ascii") + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")


def headers(secrets: Sequence[str], message_id: str, sent_at: Instant, body: bytes) -> dict[str, str]:
    """The three headers of a delivery, with one signature for each secret that is good now."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(signature(secret, message_id, sent_at, body) for secret in secrets),
    }
