"""The master key: never in the database, and the root of everything sealed there.

What is sealed carries its purpose as authenticated data, so a value sealed for
one use never opens for another.
"""

import base64
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"
_TO_URL = str.maketrans("+/", "-_")
_TEXT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=?")
"""32 bytes leave two bits of the last character unused; they are zero, so that a typing error there shows."""


class WrongMasterKey(ValueError):
    """The master key is malformed, or not the one this value was sealed under."""


class MasterKey:
    """Seals and opens values by AES-256-GCM under keys derived by HKDF-SHA-256."""

    __slots__ = ("_other", "_root")

    def __init__(self, text: str, other: str = "") -> None:
        """Take 32 bytes as 43 or 44 base64url or base64 characters.

        ``other`` opens as well and never seals: while one master key follows another, every node knows both.
        """
        self._root = _root_of(text)
        self._other = _root_of(other) if other else None

    def __repr__(self) -> str:
        """Show nothing."""
        return "MasterKey(***)"

    @staticmethod
    def fresh() -> str:
        """Make the text of a new master key."""
        return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode().rstrip("=")

    def seal(self, purpose: str, plain: bytes) -> bytes:
        """Encrypt ``plain`` for ``purpose``."""
        nonce = os.urandom(_NONCE_BYTES)
        return (
            _VERSION + nonce + AESGCM(_derive(self._root, purpose)).encrypt(nonce, plain, _VERSION + purpose.encode())
        )

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Decrypt what ``seal`` made for the same purpose.

        Raises:
            WrongMasterKey: another master key, another purpose, or altered bytes.
        """
        plain = self._opened(self._root, purpose, sealed)
        if plain is None and self._other is not None:
            plain = self._opened(self._other, purpose, sealed)
        if plain is None:
            msg = "the master key does not open this database; use the key it was made with"
            raise WrongMasterKey(msg)
        return plain

    def opens_alone(self, purpose: str, sealed: bytes) -> bool:
        """Whether a value is sealed under this key itself, so that the other one is not needed for it."""
        return self._opened(self._root, purpose, sealed) is not None

    def _opened(self, root: bytes, purpose: str, sealed: bytes) -> bytes | None:
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return AESGCM(_derive(root, purpose)).decrypt(nonce, text, sealed[:1] + purpose.encode())
        except (InvalidTag, ValueError):  # ValueError: cut shorter than a nonce
            return None

    def password(self, purpose: str) -> bytes:
        """A password for ``purpose``, for formats that bring their own encryption; 64 hexadecimal characters."""
        return _password(self._root, purpose)

    def subkey(self, purpose: str) -> bytes:
        """A key of 32 bytes for ``purpose``, for those who authenticate and do not encrypt."""
        return _derive(self._root, f"subkey:{purpose}")

    def passwords(self, purpose: str) -> tuple[bytes, ...]:
        """Every password that what was sealed for ``purpose`` may have: this key's first."""
        return tuple(_password(root, purpose) for root in (self._root, self._other) if root is not None)


def _root_of(text: str) -> bytes:
    cleaned = text.strip().translate(_TO_URL)
    if not _TEXT.fullmatch(cleaned):
        msg = f"the master key must be {KEY_BYTES} bytes in base64: 43 characters, or 44 with = at the end"
        raise WrongMasterKey(msg)
    return base64.urlsafe_b64decode(cleaned[:43] + "=")


def _password(root: bytes, purpose: str) -> bytes:
    return _derive(root, f"password:{purpose}").hex().encode()


def _derive(root: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(root)
