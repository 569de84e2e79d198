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

    __slots__ = ("_root",)

    def __init__(self, text: str) -> None:
        """Take 32 bytes as 43 or 44 base64url or base64 characters."""
        cleaned = text.strip().translate(_TO_URL)
        if not _TEXT.fullmatch(cleaned):
            msg = f"the master key must be {KEY_BYTES} bytes in base64: 43 characters, or 44 with = at the end"
            raise WrongMasterKey(msg)
        self._root = base64.urlsafe_b64decode(cleaned[:43] + "=")

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
        return _VERSION + nonce + AESGCM(self._derive(purpose)).encrypt(nonce, plain, _VERSION + purpose.encode())

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Decrypt what ``seal`` made for the same purpose.

        Raises:
            WrongMasterKey: another master key, another purpose, or altered bytes.
        """
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return AESGCM(self._derive(purpose)).decrypt(nonce, text, sealed[:1] + purpose.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: cut shorter than a nonce
            msg = "the master key does not open this database; use the key it was made with"
            raise WrongMasterKey(msg) from error

    def password(self, purpose: str) -> bytes:
        """A password for ``purpose``, for formats that bring their own encryption; 64 hexadecimal characters."""
        return self._derive(f"password:{purpose}").hex().encode()

    def subkey(self, purpose: str) -> bytes:
        """A key of 32 bytes for ``purpose``, for those who authenticate and do not encrypt."""
        return self._derive(f"subkey:{purpose}")

    def _derive(self, purpose: str) -> bytes:
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(self._root)
