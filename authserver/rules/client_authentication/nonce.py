"""Nonces that a server asks for in proofs (DPoP, RFC 9449 §8, §9).

Made from the time and a key that all nodes share, so any node takes what another one gave, and nothing is stored. A
nonce is given for a window of time and taken for one window more. It says that a proof was made lately, whatever the
client's clock says; that a proof is used once, its ``jti`` says.
"""

import base64
import hmac
from typing import NamedTuple

from authserver.rules.facts import Instant, Span

_BYTES = 18


class Nonces(NamedTuple):
    """What makes and takes nonces: ``key``, and how many ``seconds`` each is given for."""

    key: bytes
    seconds: Span

    def current(self, now: Instant) -> str:
        """The nonce that is given now, in base64url: 24 characters (RFC 9449 §8.1)."""
        return self._of(now // self.seconds)

    def takes(self, nonce: object, now: Instant) -> bool:
        """Whether it was given in this window or the one before."""
        if not isinstance(nonce, str):
            return False
        given, window = nonce.encode("utf-8", "surrogatepass"), now // self.seconds
        return any(hmac.compare_digest(given, self._of(each).encode()) for each in (window, window - 1))

    def _of(self, window: int) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self.key, str(window).encode(), "sha256")[:_BYTES]).decode()


def nonces(pepper: bytes, purpose: str, seconds: Span) -> Nonces | None:
    """Derive the key for a purpose; None where no nonces are asked for.

    Args:
        pepper: the store's, 32 bytes, sealed under the master key: the same on all nodes, also while the master key is
            replaced node by node.
        purpose: a nonce for one is none for another (RFC 9449 §9).
        seconds: how long each is given for; 0: none.
    """
    return Nonces(hmac.digest(pepper, f"dpop nonce 1 {purpose}".encode(), "sha256"), seconds) if seconds else None
