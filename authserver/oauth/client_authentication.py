"""Who is calling: HTTP Basic or form body, never both; one face for every failure.

RFC 6749 §2.3.1, RFC 7617 §2. What is presented is only read here; whether it is
right is judged by the verbs, together with everything else, in one statement.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from authserver.oauth.form import form_decode
from authserver.oauth.http import NO_STORE, BadRequest, Request, Response, dump
from authserver.oauth.throttle import FailedAttempt
from authserver.rules.names import CLIENT_ID

MAX_HEADER = 4096
_HEADERS = (*NO_STORE, ("WWW-Authenticate", 'Basic realm="authserver", charset="UTF-8"'))

NOTHING = "Authenticate with HTTP Basic, or with client_id and client_secret in the request body."
CLIENT = "Unknown client, wrong secret, or the credential is disabled or expired."
RESOURCE_SERVER = "Unknown resource server, wrong secret, or it is disabled."


class NoCredentials(ValueError):
    """Nothing, or nothing legible, was presented; ``reason`` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, repr=False)
class PresentedCredentials:
    """A client id and a secret, unproven. Has no repr, so it cannot be printed by accident."""

    client_id: str
    secret: str


def presented_credentials(
    request: Request, form: Mapping[str, str], header_name: str = "authorization"
) -> PresentedCredentials:
    """Read the client's authentication, from the header of this name or from the form.

    Raises:
        BadRequest: two mechanisms at once, two different client ids, or a NUL.
        NoCredentials: none, or one that cannot be read.
    """
    header = request.headers.get(header_name, "")
    secret = form.get("client_secret")
    if bool(header) + (secret is not None) + ("client_assertion" in form) > 1:
        msg = "Authenticate in one way only: the Authorization header or the request body."
        raise BadRequest(msg)
    if header:
        client_id, password = _basic(header)
        if form.get("client_id", client_id) != client_id:
            msg = "client_id in the body differs from the authenticated client."
            raise BadRequest(msg)
        return PresentedCredentials(client_id, password)
    if secret is None or "client_id" not in form:
        raise NoCredentials("unsupported_method" if "client_assertion" in form else "no_credentials")
    return PresentedCredentials(form["client_id"], secret)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise NoCredentials("unsupported_method")
    if len(header) > MAX_HEADER:
        raise NoCredentials("malformed_header")
    try:
        user, colon, password = base64.b64decode(encoded.strip(" "), validate=True).partition(b":")
    except (ValueError, binascii.Error) as error:
        raise NoCredentials("malformed_header") from error
    if not colon:
        raise NoCredentials("malformed_header")
    if b"\0" in user or b"\0" in password:
        msg = "The Authorization header holds a NUL character."
        raise BadRequest(msg)
    try:
        # RFC 6749 §2.3.1: both were form-encoded before they were put together.
        return form_decode(user), form_decode(password)
    except BadRequest as error:
        if isinstance(error.__cause__, UnicodeDecodeError):
            raise NoCredentials("malformed_header") from error
        raise


def unauthenticated(error: NoCredentials) -> Response:
    """401 for who presented nothing legible. A header that cannot be read looks like any other failure."""
    guessed = error.reason == "malformed_header"
    return _refused(CLIENT if guessed else NOTHING, error.reason, "" if guessed else None)


def invalid_client(reason: str, claimed: str, text: str = CLIENT) -> Response:
    """The one face: 401 with a challenge, whatever was wrong. The true ``reason`` is for the log alone."""
    return _refused(text, reason, claimed)


_BODIES = {
    text: dump({"error": "invalid_client", "error_description": text}) for text in (NOTHING, CLIENT, RESOURCE_SERVER)
}


def _refused(text: str, reason: str, claimed: str | None) -> Response:
    log_fields = {"outcome": "invalid_client", "reason": reason}
    if claimed and CLIENT_ID.fullmatch(claimed):
        log_fields["client"] = claimed
    failed_attempt = FailedAttempt("client", claimed) if claimed is not None else None
    return Response(401, _BODIES[text], headers=_HEADERS, log_fields=log_fields, failed_attempt=failed_attempt)
