"""POST leaks: reports of secrets that were found, in the format of GitHub's secret scanning partner programme.

A report is believed by its signature (ECDSA, P-256, SHA-256, over the body as it came) under a key that the operator
has named. Whoever has none is refused alike, whatever the reason (INV-29), and before anything of the body is read.
"""

import base64
import hashlib
import json
from typing import Any

from authserver.actions.events.leaks import MAX_IDENTIFIER, MAX_TOKENS, OURS, FoundToken, report
from authserver.oauth.http import BadRequest, Request, Response, dump, error_response
from authserver.oauth.throttle import FailedAttempt
from authserver.oauth.verified_tokens import VerifiedTokens
from authserver.ports.accounts import Accounts
from authserver.ports.clock import Clock
from authserver.ports.events.leaks import LeakReads, LeakReporter
from authserver.ports.sessions import Sessions
from keys.detached_signature import verified

IDENTIFIER, SIGNATURE = "github-public-key-identifier", "github-public-key-signature"
_TEXT = "The report is not signed by a key that is known here."
_SHAPE = f"A report is a JSON array of at most {MAX_TOKENS} objects with token, type, url and source."
_MOST_TYPE = 64


class LeaksEndpoint:
    """Takes reports; a match ends the secret or the token before it is answered."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        leaks: LeakReads,
        sessions: Sessions,
        verified_tokens: VerifiedTokens,
        clock: Clock,
        pepper: bytes,
    ) -> None:
        self._accounts, self._leaks, self._sessions = accounts, leaks, sessions
        self._start_of, self._clock, self._pepper = verified_tokens.verified_start, clock, pepper

    def __call__(self, request: Request) -> Response:
        """POST leaks."""
        identifier = request.headers.get(IDENTIFIER, "")
        reporter = self._reporter(identifier, request.headers.get(SIGNATURE, ""), request.body)
        if reporter is None:
            shown = identifier if len(identifier) <= MAX_IDENTIFIER and identifier.isprintable() else ""
            response = error_response("invalid_client", _TEXT, 401, log_fields={"reason": "unsigned_report"})
            return response._replace(failed_attempt=FailedAttempt("client", f"leaks:{shown}"))
        texts = _texts(request.body)
        found = [FoundToken(each["token"], _text(each, "url"), _text(each, "source")) for each in texts]
        labels = report(
            *(self._accounts, self._leaks, found),
            sessions=self._sessions,
            start_of=self._start_of,
            pepper=self._pepper,
            reporter=reporter,
            now=self._clock.now(),
        )
        answer = [
            {
                "token_hash": base64.b64encode(
                    hashlib.sha256(each["token"].encode("utf-8", "surrogatepass")).digest()
                ).decode("ascii"),
                "token_type": _text(each, "type")[:_MOST_TYPE],
                "label": label,
            }
            for each, label in zip(texts, labels, strict=True)
        ]
        detail = f"{labels.count(OURS)} of {len(labels)}"
        return Response(200, dump(answer), log_fields={"outcome": "reported", "detail": detail})

    def _reporter(self, identifier: str, signature: str, body: bytes) -> LeakReporter | None:
        if not identifier or not signature or len(identifier) > MAX_IDENTIFIER or not identifier.isascii():
            return None
        reporter = self._leaks.reporter(identifier)
        return reporter if reporter is not None and verified(reporter.public_key, signature, body) else None


def _texts(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(_SHAPE) from None
    if not isinstance(found, list) or not 0 < len(found) <= MAX_TOKENS:
        raise BadRequest(_SHAPE)
    if not all(isinstance(each, dict) and isinstance(each.get("token"), str) for each in found):
        raise BadRequest(_SHAPE)
    return found


def _text(each: dict[str, Any], name: str) -> str:
    """A member that is a text; empty where it is something else, or holds what has no UTF-8."""
    value = each.get(name)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
