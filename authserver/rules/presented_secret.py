"""The credentials that a caller presents: an id, and the keyed hash of the secret.

A malformed id or secret is refused before any look-up. Of a well-formed secret only the
keyed hash goes further into the services; the actions check it for each request.
"""

from dataclasses import dataclass

from authserver.rules.names import CLIENT_ID
from authserver.rules.secret_format import keyed_hash, well_formed


class MalformedSecret(ValueError):
    """An id or a secret that was torn or mistyped; ``reason`` says which, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, repr=False)
class PresentedSecret:
    """A caller, not authenticated. Has no repr, so it cannot be printed by accident."""

    client_id: str
    secret_hash: bytes


def presented_secret(client_id: str, secret: str, *, prefix: str, pepper: bytes) -> PresentedSecret:
    """Hash what a caller presented.

    Args:
        client_id: who it says it is.
        secret: what it proves that with.
        prefix: what secrets of its kind begin with.
        pepper: the key secrets are hashed with.

    Raises:
        MalformedSecret: no look-up can find it.
    """
    if not CLIENT_ID.fullmatch(client_id):
        raise MalformedSecret("malformed_client_id")
    if not well_formed(secret, prefix):
        raise MalformedSecret("malformed_secret")
    return PresentedSecret(client_id, keyed_hash(pepper, secret))
