"""Every setting of the process, typed; an unknown ``AUTHSERVER_*`` name is refused.

One module, because whoever runs the server reads it as the one list of settings.

pydantic checks the values; reading the environment is ours because every name
may also be given as ``NAME_FILE`` and unknown names must not pass in silence.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from keys.certificates import Authorities, UnusableCertificate
from keys.master import MasterKey, WrongMasterKey

PREFIX = "AUTHSERVER_"
_MAX_PORT = 65535
_SCHEMES = ("sqlite:///", "postgresql://")
_POSTGRESQL = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OTHER_HEADERS = frozenset(
    {"authorization", "dpop", "cookie", "host", "content-type", "content-length", "transfer-encoding", "user-agent"}
    | {f"x-forwarded-{name}" for name in ("for", "proto", "host", "uri", "method")}
)
_MAKE_KEY = "make one with `openssl rand -base64 32`"


class InvalidConfig(ValueError):
    """The environment cannot be used; the text names each variable and its fix."""


class Config(BaseModel):
    """What ``AUTHSERVER_<NAME>`` in upper case sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: Annotated[
        str,
        Field(
            description="`sqlite:////path` or `postgresql://user@host/name`; empty: `instance/authserver.db`",
            repr=False,
        ),
    ] = ""
    issuer: Annotated[
        str,
        Field(description="issuer identifier, an https URL; empty: `http://` and the bind address, on loopback only"),
    ] = ""
    database_pooler: Annotated[
        Literal["auto", "transaction"],
        Field(
            description="`transaction`: a pooler gives each transaction another connection, so nothing is kept on one; "
            "`auto`: found out at start"
        ),
    ] = "auto"
    bind: Annotated[str, Field(description="`host:port` to listen on; an IPv6 host in brackets")] = "127.0.0.1:8000"
    workers: Annotated[int, Field(ge=1, le=64, description="server processes")] = 1
    threads: Annotated[
        int,
        Field(
            ge=0,
            le=64,
            description="threads per process, each with a database connection of its own; "
            "0: 4, and 8 with PostgreSQL, for which they wait longer",
        ),
    ] = 0
    master_key: Annotated[
        SecretStr,
        Field(
            description="32 bytes in base64 that seal everything secret; "
            "empty: made in `instance/master.key`, on SQLite only"
        ),
    ] = SecretStr("")
    other_master_key: Annotated[
        SecretStr, Field(description="opens as well and never seals: the one before, or the one to come")
    ] = SecretStr("")
    key_store: Annotated[
        Literal["database", "pem", "pkcs11"],
        Field(description="where new signing keys are kept: `database`, `pem` or `pkcs11`"),
    ] = "database"
    pkcs11_module: Annotated[str, Field(description="path of the PKCS #11 library of the token")] = ""
    pkcs11_token: Annotated[str, Field(description="label of the token")] = ""
    pkcs11_pin: Annotated[SecretStr, Field(description="user PIN of the token")] = SecretStr("")
    state_directory: Annotated[
        str,
        Field(description="where this machine keeps key files, and how new the database was; empty: `instance/`"),
    ] = ""
    migrate: Annotated[bool, Field(description="bring the schema up to date at start; off: refuse an older one")] = True
    demo: Annotated[bool, Field(description="make demo data on an empty embedded database on loopback")] = True
    trusted_proxies: Annotated[
        str,
        Field(description="networks whose `X-Forwarded-Proto` and `X-Forwarded-For` are believed, comma-separated"),
    ] = ""
    client_cert_header: Annotated[
        str,
        Field(
            description="header in which those proxies write the TLS certificate of a client, such as `Client-Cert`; "
            "empty: mTLS is off"
        ),
    ] = ""
    client_ca: Annotated[
        str,
        Field(
            description="PEM of the authorities whose certificates name clients (`tls_client_auth`), mostly given as "
            "`AUTHSERVER_CLIENT_CA_FILE`; empty: only registered certificates count"
        ),
    ] = ""
    mtls_url: Annotated[
        str,
        Field(
            description="https URL that stands for the issuer where clients are asked for a certificate, published as "
            "`mtls_endpoint_aliases`; empty: they are asked at the issuer"
        ),
    ] = ""
    metrics_peers: Annotated[str, Field(description="networks that may read `/metrics`, comma-separated")] = (
        "127.0.0.0/8,::1/128"
    )
    fetch_networks: Annotated[
        str,
        Field(
            description="networks that keys of trusted issuers and of clients may be fetched from, beside public "
            "addresses, comma-separated"
        ),
    ] = ""
    push_networks: Annotated[
        str,
        Field(
            description="networks beside public addresses that security events may be pushed to, comma-separated; "
            "on loopback also by `http`"
        ),
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="least level that is logged; `warning` leaves out requests that were answered as asked"),
    ] = "info"

    log_format: Annotated[
        Literal["auto", "json", "text"],
        Field(description="log lines as `json`, or as short `text`; `auto`: text on a terminal, JSON elsewhere"),
    ] = "auto"
    publish_scopes: Annotated[
        bool,
        Field(description="name all operational roles in the metadata, which anybody may read, as `scopes_supported`"),
    ] = False
    smtp_server: Annotated[
        str, Field(description="`host:port` that mail about events is handed in at; empty: no mail is sent")
    ] = ""
    smtp_tls: Annotated[
        Literal["starttls", "tls", "none"],
        Field(description="`starttls` (port 587), `tls` from the first byte (465), or `none` on a trusted network"),
    ] = "starttls"
    smtp_user: Annotated[str, Field(description="user name there; empty: without signing in")] = ""
    smtp_password: Annotated[SecretStr, Field(description="password there")] = SecretStr("")
    mail_from: Annotated[str, Field(description="address that mail is sent from")] = ""
    mail_security: Annotated[
        str, Field(description="addresses of the security team, comma-separated; empty: only owners are mailed")
    ] = ""
    mail_language: Annotated[
        Literal["en", "de"], Field(description="language of mail to the security team, and to who has chosen none")
    ] = "en"
    webhook_networks: Annotated[
        str,
        Field(
            description="private networks that webhooks may be sent to, also by plain http, comma-separated; "
            "all others get https to public addresses only"
        ),
    ] = ""
    dpop_nonce_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=3600,
            description="how often the nonce changes that DPoP proofs must have, 60 for instance; 0: none is asked for",
        ),
    ] = 0
    api_requests_per_minute: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="requests to `/api/v1` that a credential may send to a process; 0: any number",
        ),
    ] = 1200
    oidc_issuer: Annotated[
        str, Field(description="issuer of an OpenID Connect provider people may sign in to the console with")
    ] = ""
    oidc_client_id: Annotated[str, Field(description="this server's client id at that provider")] = ""
    oidc_client_secret: Annotated[
        SecretStr, Field(description="this server's secret at that provider; empty: a public client")
    ] = SecretStr("")
    oidc_label: Annotated[str, Field(max_length=40, description="what people call that provider")] = "single sign-on"

    @property
    def serving_threads(self) -> int:
        """How many threads a process serves with."""
        return self.threads or (8 if self.database_url.startswith("postgresql") else 4)

    @property
    def host(self) -> str:
        """The host part of ``bind``, without brackets."""
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of ``bind``."""
        return int(self.bind.rpartition(":")[2])

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return _is_loopback(self.host)

    @property
    def embedded(self) -> bool:
        """Whether the database is a SQLite file of this machine."""
        return not self.database_url or self.database_url.startswith("sqlite:")

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        # Cloud providers print either spelling; SQLAlchemy wants the driver named.
        value = _POSTGRESQL.sub("postgresql+psycopg://", value, count=1) if _POSTGRESQL.match(value) else value
        if value and not value.startswith(("sqlite:///", "postgresql+psycopg://")):
            msg = f"must begin with {' or '.join(_SCHEMES)}"
            raise ValueError(msg)
        if value.startswith("sqlite:") and value.removeprefix("sqlite:///") in {"", ":memory:"}:
            msg = "must name a file, such as sqlite:////var/lib/authserver/authserver.db"
            raise ValueError(msg)
        if value.startswith("postgresql") and not _legible(value):
            msg = "cannot be read; percent-encode what is special in user and password, and give the port as a number"
            raise ValueError(msg)
        return value

    @field_validator("bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not _HOST.fullmatch(host) or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= _MAX_PORT:
            msg = "must be host:port, such as 127.0.0.1:8000 or [::1]:8000"
            raise ValueError(msg)
        return value

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        if not value:
            return value
        if not _is_base_url(value):
            msg = "must be an https URL without user, query, fragment or trailing slash (RFC 8414 section 2)"
            raise ValueError(msg)
        parts = urlsplit(value)
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            msg = "must begin with https://; plain http is for loopback only"
            raise ValueError(msg)
        return value

    @field_validator("client_cert_header")
    @classmethod
    def _client_cert_header(cls, value: str) -> str:
        if value and (not _HEADER_NAME.fullmatch(value) or value.lower() in _OTHER_HEADERS):
            msg = "must be the name of a header that means nothing else, such as Client-Cert"
            raise ValueError(msg)
        return value

    @field_validator("client_ca")
    @classmethod
    def _client_ca(cls, value: str) -> str:
        if value:
            try:
                Authorities(value)
            except UnusableCertificate as error:
                msg = f"cannot be used: {error}"
                raise ValueError(msg) from None
        return value

    @field_validator("mtls_url")
    @classmethod
    def _mtls_url(cls, value: str) -> str:
        if value and not (value.startswith("https://") and _is_base_url(value)):
            msg = "must be an https URL with a host, without user, query, fragment or trailing slash"
            raise ValueError(msg)
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _oidc_issuer(cls, value: str) -> str:
        if not value:
            return value
        if not _legible(value) or not re.fullmatch(r"https?://[!-~]+", value) or set(value) & set("?#@"):
            msg = "must be the https URL that the provider's ID tokens name as `iss`"
            raise ValueError(msg)
        parts = urlsplit(value)
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            msg = "must begin with https://; plain http is for loopback only"
            raise ValueError(msg)
        return value

    @field_validator("trusted_proxies", "metrics_peers", "fetch_networks", "webhook_networks", "push_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for text in filter(None, (piece.strip() for piece in value.split(","))):
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                msg = f"{text!r} is no network; write for example 10.0.0.0/8 or 192.0.2.7"
                raise ValueError(msg) from None
        return value

    @field_validator("master_key", "other_master_key")
    @classmethod
    def _master_key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            try:
                MasterKey(value.get_secret_value())
            except WrongMasterKey:
                msg = f"must be 32 bytes in base64; {_MAKE_KEY}"
                raise ValueError(msg) from None
        return value

    @field_validator("smtp_server")
    @classmethod
    def _smtp_server(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        fine = _HOST.fullmatch(host) and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) <= _MAX_PORT
        if value and not fine:
            msg = "must be host:port, such as smtp.example.com:587"
            raise ValueError(msg)
        return value

    @field_validator("mail_from", "mail_security")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for text in filter(None, (piece.strip() for piece in value.split(","))):
            if not _MAIL.fullmatch(text):
                msg = f"{text[:100]!r} is no address; write for example security@example.com"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _together(self) -> "Config":
        if self.smtp_server and not self.mail_from:
            msg = f"{PREFIX}SMTP_SERVER needs {PREFIX}MAIL_FROM, the address that mail is sent from"
            raise ValueError(msg)
        if self.client_cert_header and not self.trusted_proxies:
            msg = f"{PREFIX}CLIENT_CERT_HEADER needs {PREFIX}TRUSTED_PROXIES, from which alone it is believed"
            raise ValueError(msg)
        if (self.client_ca or self.mtls_url) and not self.client_cert_header:
            msg = f"{PREFIX}CLIENT_CA and {PREFIX}MTLS_URL need {PREFIX}CLIENT_CERT_HEADER; give it, or none of them"
            raise ValueError(msg)
        if self.smtp_user and self.smtp_tls == "none":
            msg = f"{PREFIX}SMTP_USER needs {PREFIX}SMTP_TLS=starttls or tls: a password is not sent in the clear"
            raise ValueError(msg)
        if not self.issuer and not self.on_loopback:
            msg = f"{PREFIX}ISSUER is needed when {PREFIX}BIND is not on loopback; give the https URL clients use"
            raise ValueError(msg)
        if self.key_store == "pkcs11" and not (self.pkcs11_module and self.pkcs11_token):
            msg = f"{PREFIX}KEY_STORE=pkcs11 needs {PREFIX}PKCS11_MODULE, {PREFIX}PKCS11_TOKEN and {PREFIX}PKCS11_PIN"
            raise ValueError(msg)
        if bool(self.oidc_issuer) != bool(self.oidc_client_id):
            msg = f"{PREFIX}OIDC_ISSUER and {PREFIX}OIDC_CLIENT_ID are needed together; give both or neither"
            raise ValueError(msg)
        if not self.embedded and not self.master_key.get_secret_value():
            msg = f"{PREFIX}MASTER_KEY is needed with PostgreSQL, the same on every node; {_MAKE_KEY}"
            raise ValueError(msg)
        return self


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Parse a checked, comma-separated list of networks."""
    return tuple(ipaddress.ip_network(piece.strip(), strict=False) for piece in text.split(",") if piece.strip())


_NAMES = {PREFIX + field.upper(): field for field in Config.model_fields}


def load(environ: Mapping[str, str] = os.environ) -> Config:
    """Read the environment.

    Raises:
        InvalidConfig: an unknown name, a value that cannot be, or a file that cannot be read.
    """
    values: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        key, text = _NAMES.get(name, ""), value
        if not key and name.endswith("_FILE"):
            key = _NAMES.get(name.removesuffix("_FILE"), "")
            text = _read(name, value) if key else ""
        if not key:
            raise InvalidConfig(_unknown(name))
        if key in values:
            msg = f"{PREFIX}{key.upper()} is given twice, as itself and as {PREFIX}{key.upper()}_FILE; keep one"
            raise InvalidConfig(msg)
        values[key] = text
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InvalidConfig("; ".join(_fault(each) for each in error.errors())) from None


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        msg = f"{name} names a file that cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        raise InvalidConfig(msg) from error


def _unknown(name: str) -> str:
    known = [*_NAMES, *(f"{each}_FILE" for each in _NAMES)]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown setting {name}; {hint}known are {', '.join(_NAMES)}, each also with _FILE"


def _fault(error: ErrorDetails) -> str:
    """One sentence; pydantic's own texts never hold the value, only what was expected."""
    where, text = "_".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
    if error["type"].startswith("bool_"):
        text = "must be 1 or 0"
    elif where in {"workers", "threads"}:
        text = f"must be a whole number from {int(where == 'workers')} to 64"
    return f"{PREFIX}{where.upper()}: {text}" if where else text


def _legible(url: str) -> bool:
    """Whether a URL has the parts of a URL; the error does not quote it, since it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return port != 0 and "@" not in parts.path


def _is_base_url(url: str) -> bool:
    """Whether paths can be put behind a URL: it has a host, and no user, query, fragment or trailing slash."""
    if not _legible(url) or not re.fullmatch(r"https?://[!-~]*[!-.0-~]", url) or set(url) & set("?#@"):
        return False
    return bool(urlsplit(url).hostname)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
