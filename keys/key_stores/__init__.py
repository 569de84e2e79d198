"""Where private keys are kept: ``database`` (sealed), ``pem`` (a directory of files), ``pkcs11`` (a token or HSM)."""

from typing import Protocol

from keys.material import NewKey, PrivateKey, Signer


class KeyStore(Protocol):
    """Makes keys, opens them, and destroys them."""

    name: str
    """What the ring calls this key_store."""

    def make(self, alg: str) -> NewKey:
        """Make a key; ``ValueError`` when ``alg`` is not offered here."""
        ...

    def import_key(self, private: PrivateKey, alg: str) -> NewKey:
        """Take in a key made elsewhere; ``UnusableKey`` when it cannot."""
        ...

    def signer(self, kid: str, alg: str, reference: bytes) -> Signer:
        """Open a key; it has passed its self-test. ``UnusableKey`` when it cannot."""
        ...

    def destroy(self, reference: bytes) -> None:
        """Destroy the private part; nothing happens when it is gone already."""
        ...

    def reseal(self, kid: str, reference: bytes) -> bytes | None:
        """Seal it under the present master key; what the ring must remember now, None when nothing had to be done."""
        ...
