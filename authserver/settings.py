"""Every setting of the process, typed; an unknown ``AUTHSERVER_*`` name is refused.

pydantic checks the values; reading the environment is ours because every name
may also be given as ``NAME_FILE`` and unknown names must not pass in silence.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

PREFIX = "AUTHSERVER_"


class BadSettings(ValueError):
    """The environment cannot be used; the text names each variable and its fix."""


class Settings(BaseModel):
    """What ``AUTHSERVER_<NAME>`` in upper case sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str = Field(
        "", description="sqlite:///path or postgresql+psycopg://…; default instance/authserver.db"
    )
    issuer: str = Field("", description="issuer identifier; default follows the bind address on loopback")
    bind: str = Field("127.0.0.1:8000", description="host:port to listen on")
    workers: int = Field(1, ge=1, le=64, description="server processes")
    threads: int = Field(4, ge=1, le=64, description="threads per process")
    master_key: SecretStr = Field(SecretStr(""), description="32 bytes in base64; default instance/master.key")
    demo: bool = Field(default=True, description="make demo data on an empty embedded database on loopback")
    log_level: str = Field("info", description="debug, info, warning or error")

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        if value and ("?" in value or "#" in value or value.endswith("/") or "://" not in value):
            msg = "must be a URL without query, fragment or trailing slash (RFC 8414 section 2)"
            raise ValueError(msg)
        return value


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment.

    Raises:
        BadSettings: an unknown name, a value that cannot be, or a file that cannot be read.
    """
    values: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX).lower()
        if key.endswith("_file"):
            key = key.removesuffix("_file")
            try:
                value = Path(value).read_text(encoding="utf-8").strip()  # noqa: PLW2901
            except OSError as error:
                msg = f"{name} names a file that cannot be read: {error.strerror}"
                raise BadSettings(msg) from error
        if key not in Settings.model_fields:
            known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
            msg = f"unknown setting {name}; known are {known}"
            raise BadSettings(msg)
        values[key] = value
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{PREFIX}{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()
        )
        raise BadSettings(faults) from None
