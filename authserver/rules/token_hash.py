"""The keyed hash of a token's text: the proof that this very text was recorded as issued (INV-33).

The session row keeps it. An introspection that finds the row by the unverified ``jti`` and compares in constant time
knows that these bytes were signed and recorded by this server: no signature check, on any node, without memory. The
key is derived from a secret that is sealed under the master key, so write access to the database forges nothing.
"""

import base64
import hmac

NOT_RECORDED = ""
"""In a row that was made by a use before the issuing node recorded the token: no proof."""


def token_hash_key(pepper: bytes) -> bytes:
    """Derive the key; ``pepper`` is the store's, 32 bytes."""
    return hmac.digest(pepper, b"token hash 1", "sha256")


def token_hash(key: bytes, text: str) -> str:
    """HMAC-SHA-256 of an ASCII ``text``, in base64url without padding: 43 characters."""
    digest = hmac.digest(key, text.encode("ascii"), "sha256")
    return base64.urlsafe_b64encode(digest)[:43].decode("ascii")
