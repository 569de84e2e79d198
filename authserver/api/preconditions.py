"""Conditions of a change: ETag and If-Match (RFC 9110 §13), and Idempotency-Key.

An ETag names what can be edited of something, and not what moves by itself, such as the last use. It is compared
inside the transaction that makes the change, so of many edits of one version one succeeds.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from flask import request

from authserver.api.problems import Problem
from authserver.ports.transaction import IdempotencyKey

_TAG: Final = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e]*)"\s*')
_KEY: Final = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')
_ANY: Final = "*"


def etag_of(*state: object) -> str:
    """A strong ETag, with its quotes, of plain JSON values."""
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return f'"{base64.urlsafe_b64encode(digest[:15]).decode("ascii")}"'


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the headers of a request say about its change."""

    if_match: str
    raw_key: str | None
    fingerprint: str

    @classmethod
    def requested(cls) -> "Conditions":
        """Of the current request."""
        parts = (request.method.encode(), request.path.encode("utf-8", "surrogatepass"), request.get_data(cache=True))
        digest = hashlib.sha256(b"\n".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        return cls(request.headers.get("If-Match", ""), request.headers.get("Idempotency-Key"), digest)

    def require_if_match(self) -> None:
        """Refuse an edit that does not say what it edits.

        Raises:
            Problem: If-Match is missing, or no list of ETags.
        """
        if not self.if_match:
            raise Problem(
                "precondition_required", "Send If-Match with the ETag that you read, or * for whatever it is."
            )
        if self.if_match.strip() != _ANY and not all(map(_TAG.fullmatch, self.if_match.split(","))):
            raise Problem("invalid_request", "If-Match is * or a list of ETags in quotation marks.")

    def matches(self, etag: str) -> bool:
        """Whether If-Match names this ETag; a weak one never matches (RFC 9110 §13.1.1)."""
        if self.if_match.strip() == _ANY:
            return True
        return etag in {each.strip() for each in self.if_match.split(",")}

    def idempotency_key(self, scope: str) -> IdempotencyKey | None:
        """The key of the request within ``scope``; None where it has none.

        Raises:
            Problem: the header is no key.
        """
        if self.raw_key is None:
            return None
        found = _KEY.fullmatch(self.raw_key.strip())
        if found is None:
            raise Problem("invalid_request", "An Idempotency-Key is 1 to 255 visible ASCII characters.")
        return IdempotencyKey(scope, found[1], self.fingerprint)
