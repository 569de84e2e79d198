"""Private keys in the database, sealed under the master key."""

from keys.master import MasterKey
from keys.material import NewKey, PrivateKey, Signer, generate, reseal, seal, unseal


class DatabaseKeyStore:
    """Keys sealed under the master key; the ring's own row is the only copy."""

    name = "database"

    def __init__(self, master: MasterKey) -> None:
        self._master = master

    def make(self, alg: str) -> NewKey:
        """Make and seal a key."""
        return self.import_key(generate(alg), alg)

    def import_key(self, private: PrivateKey, alg: str) -> NewKey:
        """Seal a key."""
        return seal(private, alg, self._master)

    def signer(self, kid: str, alg: str, reference: bytes) -> Signer:
        """Unseal a key."""
        return unseal(kid, alg, reference, self._master)

    def destroy(self, reference: bytes) -> None:
        """Leave it to the ring, which empties the row in the same transaction."""

    def reseal(self, kid: str, reference: bytes) -> bytes | None:
        """Seal the row's value anew."""
        return reseal(kid, reference, self._master)
