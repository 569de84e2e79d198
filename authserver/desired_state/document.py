"""A state as a document. A section that is left out is not touched; secrets are never in it."""

import datetime as dt
import json
import re
from collections.abc import Hashable
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, WithJsonSchema

from authserver.ports.errors import Invalid
from authserver.ports.resource_servers import TOKEN_TYPES
from authserver.rules.client_authentication.policy import REQUIREMENTS
from authserver.rules.facts import Instant

MAX_BYTES: Final = 4 * 1024 * 1024
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
Name = Annotated[str, Field(min_length=1, max_length=255)]
RoleName = Annotated[str, Field(min_length=1, max_length=64)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _instant(value: object) -> object:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return int(dt.datetime.fromisoformat(value).timestamp())
        except ValueError:
            pass
    msg = "an instant is written like 2027-01-15T08:00:00Z"
    raise ValueError(msg)


def _iso(at: Instant) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Moment = Annotated[
    Instant,
    BeforeValidator(_instant),
    PlainSerializer(_iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2027-01-15T08:00:00Z"]}),
]


class RoleState(_Model):
    """A role. What it is cannot be changed, only made and deleted."""

    name: RoleName
    kind: Literal["operational", "builder"]
    permissions: list[RoleName] = Field(default_factory=list, max_length=64)


class UserState(_Model):
    """A user with exactly these roles."""

    username: Annotated[str, Field(min_length=1, max_length=128)]
    roles: list[RoleName] = Field(min_length=1, max_length=200)
    disabled: bool = False


class ResourceServerState(_Model):
    """A resource server. Its audience cannot be changed."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    audience: Name
    token_alg: Annotated[str, Field(max_length=16)] | None = None
    token_typ: Annotated[str, Field(max_length=16)] = TOKEN_TYPES[0]
    max_staleness: Annotated[int, Field(ge=0, le=3600)] = 0
    requires: list[Annotated[str, Field(max_length=16)]] | None = Field(default=None, max_length=len(REQUIREMENTS))
    """None where a state of before does not say: it is not touched."""
    disabled: bool = False


class CredentialState(_Model):
    """A credential that exists, by its id. ``owner`` and ``roles`` are informative and cannot be changed."""

    client_id: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    expires_at: Moment
    disabled: bool = False
    owner: Annotated[str, Field(max_length=128)] | None = None
    roles: list[RoleName] | None = None


Value = Annotated[int, Field(ge=0, le=999_999_999)] | Annotated[str, Field(max_length=255)] | None


class StateDocument(_Model):
    """What there shall be. A section that is left out, or null, is not touched."""

    version: Literal[1] = 1
    roles: list[RoleState] | None = None
    users: list[UserState] | None = None
    resource_servers: list[ResourceServerState] | None = None
    settings: dict[Name, Value] | None = None
    credentials: list[CredentialState] | None = None


class _Loader(yaml.SafeLoader):
    """YAML of plain values: no anchors, no member twice, no dates out of texts."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            msg = "anchors and aliases are not taken"
            raise Invalid(msg)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - of PyYAML
        names = [key.value for key, _value in node.value]
        if len(set(map(str, names))) < len(names):
            msg = f"a member comes twice in line {node.start_mark.line + 1}"
            raise Invalid(msg)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in each if tag != "tag:yaml.org,2002:timestamp"]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: bytes) -> StateDocument:
    """The document in a file of YAML or JSON.

    Raises:
        Invalid: it is none, too large, or has what a state does not have; names the place.
    """
    if len(text) > MAX_BYTES:
        msg = "a state has 4 MB at most"
        raise Invalid(msg)
    try:
        found = yaml.load(text.decode("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader with less
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        msg = "the state is no YAML" + (f", in line {mark.line + 1}" if mark else "")
        raise Invalid(msg) from None
    try:
        return StateDocument.model_validate({} if found is None else found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = "/".join(str(part) for part in first["loc"])
        msg = f"the state at {where or 'its top'}: {first['msg'].removeprefix('Value error, ')}"
        raise Invalid(msg) from None


def write(document: StateDocument) -> str:
    """The document as YAML in ASCII, the same text for the same state."""
    plain = json.loads(document.model_dump_json(exclude_none=False))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=False, width=1000))
