"""What a verifier is configured with, checked once; a bad value is refused with the sentence that mends it."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from resource_server.errors import ConfigurationError

Mode = Literal["exact", "leased", "feed"]
Unreachable = Literal["deny", "allow"]
ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
_TYPES = ("at+jwt", "JWT")
_MAX_TEXT = 2048
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
ENVIRONMENT = "RESOURCE_SERVER_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of a verifier; the times are whole seconds unless said otherwise.

    Raises:
        ConfigurationError: a value is missing, of the wrong kind or contradicts another.
    """

    issuer: str
    """The server's issuer identifier, as its metadata spells it (RFC 8414 §2)."""
    audience: str
    """The audience this API is registered with."""
    credentials: tuple[str, str] = field(repr=False)
    """The resource server's own client id and secret."""
    mode: Mode = "exact"
    """``exact``: ask for each call; ``leased``: trust an answer for as long as it allows; ``feed``: learn of ends."""
    max_staleness: int = 0
    """S: how old, at most, what a decision rests on may be; 0 in mode exact, at least 1 (leased) or 2 (feed)."""
    on_unreachable: Unreachable = "deny"
    """What happens when nothing newer than S can be had: 503, or go on with what was known last."""
    algorithms: tuple[str, ...] = ALGORITHMS
    """Signature algorithms that are accepted (RFC 8725 §3.1)."""
    token_typ: Literal["at+jwt", "JWT"] = "at+jwt"  # noqa: S105 - a media type
    """``typ`` of the tokens (RFC 9068 §4); ``JWT`` where the API is registered so."""
    max_token_lifetime: int = 43200 * 60
    """A token that claims to live longer is refused."""
    clock_skew: int = 30
    """How far in the future ``iat`` may lie; ``exp`` gets no leeway."""
    timeout: float = 5.0
    """Seconds that one request to the server may take, connecting included."""
    keys_stale: int = 300
    """How long keys may be used after their ``max-age`` while the server cannot be reached."""
    unknown_key_interval: int = 30
    """Seconds between two fetches of the keys because a token names an unknown one."""
    report_interval: float = 10.0
    """Seconds between two usage reports; each wait is 80 to 120 % of it."""
    cache_size: int = 10_000
    """How many verified tokens are remembered."""
    nonce_seconds: int = 0
    """How often the nonce changes that DPoP proofs must have (RFC 9449 §9), 60 for instance; 0: none is asked for."""
    resource: str = ""
    """The resource identifier to publish (RFC 9728 §2); default: the audience."""
    resource_metadata: str = ""
    """URL of this API's metadata for the challenge (RFC 9728 §5.1); default: from ``resource`` where that is a URL."""
    client_certificate_header: str = ""
    """In which your proxy writes the TLS certificate of each call, and deletes what its client sent (RFC 8705 §3)."""
    jwks_uri: str = ""
    introspection_endpoint: str = ""
    usage_endpoint: str = ""
    changes_endpoint: str = ""

    def __post_init__(self) -> None:
        _url("issuer", self.issuer)
        if self.issuer.endswith("/"):
            raise ConfigurationError(
                f"issuer ends with a slash; write it as the server's metadata does: {self.issuer.rstrip('/')}"
            )
        _text("audience", self.audience, "the audience this API was registered with, such as https://api.example.com")
        self._check_credentials()
        self._check_mode()
        _one_of("on_unreachable", self.on_unreachable, get_args(Unreachable))
        _one_of("token_typ", self.token_typ, _TYPES)
        algorithms: Any = self.algorithms  # whoever calls without a type checker may send anything
        if not isinstance(algorithms, tuple | list) or not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ConfigurationError(
                f"algorithms is a tuple of one or more of {', '.join(ALGORITHMS)}; others are unsafe or unknown here"
            )
        for name, low, high in (
            ("max_token_lifetime", 1, 10**9), ("clock_skew", 0, 300), ("keys_stale", 0, 86400),
            ("unknown_key_interval", 1, 3600), ("cache_size", 0, 10**7), ("nonce_seconds", 0, 3600),
        ):  # fmt: skip
            _check_whole_number(name, getattr(self, name), low, high)
        _number("timeout", self.timeout, 0.05, 60)
        _number("report_interval", self.report_interval, 0.05, 600)
        for name in ("jwks_uri", "introspection_endpoint", "usage_endpoint", "changes_endpoint"):
            if getattr(self, name):
                _url(name, getattr(self, name))
        if self.client_certificate_header and not _HEADER_NAME.fullmatch(self.client_certificate_header):
            raise ConfigurationError("client_certificate_header is the name of a header, such as Client-Cert")
        self._check_resource()

    def _check_credentials(self) -> None:
        pair: Any = self.credentials
        if not isinstance(pair, tuple | list) or len(pair) != 2:  # noqa: PLR2004 - an id and a secret
            raise ConfigurationError(
                "credentials is the pair (client_id, client_secret) that `flask resource-servers create` printed"
            )
        _text("credentials[0]", pair[0], "the client id of this resource server")
        _text("credentials[1]", pair[1], "the secret of this resource server", shown=False)
        if pair[1].startswith("acs_"):
            raise ConfigurationError(
                "credentials[1] is the secret of an application credential, which gets tokens;"
                " take the resource server's own, which `flask resource-servers create` printed"
            )

    def _check_mode(self) -> None:
        _one_of("mode", self.mode, get_args(Mode))
        lowest = {"exact": 0, "leased": 1, "feed": 2}[self.mode]
        _check_whole_number("max_staleness", self.max_staleness, 0, 86400)
        if self.mode == "exact" and self.max_staleness:
            raise ConfigurationError(
                'mode "exact" asks the server for each call, so max_staleness must be 0;'
                f' take mode "leased" or "feed" for max_staleness={self.max_staleness}'
            )
        if self.max_staleness < lowest:
            raise ConfigurationError(
                f'mode "{self.mode}" needs max_staleness of at least {lowest} (seconds that a dead token may live on);'
                ' take mode "exact" where no delay is allowed'
            )
        if self.mode == "exact" and self.on_unreachable == "allow":
            raise ConfigurationError(
                'on_unreachable="allow" has no meaning in mode "exact", which knows nothing but the server\'s answer;'
                ' take mode "leased" or "feed", or on_unreachable="deny"'
            )

    def _check_resource(self) -> None:
        for name in ("resource", "resource_metadata"):
            if getattr(self, name):
                _url(name, getattr(self, name))
        if self.resource and urlsplit(self.resource).query:
            raise ConfigurationError("resource has a query; RFC 9728 §1.2 wants an https URL without fragment or query")

    def endpoint(self, name: str) -> str:
        """URL of an endpoint: configured, else where the server has it behind its issuer."""
        paths = {
            "jwks_uri": "/.well-known/jwks.json", "introspection_endpoint": "/oauth/introspect",
            "usage_endpoint": "/oauth/usage", "changes_endpoint": "/oauth/changes",
        }  # fmt: skip
        return str(getattr(self, name)) or self.issuer + paths[name]


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read the settings from ``RESOURCE_SERVER_*`` variables, each also as ``*_FILE``.

    ``RESOURCE_SERVER_CLIENT_ID`` and ``RESOURCE_SERVER_CLIENT_SECRET`` are the credentials, ``…_ALGORITHMS`` is
    separated by commas, the others are named as the settings.

    Raises:
        ConfigurationError: an unknown name, a file that cannot be read, or text where a number is needed.
    """
    given = {k[len(ENVIRONMENT) :].lower(): v for k, v in (environ or os.environ).items() if k.startswith(ENVIRONMENT)}
    for name in [name for name in given if name.endswith("_file")]:
        given[name.removesuffix("_file")] = _read(name, given.pop(name))
    known = {each.name: each.type for each in fields(Settings)}
    values: dict[str, Any] = {"credentials": (given.pop("client_id", ""), given.pop("client_secret", ""))}
    for name, value in given.items():
        if name not in known or name == "credentials":
            raise ConfigurationError(
                f"{ENVIRONMENT}{name.upper()} is no setting; there are CLIENT_ID, CLIENT_SECRET, "
                + ", ".join(each.upper() for each in known if each != "credentials")
            )
        values[name] = _parsed(name, value, known[name])
    for name in ("issuer", "audience"):
        values.setdefault(name, "")
    return values


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{ENVIRONMENT}{name.upper()} names a file that cannot be read: {error}") from None


def _parsed(name: str, value: str, kind: object) -> object:
    if name == "algorithms":
        return tuple(each.strip() for each in value.split(","))
    try:
        return int(value) if kind is int else float(value) if kind is float else value
    except ValueError:
        raise ConfigurationError(f"{ENVIRONMENT}{name.upper()} is a number of seconds or items, not text") from None


def _text(name: str, value: object, expected: str, *, shown: bool = True) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} is missing; give {expected}")
    if value != value.strip():
        raise ConfigurationError(f"{name} begins or ends with a blank or line break; strip it where it is read")
    if len(value) > _MAX_TEXT or not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigurationError(
            f"{name} holds a blank or a character beyond printable ASCII, or is too long; give {expected}"
            + (f", not {value[:80]!r}" if shown else "")
        )


def _url(name: str, value: object) -> None:
    _text(name, value, "an https URL")
    try:
        parts = urlsplit(str(value))
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigurationError(f"{name} is no URL: {error}; give an https URL") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ConfigurationError(f"{name} must be an https URL with a host, not {str(value)[:80]!r}")
    if parts.scheme == "http" and not loopback(host):
        raise ConfigurationError(
            f"{name} is plain http to another machine, which anybody on the way can read and forge; use https"
        )
    if parts.username is not None or parts.fragment or (name == "issuer" and parts.query):
        raise ConfigurationError(f"{name} must have no user name, query or fragment")


def loopback(host: str) -> bool:
    """Whether a host is this machine itself, by its spelling alone (no look-up)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigurationError(f"{name} is one of {', '.join(map(repr, known))}, not {value!r}")


def _check_whole_number(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigurationError(f"{name} is a whole number from {low} to {high}, not {value!r}")


def _number(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigurationError(f"{name} is a number of seconds from {low} to {high}, not {value!r}")
