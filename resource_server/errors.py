"""The errors: wrong configuration, refused tokens, an unreachable server.

Each refusal knows its HTTP status and the ``error`` code of RFC 6750 §3.1. The text of a refusal is for the log of
the API; callers get the code and a description that says nothing about why a token is dead.
"""


class ConfigurationError(ValueError):
    """The verifier cannot start with this configuration; the text says how to repair it."""


class Refused(Exception):
    """The request must not be served.

    Attributes:
        status: HTTP status of the answer.
        error: code of RFC 6750 §3.1, or "" where the challenge must have none.
        description: ``error_description`` for the caller.
        reason: a short machine-readable word for logs and metrics; never sent.
    """

    status = 401
    error = "invalid_token"
    description = "The access token is not valid."

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class MissingToken(Refused):
    """No bearer token was sent: 401 without an ``error`` (RFC 6750 §3.1)."""

    error = ""
    description = ""

    def __init__(self) -> None:
        super().__init__("missing", "The request has no bearer token in its Authorization header.")


class InvalidRequest(Refused):
    """The Authorization header cannot be read, or tokens came in two ways (RFC 6750 §3.1)."""

    status = 400
    error = "invalid_request"
    description = "Send one access token, in one Authorization header: Bearer <token>."


class InvalidToken(Refused):
    """The token is malformed, forged, meant for somebody else, or dead (RFC 6750 §3.1)."""


class InvalidProof(Refused):
    """The token is bound to a key, and the proof of that key is not valid for this request (RFC 9449 §7.1)."""

    error = "invalid_dpop_proof"
    description = "The DPoP proof is not good for this call and token."


class UseNonce(InvalidProof):
    """The proof is good but for its nonce: the client sends the call again with this one (RFC 9449 §9).

    Attributes:
        nonce: for the header ``DPoP-Nonce`` of the answer.
    """

    error = "use_dpop_nonce"
    description = "The DPoP proof must have the nonce of the DPoP-Nonce header."

    def __init__(self, nonce: str) -> None:
        super().__init__("proof_nonce", "The DPoP proof has no nonce of ours, or one that is too old.")
        self.nonce = nonce


class InsufficientScope(Refused):
    """The token is good but lacks a role (RFC 6750 §3.1).

    Attributes:
        roles: the roles that the call needs.
    """

    status = 403
    error = "insufficient_scope"
    description = "The access token lacks a role that this call needs."

    def __init__(self, roles: tuple[str, ...]) -> None:
        super().__init__("insufficient_scope", f"The call needs {' '.join(roles)}.")
        self.roles = roles


class Unavailable(Refused):
    """The state of the token cannot be read now: 503, never a guess.

    Attributes:
        retry_after: seconds after which another try makes sense.
    """

    status = 503
    error = "temporarily_unavailable"
    description = "The access token cannot be checked now; try again."

    def __init__(self, reason: str, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(reason, detail)
        self.retry_after = retry_after
