"""Ids that are good once, on all nodes together: the ``jti`` of assertions and of proofs of possession."""

from typing import Protocol

from authserver.rules.facts import Instant


class OneTimeIds(Protocol):
    """What was used, for as long as it could be used again."""

    def claim(self, id_hash: str, expires_at: Instant, now: Instant) -> bool:
        """Use an id up, durably; of many at once, on any nodes, one gets True until ``expires_at``, and no other.

        Raises:
            Unavailable: it cannot be recorded, so nobody may rely on it.
        """
        ...

    def sweep(self, now: Instant) -> int:
        """Forget what could not be used any more; how many."""
        ...
