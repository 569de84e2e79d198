"""Errors that actions and stores raise; ``code`` is the public error code, the text names the fix."""


class Unavailable(Exception):
    """The truth cannot be read or written now: answer 503, never "inactive" (INV-25)."""


class KeyGone(Unavailable):
    """A signing key retired between the facts that named it and the signature: read the facts again."""


class Refusal(Exception):
    """The caller may not have it. ``code`` is public; the text names the fix."""

    code = "refused"


class NotFound(Refusal):
    """Unknown, or of another owner: both have the same text (INV-09)."""

    code = "not_found"


class Conflict(Refusal):
    """True already, or taken."""

    code = "conflict"


class AlreadyDone(Conflict):
    """The form was sent before and had its effect then (INV-23); ``subject`` is what it made or changed."""

    def __init__(self, subject: str) -> None:
        super().__init__("This was done already; its secret was shown then and is not shown again.")
        self.subject = subject


class KeyReused(Conflict):
    """An idempotency key came again with another request: nothing is changed."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came before with another request; draw a new one for each request.")


class Invalid(Refusal):
    """A value that cannot be; the text names the right one."""

    code = "invalid"


class InvalidClient(Refusal):
    """Unknown, wrong, disabled and expired all look like this (INV-29); ``reason`` is the true cause, for the log."""

    code = "invalid_client"

    def __init__(self, reason: str) -> None:
        super().__init__("Unknown client, wrong secret, or the credential is disabled or expired.")
        self.reason = reason


class InvalidDpopProof(Refusal):
    """RFC 9449 §5: a proof of possession that is not good, or none and no certificate; ``reason`` is for the log."""

    code = "invalid_dpop_proof"

    def __init__(self, reason: str) -> None:
        super().__init__(_PROOFS.get(reason, "The DPoP proof is not good for this request; make a new one for each."))
        self.reason = reason


_PROOFS = {
    "no_proof": "The token must be bound: send a DPoP proof with each request, or come with a TLS client certificate.",
    "proof_time": "The iat of the DPoP proof is too old or in the future; set the clock of this machine right.",
    "proof_nonce": "Put the value of the DPoP-Nonce header into the proof as nonce, and send the request again.",
    "proof_uri": "The htu of the DPoP proof is not the address that this request was sent to.",
}
"""What helps an honest client; it tells nothing that its sender did not know."""


class UseDpopNonce(InvalidDpopProof):
    """RFC 9449 §8: the proof must hold this nonce; the client sends its request again with it."""

    code = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__("proof_nonce")
        self.nonce = nonce


class UnauthorizedClient(Refusal):
    """RFC 6749 §5.2: the client is who it says, but may not get a token in this way."""

    code = "unauthorized_client"


class TooManyRequests(Refusal):
    """RFC 6585 §4: the client is who it says, and its credential is held to fewer; ``wait`` is in seconds."""

    code = "temporarily_unavailable"

    def __init__(self, reason: str, wait: int) -> None:
        super().__init__(_LIMITS[reason])
        self.reason, self.wait = reason, wait


_LIMITS = {
    "rate_limited": "More token requests in a minute than this credential may send; use a token until it ends.",
    "sessions_full": "This credential has as many live sessions as it may have; use one of its tokens, or revoke one.",
}


class InvalidScope(Refusal):
    """A role was asked for that is not to be had, or none is left."""

    code = "invalid_scope"


class InvalidTarget(Refusal):
    """RFC 8707 §2: no registered resource server for that audience."""

    code = "invalid_target"


class InvalidGrant(Refusal):
    """RFC 7009 §2.1: the token was issued to another client."""

    code = "invalid_grant"
