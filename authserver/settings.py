"""Every setting of the process, typed; an unknown ``AUTHSERVER_*`` name is refused.

pydantic checks the values; reading the environment is ours because every name
may also be given as ``NAME_FILE`` and unknown names must not pass in silence.
"""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

PREFIX = "AUTHSERVER_"
_MAX_PORT = 65535
_SCHEMES = ("sqlite:///", "postgresql+psycopg://")


class BadSettings(ValueError):
    """The environment cannot be used; the text names each variable and its fix."""


class Settings(BaseModel):
    """What ``AUTHSERVER_<NAME>`` in upper case sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: Annotated[
        str,
        Field(description="`sqlite:///path` or `postgresql+psycopg://user@host/name`; empty: `instance/authserver.db`"),
    ] = ""
    issuer: Annotated[
        str,
        Field(description="issuer identifier, an https URL; empty: `http://` and the bind address, on loopback only"),
    ] = ""
    bind: Annotated[str, Field(description="`host:port` to listen on; an IPv6 host in brackets")] = "127.0.0.1:8000"
    workers: Annotated[int, Field(ge=1, le=64, description="server processes")] = 1
    threads: Annotated[int, Field(ge=1, le=64, description="threads per process")] = 4
    master_key: Annotated[
        SecretStr,
        Field(description="32 bytes in base64 that seal everything secret; empty: made in `instance/master.key`"),
    ] = SecretStr("")
    migrate: Annotated[bool, Field(description="bring the schema up to date at start; off: refuse an older one")] = True
    demo: Annotated[bool, Field(description="make demo data on an empty embedded database on loopback")] = True
    trusted_proxies: Annotated[
        str,
        Field(description="networks whose `X-Forwarded-Proto` and `X-Forwarded-For` are believed, comma-separated"),
    ] = ""
    metrics_peers: Annotated[str, Field(description="networks that may read `/metrics`, comma-separated")] = (
        "127.0.0.0/8,::1/128"
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="least level that is logged")
    ] = "info"

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
        """Whether the database is the embedded one."""
        return not self.database_url

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        if value and not value.startswith(_SCHEMES):
            msg = f"must begin with {' or '.join(_SCHEMES)}"
            raise ValueError(msg)
        return value

    @field_validator("bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
            msg = "must be host:port, such as 127.0.0.1:8000 or [::1]:8000"
            raise ValueError(msg)
        return value

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        plain = not (parts.query or parts.fragment or parts.username or value.endswith(("/", "?", "#")))
        if parts.scheme not in {"https", "http"} or not parts.hostname or not plain or not value.isascii():
            msg = "must be an https URL without query, fragment or trailing slash (RFC 8414 section 2)"
            raise ValueError(msg)
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            msg = "must begin with https://; plain http is for loopback only"
            raise ValueError(msg)
        return value

    @field_validator("trusted_proxies", "metrics_peers")
    @classmethod
    def _networks(cls, value: str) -> str:
        for text in filter(None, (piece.strip() for piece in value.split(","))):
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                msg = f"{text!r} is no network; write for example 10.0.0.0/8 or 192.0.2.7"
                raise ValueError(msg) from None
        return value

    @model_validator(mode="after")
    def _issuer_beyond_loopback(self) -> "Settings":
        if not self.issuer and not self.on_loopback:
            msg = f"{PREFIX}ISSUER is needed when {PREFIX}BIND is not on loopback; give the https URL clients use"
            raise ValueError(msg)
        return self


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Parse a checked, comma-separated list of networks."""
    return tuple(ipaddress.ip_network(piece.strip(), strict=False) for piece in text.split(",") if piece.strip())


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment.

    Raises:
        BadSettings: an unknown name, a value that cannot be, or a file that cannot be read.
    """
    values: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        key, text = name.removeprefix(PREFIX).lower(), value
        if key not in Settings.model_fields and key.endswith("_file"):
            key = key.removesuffix("_file")
            text = _read(name, value)
        if key not in Settings.model_fields:
            known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
            msg = f"unknown setting {name}; known are {known}"
            raise BadSettings(msg)
        if key in values:
            msg = f"{PREFIX}{key.upper()} is given twice, as itself and as {PREFIX}{key.upper()}_FILE; keep one"
            raise BadSettings(msg)
        values[key] = text
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise BadSettings("; ".join(_fault(each["loc"], each["msg"]) for each in error.errors())) from None


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        msg = f"{name} names a file that cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        raise BadSettings(msg) from error


def _fault(where: tuple[int | str, ...], text: str) -> str:
    name = PREFIX + "_".join(map(str, where)).upper() + ": " if where else ""
    return name + text.removeprefix("Value error, ")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
