"""The keyed hash of a token's text: the proof that this very text was recorded as issued (INV-33).

The session row keeps it. An introspection that finds the row by the unverified ``jti`` and compares in constant time
knows that these bytes were signed and recorded by this server: no signature check, on any node, without memory. The
key is derived from a secret that is sealed under the master key, so write access to the database forges nothing.
"""

import hmac
from binascii import b2a_base64

from authserver.rules.secret_format import hmac_sha256

NOT_RECORDED = ""
"""In a row that was made by a use before the issuing node recorded the token: no proof."""


def token_hash_key(pepper: bytes) -> bytes:
    """Derive the key; ``pepper`` is the store's, 32 bytes."""
    return hmac.digest(pepper, b"token hash 1", "sha256")


def token_hash(key: bytes, text: str) -> str:
    """HMAC-SHA-256 of an ASCII ``text``, in base64url without padding: 43 characters."""
    digest = hmac_sha256(key, text.encode("ascii"))
    return b2a_base64(digest, newline=False).translate(_URL_SAFE)[:43].decode("ascii")


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
