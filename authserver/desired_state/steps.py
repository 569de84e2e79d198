"""The steps from the state that is to the state that shall be. Pure; the order keeps every state between them whole."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from authserver.desired_state.document import (
    CredentialState,
    ResourceServerState,
    RoleState,
    StateDocument,
    UserState,
)
from authserver.ports.errors import Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Step:
    """One change: ``action`` on ``target``, with ``values`` for it; ``ends`` live tokens, 500 for so many or more."""

    action: str
    target: str
    values: dict[str, Any] = field(default_factory=dict)
    ends: int = 0


ORDER = (
    "create_role",
    "create_resource_server",
    "enable_resource_server",
    "edit_resource_server",
    "create_user",
    "enable_user",
    "grant_role",
    "revoke_role",
    "disable_user",
    "delete_role",
    "set",
    "edit_credential",
    "enable_credential",
    "disable_credential",
    "disable_resource_server",
)
"""Who needs something comes behind it, and what others may need ends last."""


def plan(current: StateDocument, desired: StateDocument, *, prune: bool) -> tuple[Step, ...]:
    """The steps, in their order; none where it is so already.

    With ``prune`` what a section does not name goes too: roles are deleted, users and resource servers disabled.

    Raises:
        Invalid: something is named twice, or shall become what it cannot.
        NotFound: a credential or a role that is named is not there.
    """
    found = [
        *_roles(current.roles or [], desired.roles, prune=prune),
        *_servers(current.resource_servers or [], desired.resource_servers, prune=prune),
        *_users(current.users or [], desired.users, prune=prune),
        *_settings(current.settings or {}, desired.settings or {}),
        *_credentials(current.credentials or [], desired.credentials or []),
    ]
    return tuple(sorted(found, key=lambda step: ORDER.index(step.action)))


def _require_unique(kind: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        msg = f"{kind} {twice[0]} comes twice"
        raise Invalid(msg)


def _roles(current: list[RoleState], desired: list[RoleState] | None, *, prune: bool) -> Iterator[Step]:
    if desired is None:
        return
    _require_unique("the role", [role.name for role in desired])
    by_name = {role.name: role for role in current}
    for role in desired:
        existing = by_name.pop(role.name, None)
        if existing is None:
            yield Step("create_role", role.name, {"kind": role.kind, "permissions": sorted(set(role.permissions))})
        elif (existing.kind, sorted(existing.permissions)) != (role.kind, sorted(set(role.permissions))):
            msg = f"the role {role.name} is {existing.kind} with {sorted(existing.permissions)}; a role is never edited"
            raise Invalid(msg)
    if prune:
        yield from (Step("delete_role", name) for name in sorted(by_name))


def _users(current: list[UserState], desired: list[UserState] | None, *, prune: bool) -> Iterator[Step]:
    if desired is None:
        return
    _require_unique("the user", [user.username.casefold() for user in desired])
    by_name = {user.username.casefold(): user for user in current}
    for user in desired:
        existing = by_name.pop(user.username.casefold(), None)
        if existing is None:
            yield Step("create_user", user.username, {"roles": sorted(set(user.roles))})
            existing = UserState(username=user.username, roles=user.roles)
        for role in sorted(set(user.roles) - set(existing.roles)):
            yield Step("grant_role", existing.username, {"role": role})
        for role in sorted(set(existing.roles) - set(user.roles)):
            yield Step("revoke_role", existing.username, {"role": role})
        if user.disabled != existing.disabled:
            yield Step("disable_user" if user.disabled else "enable_user", existing.username)
    if prune:
        yield from (Step("disable_user", user.username) for user in by_name.values() if not user.disabled)


def _servers(
    current: list[ResourceServerState], desired: list[ResourceServerState] | None, *, prune: bool
) -> Iterator[Step]:
    if desired is None:
        return
    _require_unique("the resource server", [server.name for server in desired])
    by_name = {server.name: server for server in current}
    for server in desired:
        existing = by_name.pop(server.name, None)
        if existing is None:
            values = {"audience": server.audience, "token_alg": server.token_alg, "token_typ": server.token_typ}
            yield Step("create_resource_server", server.name, values)
            existing = server.model_copy(update={"max_staleness": 0, "requires": [], "disabled": False})
        if server.audience != existing.audience:
            msg = f"the resource server {server.name} has the audience {existing.audience}, which is never edited"
            raise Invalid(msg)
        for name in ("token_alg", "token_typ", "max_staleness"):
            if getattr(server, name) != getattr(existing, name):
                yield Step("edit_resource_server", server.name, {name: getattr(server, name)})
        if server.requires is not None and set(server.requires) != set(existing.requires or ()):
            yield Step("edit_resource_server", server.name, {"requires": sorted(server.requires)})
        if server.disabled != existing.disabled:
            yield Step("disable_resource_server" if server.disabled else "enable_resource_server", server.name)
    if prune:
        yield from (Step("disable_resource_server", each.name) for each in by_name.values() if not each.disabled)


def _settings(current: dict[str, Any], desired: dict[str, Any]) -> Iterator[Step]:
    for name, value in desired.items():
        if name not in current:
            msg = f"there is no setting {name!r}"
            raise Invalid(msg)
        if isinstance(current[name], int) != isinstance(value, int):
            msg = f"the setting {name} is {'a whole number' if isinstance(current[name], int) else 'a text'}"
            raise Invalid(msg)
        if value != current[name]:
            yield Step("set", name, {"value": value})


def _credentials(current: list[CredentialState], desired: list[CredentialState]) -> Iterator[Step]:
    _require_unique("the credential", [credential.client_id for credential in desired])
    by_id = {credential.client_id: credential for credential in current}
    for credential in desired:
        existing = by_id.get(credential.client_id)
        if existing is None:
            msg = f"there is no credential {credential.client_id}; a state names those that exist"
            raise NotFound(msg)
        fixed = ((credential.owner, existing.owner), (credential.roles, existing.roles))
        if any(desired_value is not None and desired_value != current_value for desired_value, current_value in fixed):
            msg = f"owner and roles of the credential {credential.client_id} are never edited"
            raise Invalid(msg)
        values = {
            name: getattr(credential, name)
            for name in ("name", "expires_at")
            if getattr(credential, name) != getattr(existing, name)
        }
        if values:
            yield Step("edit_credential", credential.client_id, values)
        if credential.disabled != existing.disabled:
            yield Step("disable_credential" if credential.disabled else "enable_credential", credential.client_id)
