"""The OpenID Connect client of the console, by Authlib's Flask client; the only module here that imports it.

Code flow with PKCE, ``state``, ``nonce`` and the issuer's own name in the answer
(RFC 9207); who somebody is, is ``iss`` and ``sub``, never an e-mail address. The
provider is believed about people only: what it says it is reached at is held to
https, nothing it redirects to is followed, what it sends is bounded, and a slow
one is given up and left alone for a while, so that tokens never wait for it.
"""

import ipaddress
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import FlaskIntegration, FlaskOAuth2App
from authlib.integrations.requests_client import OAuth2Session
from flask import g, request
from joserfc.errors import JoseError
from requests import PreparedRequest, RequestException, Response

from authserver.console.openid.identity import (
    AuthorizationRequest,
    Identity,
    ProviderRefused,
    ProviderSettings,
    ProviderUnavailable,
    State,
)
from authserver.http_client import DeadlinePassed, within
from authserver.rules.outbound.public_addresses import is_public
from authserver.telemetry.outgoing import outgoing_request

READ_SECONDS: Final = 3.0
TOTAL_SECONDS: Final = 5.0
"""How long one question to the provider may take, whatever it does meanwhile."""

BACKOFF_SECONDS: Final = 10.0
"""How long a provider that failed is left alone."""

METADATA_SECONDS: Final = 3600.0
"""How long what it said about itself is believed."""

MAX_CONCURRENT: Final = 2
"""How many threads of a process may wait for it; the others serve tokens."""

MAX_BYTES: Final = 256 * 1024
LEEWAY_SECONDS: Final = 60
MAX_NAME: Final = 255
"""OpenID Connect Core §2: a subject is 255 ASCII characters at most."""

ALGORITHMS: Final = (
    "RS256",
    "PS256",
    "ES256",
    "Ed25519",
    "EdDSA",
    "RS384",
    "RS512",
    "PS384",
    "PS512",
    "ES384",
    "ES512",
)
_REQUIRED_METADATA: Final = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
_ISS_SUPPORTED: Final = "authorization_response_iss_parameter_supported"
_NAME: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
T = TypeVar("T")


class Provider:
    """One provider, from the settings."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._app = _ProviderClient(
            _StateFromCookie("console"),
            name="console",
            client_id=settings.client_id,
            client_secret=settings.client_secret or None,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid",
                "code_challenge_method": "S256",
                **({} if settings.client_secret else {"token_endpoint_auth_method": "none"}),
            },
        )
        self._app.issuer = settings.issuer
        self._down_until = 0.0

    @property
    def label(self) -> str:
        """What people call it."""
        return self.settings.label

    def create_authorization_request(self, redirect_uri: str, *, reauthenticate: bool = False) -> AuthorizationRequest:
        """Begin a sign-in; ``again`` asks the provider for a proof made now.

        Raises:
            ProviderUnavailable: it cannot be used now.
        """
        parameters = {"prompt": "login", "max_age": 0} if reauthenticate else {}

        def begin() -> AuthorizationRequest:
            made = self._app.create_authorization_url(redirect_uri, **parameters)
            url = made.pop("url")
            return AuthorizationRequest(url, {**made, "redirect_uri": redirect_uri})

        return self._call(begin)

    def fetch_identity(self, state: State) -> tuple[Identity, int | None]:
        """The identity in the current callback request, and when it was proved, where the provider says so.

        Raises:
            ProviderUnavailable: it cannot be used now.
            ProviderRefused: no identity was proved.
        """
        self._check_answer(state)
        g.provider_state = state
        claims_options = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
            "sub": {"essential": True},
            "nonce": {"essential": True, "value": state["nonce"]},
        }

        def fetch() -> Mapping[str, Any]:
            token = self._app.authorize_access_token(claims_options=claims_options, leeway=LEEWAY_SECONDS)
            found: Mapping[str, Any] | None = token.get("userinfo")
            if found is None:
                raise ProviderRefused("no_id_token")
            return found

        try:
            claims = self._call(fetch)
        except (OAuthError, JoseError, KeyError, TypeError) as error:
            raise ProviderRefused(_code(error)) from error
        subject, proved_at = claims.get("sub"), claims.get("auth_time")
        if not isinstance(subject, str) or len(subject) > MAX_NAME or not _NAME.fullmatch(subject):
            raise ProviderRefused("subject")
        # Authlib accepts the audience of another client where ``azp`` names this one.
        audience = claims.get("aud")
        if self.settings.client_id not in (audience if isinstance(audience, list) else [audience]):
            raise ProviderRefused("audience")
        return Identity(self.settings.issuer, subject), proved_at if isinstance(proved_at, int) else None

    def _check_answer(self, state: State) -> None:
        """Hold what came back through the browser to the rules, before anything is asked."""
        args = request.args
        if any(len(args.getlist(name)) > 1 for name in ("code", "state", "iss", "error")):
            raise ProviderRefused("parameter_twice")
        if args.get("state") != state["state"]:
            raise ProviderRefused("state")
        supported = self._call(self._app.load_server_metadata).get(_ISS_SUPPORTED)
        named = args.get("iss")
        if (named is None and supported is True) or (named is not None and named != self.settings.issuer):
            raise ProviderRefused("issuer_of_answer")
        if args.get("error"):
            raise ProviderRefused("denied")
        if not args.get("code"):
            raise ProviderRefused("no_code")

    def _call(self, call: Callable[[], T]) -> T:
        if time.monotonic() < self._down_until:
            raise ProviderUnavailable("left_alone")
        try:
            return call()
        except _Busy as error:
            raise ProviderUnavailable("busy") from error
        except (RequestException, _BadMetadata, ValueError, RuntimeError) as error:
            if isinstance(error, JoseError):
                raise
            self._down_until = time.monotonic() + BACKOFF_SECONDS
            raise ProviderUnavailable(_code(error)) from error


class _BadMetadata(Exception):
    """What the provider said about itself, or where it sends us, is against the rules."""


class _Busy(Exception):
    """Enough threads wait for it."""


class _StateFromCookie(FlaskIntegration):  # type: ignore[misc]  # Authlib is untyped
    """The state of a sign-in is where the view put it, opened from the browser's own cookie, and good once."""

    def get_state_data(self, _session: object, state: str) -> State | None:
        checked: State | None = g.get("provider_state")
        return checked if checked is not None and checked["state"] == state else None

    def clear_state_data(self, _session: object, _state: str) -> None:
        g.pop("provider_state", None)


class _BoundedSession(OAuth2Session):  # type: ignore[misc]  # Authlib is untyped
    """HTTP session with a deadline, a size limit and no redirects."""

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Send one request; no redirect is followed, and the time is over when it is over."""
        options |= {"timeout": READ_SECONDS, "allow_redirects": False, "stream": True}
        host = urlsplit(request.url or "").hostname or ""
        with outgoing_request(request.method or "", host) as headers:
            request.headers.update(headers)
            answer = _with_deadline(lambda: _bounded(super(_BoundedSession, self).send(request, **options)))
        if answer.is_redirect:
            raise _BadMetadata("redirect")
        return answer


class _ProviderClient(FlaskOAuth2App):  # type: ignore[misc]  # Authlib is untyped
    """Authlib's client; the metadata of the provider is checked, and cached for a limited time."""

    client_cls = _BoundedSession
    issuer = ""
    server_metadata: dict[str, Any]
    _loaded_at = 0.0

    def load_server_metadata(self) -> dict[str, Any]:
        now = time.monotonic()
        if self.server_metadata and now < self._loaded_at + METADATA_SECONDS:
            return self.server_metadata
        with self._get_session() as session:
            answer = session.request("GET", self._server_metadata_url, withhold_token=True)
        answer.raise_for_status()
        self.server_metadata = _checked(answer.json(), self.issuer)
        self._loaded_at = now
        return self.server_metadata


def _checked(metadata: object, issuer: str) -> dict[str, Any]:
    """What a provider says about itself, where it is fit (OpenID Connect Discovery §4.3)."""
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(name), str) for name in _REQUIRED_METADATA):
        raise _BadMetadata("metadata_incomplete")
    if metadata["issuer"] != issuer:
        raise _BadMetadata("metadata_of_another_issuer")
    if not all(_is_allowed_url(metadata[name], issuer) for name in _REQUIRED_METADATA[1:]):
        raise _BadMetadata("metadata_address")
    offered = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
    usable = [alg for alg in ALGORITHMS if isinstance(offered, list) and alg in offered]
    if not usable:
        raise _BadMetadata("metadata_algorithms")
    checked = {name: metadata[name] for name in _REQUIRED_METADATA}
    checked["id_token_signing_alg_values_supported"] = usable
    checked[_ISS_SUPPORTED] = metadata.get(_ISS_SUPPORTED)
    # Sent in the form where it offers that and not the header; Authlib's default is the header.
    methods = metadata.get("token_endpoint_auth_methods_supported")
    if isinstance(methods, list) and "client_secret_post" in methods and "client_secret_basic" not in methods:
        checked["token_endpoint_auth_method"] = "client_secret_post"  # noqa: S105 - the name of a method
    return checked


def _is_allowed_url(url: str, issuer: str) -> bool:
    """Whether an address a provider names may be gone to: https, and inside only if the provider itself is (T-161)."""
    try:
        target, issuer_parts = urlsplit(url), urlsplit(issuer)
        host, own = target.hostname or "", issuer_parts.hostname or ""
        _ = target.port
    except ValueError:
        return False
    if not host or "@" in target.netloc or target.fragment:
        return False
    if _is_internal_host(host) and host != own:
        return False
    return target.scheme == "https" or (
        target.scheme == "http" and issuer_parts.scheme == "http" and _is_internal_host(host)
    )


def _is_internal_host(host: str) -> bool:
    """Whether a host is a name or number of a place within; a name that merely resolves so has no certificate."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not is_public(ipaddress.ip_address(host))
    except ValueError:
        # All digits and dots, or hexadecimal, and yet no address: some resolvers read it as one.
        return re.fullmatch(r"(?:0[xX][0-9a-fA-F]+|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]+|[0-9]+))*\.?", host) is not None


_slots = threading.BoundedSemaphore(MAX_CONCURRENT)


def _with_deadline(call: Callable[[], Response]) -> Response:
    """Ask within the time limit, and no more at once than may."""
    if not _slots.acquire(blocking=False):
        raise _Busy
    try:
        return within(TOTAL_SECONDS, call, at_end=_slots.release)
    except DeadlinePassed as error:
        raise _BadMetadata("too_slow") from error


def _bounded(answer: Response) -> Response:
    """Read the body, unless there is too much of it."""
    body = bytearray()
    for piece in answer.iter_content(8192):
        body += piece
        if len(body) > MAX_BYTES:
            answer.close()
            raise _BadMetadata("too_much")
    answer._content = bytes(body)  # noqa: SLF001 - requests has no other way to give a body that was read
    return answer


def _code(error: BaseException) -> str:
    """A word for the log: the kind of fault, and its code where that is one of the standard's."""
    code = str(getattr(error, "error", "") or (error if isinstance(error, _BadMetadata) else ""))
    return f"{type(error).__name__}:{code}" if re.fullmatch(r"[a-z_]{1,40}", code) else type(error).__name__
