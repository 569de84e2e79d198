"""The keyed hash of a token's text: the proof that this very text was recorded as issued (INV-33).

The session row keeps it. An introspection that finds the row by the unverified ``jti`` and compares in constant time
knows that these bytes were signed and recorded by this server: no signature check, on any node, without memory. The
key is derived from a secret that is sealed under the master key, so write access to the database forges nothing.
"""

import hashlib
import hmac
from binascii import b2a_base64
from functools import lru_cache
from typing import Any

NOT_RECORDED = ""
"""In a row that was made by a use before the issuing node recorded the token: no proof."""


def token_hash_key(pepper: bytes) -> bytes:
    """Derive the key; ``pepper`` is the store's, 32 bytes."""
    return hmac.digest(pepper, b"token hash 1", "sha256")


def token_hash(key: bytes, text: str) -> str:
    """HMAC-SHA-256 of an ASCII ``text``, in base64url without padding: 43 characters."""
    keyed_inner, keyed_outer = _states(key)
    inner, outer = keyed_inner.copy(), keyed_outer.copy()
    inner.update(text.encode("ascii"))
    outer.update(inner.digest())
    return b2a_base64(outer.digest(), newline=False).translate(_URL_SAFE)[:43].decode("ascii")


_BLOCK = 64
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


@lru_cache(maxsize=8)
def _states(key: bytes) -> tuple[Any, Any]:
    """The two hashes of HMAC after the key (RFC 2104 §2), to be copied.

    ``hmac.digest`` takes twice as long for a text as short as a token, and lets go of the interpreter's lock meanwhile.
    """
    padded = key.ljust(_BLOCK, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in padded) for pad in (0x36, 0x5C))
    return hashlib.sha256(inner), hashlib.sha256(outer)
