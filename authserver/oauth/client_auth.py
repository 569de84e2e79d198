"""Who is calling: HTTP Basic or form body, never both; one face for every failure.

RFC 6749 §2.3.1, RFC 7617 §2. What is presented is only read here; whether it is
right is judged by the verbs, together with everything else, in one statement.
"""

import base64
import binascii
from dataclasses import dataclass

from authserver.oauth.request import Ask, Malformed, Reply, form_decode, refusal

MAX_HEADER = 4096
CHALLENGE = ("WWW-Authenticate", 'Basic realm="authserver", charset="UTF-8"')


class NoCredentials(ValueError):
    """Nothing, or nothing legible, was presented."""


@dataclass(frozen=True, slots=True, repr=False)
class Presented:
    """A client id and a secret, unproven. Has no repr, so it cannot be printed by accident."""

    client_id: str
    secret: str
    method: str


def presented(ask: Ask, form: dict[str, str]) -> Presented:
    """Read the client's authentication.

    Raises:
        Malformed: two mechanisms at once, or two different client ids.
        NoCredentials: none, or one that cannot be read.
    """
    header = ask.headers.get("authorization", "")
    if not header:
        if "client_id" not in form or "client_secret" not in form:
            raise NoCredentials
        return Presented(form["client_id"], form["client_secret"], "client_secret_post")
    if "client_secret" in form or "client_assertion" in form:
        msg = "Authenticate in one way only: the Authorization header or the request body."
        raise Malformed(msg)
    client_id, secret = _basic(header)
    if form.get("client_id", client_id) != client_id:
        msg = "client_id in the body differs from the authenticated client."
        raise Malformed(msg)
    return Presented(client_id, secret, "client_secret_basic")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > MAX_HEADER:
        raise NoCredentials
    try:
        user, colon, password = base64.b64decode(encoded.strip(" "), validate=True).partition(b":")
        if not colon:
            raise NoCredentials
        return form_decode(user), form_decode(password)
    except (ValueError, binascii.Error) as error:
        raise NoCredentials from error


def invalid_client(text: str = "Unknown client, wrong secret, or the credential is disabled or expired.") -> Reply:
    """The one face: 401 with a challenge, whatever was wrong."""
    return refusal("invalid_client", text, 401, (CHALLENGE,))
