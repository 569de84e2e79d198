"""What authenticating a client needs beside the facts: ids that are good once, and the public keys of others."""

from typing import Protocol

from authserver.ports.errors import Unavailable
from authserver.rules.facts import Instant
from keys.key_sets import KeySet


class KeysUnavailable(Unavailable):
    """The keys are not known and cannot be fetched now; ``reason`` is a word for owner and log."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the keys of an issuer or client cannot be fetched: {reason}")
        self.reason = reason


class RemoteKeys(Protocol):
    """Keys that are published somewhere else; kept, so that most requests wait for nobody."""

    def of_issuer(self, issuer: str, kid: str = "") -> KeySet:
        """The keys of an issuer by discovery (OpenID Connect Discovery §4); ``kid`` is the one that is needed.

        Raises:
            KeysUnavailable: none are known, and they cannot be fetched.
        """
        ...

    def at(self, uri: str, kid: str = "") -> KeySet:
        """The keys at an address (RFC 7517 §5), as above."""
        ...


class OneTimeIds(Protocol):
    """The ``jti`` of assertions and of proofs, on all nodes together: what was used, while it could be again."""

    def claim(self, id_hash: str, expires_at: Instant, now: Instant, made_at: Instant | None = None) -> bool:
        """Use an id up, durably; of many at once, on any nodes, one gets True until ``expires_at``, and no other.

        ``made_at`` says when its assertion or proof was made, where that is known: a store that would forget claims
        when its machine fails takes nothing that was made before the machine started.

        Raises:
            Unavailable: it cannot be recorded, so nobody may rely on it.
        """
        ...

    def sweep(self, now: Instant) -> int:
        """Forget what could not be used any more; how many."""
        ...
