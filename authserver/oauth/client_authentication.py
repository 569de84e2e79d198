"""Who is calling: HTTP Basic, form body, signed assertion or TLS certificate; one face for every failure.

RFC 6749 §2.3, §2.3.1, RFC 7617 §2, RFC 7521 §4.2, RFC 8705 §2. What is presented is only read here; whether it is
right is judged by the verbs, together with everything else, in one statement.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from authserver.actions.preconditions.client_assertion import (
    MalformedAssertion,
    PresentedAssertion,
    presented_assertion,
)
from authserver.actions.preconditions.client_certificate import PresentedCertificate
from authserver.actions.preconditions.workload_token import PresentedWorkload, presented_token
from authserver.oauth.form import form_decode
from authserver.oauth.http import NO_STORE, BadRequest, Request, Response, dump
from authserver.oauth.proxies.client_certificate import MalformedCertificate, presented_certificate
from authserver.oauth.throttle import FailedAttempt
from authserver.rules.client_authentication.assertion import ASSERTION_TYPE
from authserver.rules.names import CLIENT_ID
from authserver.rules.presented_secret import MalformedSecret, PresentedSecret, presented_secret
from authserver.rules.secret_format import CREDENTIAL_PREFIX, RESOURCE_SERVER_PREFIX

MAX_HEADER = 4096
_HEADERS = (*NO_STORE, ("WWW-Authenticate", 'Basic realm="authserver", charset="UTF-8"'))

_ONE_WAY = "Authenticate in one way only: the Authorization header, a secret in the request body, or an assertion."
NOTHING = (
    "Authenticate with HTTP Basic, with client_id and client_secret in the request body, or with a client_assertion."
)
CLIENT = "Unknown client, wrong secret, or the credential is disabled or expired."
RESOURCE_SERVER = "Unknown resource server, wrong secret, or it is disabled."


class NoCredentials(ValueError):
    """Nothing, or nothing legible, was presented; ``reason`` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnusableCredentials(ValueError):
    """Something was presented that no look-up could find good; ``reason`` is for the log, ``claimed`` who it names."""

    def __init__(self, reason: str, claimed: str) -> None:
        super().__init__(reason)
        self.reason, self.claimed = reason, claimed


@dataclass(frozen=True, slots=True, repr=False)
class PresentedCredentials:
    """A client id and a secret, unproven. Has no repr, so it cannot be printed by accident."""

    client_id: str
    secret: str


def presented_credential(
    request: Request, form: Mapping[str, str], pepper: bytes
) -> PresentedSecret | PresentedAssertion | PresentedWorkload | PresentedCertificate:
    """Read the authentication of an application credential, also by the token of another issuer or by a certificate.

    Raises:
        BadRequest, NoCredentials, UnusableCredentials: as ``presented_client``.
    """
    if request.certificate and not _presents_more(request, form):
        return _by_certificate(request, form)
    if "client_assertion" not in form:
        return presented_client(request, form, prefix=CREDENTIAL_PREFIX, pepper=pepper)
    _check_assertion(request, form)
    try:
        return presented_token(form["client_assertion"], form.get("client_id", ""))
    except MalformedAssertion as error:
        raise UnusableCredentials(error.reason, error.claimed) from error


def _presents_more(request: Request, form: Mapping[str, str]) -> bool:
    """Whether anything but a certificate is presented; then the certificate only says what a token is bound to."""
    return bool(request.headers.get("authorization", "")) or bool({"client_secret", "client_assertion"} & form.keys())


def _by_certificate(request: Request, form: Mapping[str, str]) -> PresentedCertificate:
    """RFC 8705 §2: ``client_id`` says whose certificate it is.

    Raises:
        NoCredentials, UnusableCredentials: there is no ``client_id``, or either cannot be read.
    """
    client_id = form.get("client_id", "")
    if not client_id:
        raise NoCredentials("no_credentials")
    if not CLIENT_ID.fullmatch(client_id):
        raise UnusableCredentials("malformed_client_id", client_id)
    try:
        certificate = presented_certificate(request)
    except MalformedCertificate as error:
        raise UnusableCredentials("malformed_certificate", client_id) from error
    if certificate is None:
        raise NoCredentials("no_credentials")
    return PresentedCertificate(client_id, certificate)


def presented_client(
    request: Request, form: Mapping[str, str], *, prefix: str, pepper: bytes
) -> PresentedSecret | PresentedAssertion:
    """Read the client's authentication by secret or by assertion, and take apart what was presented.

    Args:
        request: what came.
        form: its parameters.
        prefix: what secrets of this kind of client begin with.
        pepper: the key secrets are hashed with.

    Raises:
        BadRequest: two mechanisms at once (RFC 6749 §2.3), two different client ids, a NUL, or an assertion without
            its type (RFC 7521 §4.2).
        NoCredentials: none, or one that cannot be read.
        UnusableCredentials: one that no look-up could find good.
    """
    try:
        if "client_assertion" in form:
            _check_assertion(request, form)
            return presented_assertion(form["client_assertion"], form.get("client_id", ""))
        who = presented_credentials(request, form)
        return presented_secret(who.client_id, who.secret, prefix=prefix, pepper=pepper)
    except MalformedSecret as error:
        raise UnusableCredentials(error.reason, who.client_id) from error
    except MalformedAssertion as error:
        raise UnusableCredentials(error.reason, error.claimed) from error


def _check_assertion(request: Request, form: Mapping[str, str]) -> None:
    if request.headers.get("authorization", "") or "client_secret" in form:
        raise BadRequest(_ONE_WAY)
    kind = form.get("client_assertion_type", "")
    if not kind:
        msg = "client_assertion_type is missing; it says what kind of assertion this is."
        raise BadRequest(msg)
    if kind != ASSERTION_TYPE:
        raise NoCredentials("unsupported_method")


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
        raise BadRequest(_ONE_WAY)
    if header:
        client_id, password = _basic(header)
        if form.get("client_id", client_id) != client_id:
            msg = "client_id in the body differs from the authenticated client."
            raise BadRequest(msg)
        return PresentedCredentials(client_id, password)
    if secret is None or "client_id" not in form:
        raise NoCredentials("unsupported_method" if "client_assertion" in form else "no_credentials")
    return PresentedCredentials(form["client_id"], secret)


def presented_resource_server(
    request: Request, pepper: bytes, header_name: str = "authorization"
) -> PresentedSecret | PresentedAssertion | Response:
    """Read the authentication of a resource server in a header, or make the 401 for one that nothing could find good.

    It is ``Basic`` with id and secret, or ``Bearer`` with an assertion that it signed (RFC 7523 §3): a request without
    a form has no ``client_assertion``.

    Args:
        request: what came.
        pepper: the key secrets are hashed with.
        header_name: the header that holds the credentials, in lower case.

    Raises:
        BadRequest: a NUL.
    """
    scheme, _, text = request.headers.get(header_name, "").partition(" ")
    try:
        if scheme.lower() == "bearer":
            return presented_assertion(text.strip(" "), "")
        who = presented_credentials(request, {}, header_name)
        return presented_secret(who.client_id, who.secret, prefix=RESOURCE_SERVER_PREFIX, pepper=pepper)
    except NoCredentials as error:
        return unauthenticated(error)
    except MalformedSecret as error:
        return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
    except MalformedAssertion as error:
        return invalid_client(error.reason, error.claimed, RESOURCE_SERVER)


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


def refused(error: NoCredentials | UnusableCredentials, text: str = CLIENT) -> Response:
    """401 for what ``presented_client`` raised; ``text`` names the kind of client."""
    if isinstance(error, NoCredentials):
        return unauthenticated(error)
    return invalid_client(error.reason, error.claimed, text)


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
