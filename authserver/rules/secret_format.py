"""What a secret looks like: ``acs_`` + 40 base62 characters + 6 of CRC-32.

The checksum is public; it only tells a torn or mistyped secret from a whole one
before any look-up. 40 base62 characters are 238 random bits.
"""

import hashlib
import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_LENGTH = 40
CHECKSUM_LENGTH = 6
CREDENTIAL_PREFIX = "acs"
RESOURCE_SERVER_PREFIX = "acv"
LOGIN_LINK_PREFIX = "acu"
_SHAPE = re.compile(r"(?P<prefix>[a-z]{3,6})_[0-9A-Za-z]{46}")
_PIECE = re.compile(rf"(?:{CREDENTIAL_PREFIX}|{RESOURCE_SERVER_PREFIX})_[0-9A-Za-z]{{8,}}")

MAX_LIVE_SECRETS = 2
OVERLAPS = (0, 3600, 24 * 3600, 7 * 24 * 3600)
"""Seconds an old secret may live on after a regeneration."""


def mint(prefix: str, choice: Callable[[str], str]) -> str:
    """Make a secret; ``choice`` draws one character and must be a CSPRNG."""
    text = f"{prefix}_" + "".join(choice(ALPHABET) for _ in range(BODY_LENGTH))
    return text + checksum(text)


def checksum(text: str) -> str:
    """CRC-32 (ISO-HDLC) of ``text`` as six base62 characters, zero-padded."""
    high, low = divmod(zlib.crc32(text.encode("ascii")), len(_PAIRS))
    high, middle = divmod(high, len(_PAIRS))
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
"""Each number below 62 * 62 as two characters."""


def well_formed(secret: str, prefix: str = CREDENTIAL_PREFIX) -> bool:
    """Whether ``secret`` is whole: right prefix, alphabet, length and checksum."""
    shape = _SHAPE.fullmatch(secret)
    if shape is None or shape["prefix"] != prefix:
        return False
    return checksum(secret[:-CHECKSUM_LENGTH]) == secret[-CHECKSUM_LENGTH:]


def masked(text: str) -> str:
    """A text of an unauthenticated caller, without what looks like a secret or the beginning of one (INV-11)."""
    return _PIECE.sub("[secret]", text)


def hint(secret: str) -> str:
    """What lists may show: prefix and the first four characters of the body."""
    return secret[: secret.index("_") + 5]


def keyed_hash(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA-256 of a secret; 238 random bits need no slow hash."""
    return hmac_sha256(pepper, secret.encode("utf-8", "surrogatepass"))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) under a key of 64 bytes at most that is used again and again.

    ``hmac.digest`` takes twice as long for a short message, and lets go of the interpreter's lock meanwhile.
    """
    keyed_inner, keyed_outer = _keyed_states(key)
    inner, outer = keyed_inner.copy(), keyed_outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest


_BLOCK = 64


@lru_cache(maxsize=8)
def _keyed_states(key: bytes) -> tuple[Any, Any]:
    """The two hashes after the key, to be copied."""
    if len(key) > _BLOCK:
        msg = "a key is 64 bytes at most"
        raise ValueError(msg)
    padded = key.ljust(_BLOCK, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in padded) for pad in (0x36, 0x5C))
    return hashlib.sha256(inner), hashlib.sha256(outer)
