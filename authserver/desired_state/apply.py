"""Makes a state so: all steps in one transaction, each by the action that everybody calls, or none of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, cast

from authserver.actions import credentials as credential_actions
from authserver.actions import general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.audit import Event
from authserver.desired_state.document import (
    CredentialState,
    ResourceServerState,
    RoleState,
    StateDocument,
    UserState,
)
from authserver.desired_state.steps import Step, plan
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict
from authserver.ports.resource_servers import MANAGEMENT_API, ResourceServer
from authserver.ports.store import Store
from authserver.ports.transaction import Transaction
from authserver.rules.facts import Instant

_BOOKKEEPING: Final = ("epoch", "used_since", "issued_since")


@dataclass(frozen=True, slots=True, repr=False)
class Applied:
    """The steps that were taken, or would be, and the secrets of new resource servers by name, shown once."""

    steps: tuple[Step, ...]
    secrets: Mapping[str, tuple[str, str]]


class _Rollback(Exception):
    """Rolls back the transaction of a dry run."""


def export(accounts: Accounts) -> StateDocument:
    """The state as it is. The management API's own resource server is no part of it."""
    general = asdict(accounts.general())
    return StateDocument(
        roles=[
            RoleState.model_validate({"name": each.name, "kind": each.kind, "permissions": sorted(each.permissions)})
            for each in accounts.roles()
        ],
        users=[
            UserState(username=each.username, roles=list(each.role_names), disabled=each.disabled_at is not None)
            for each in accounts.users()
        ],
        resource_servers=[
            ResourceServerState(
                name=each.name,
                audience=each.audience,
                token_alg=each.token_alg,
                token_typ=each.token_typ,
                max_staleness=each.max_staleness,
                requires=list(each.requires),
                disabled=each.disabled_at is not None,
            )
            for each in accounts.resource_servers()
            if each.purpose != MANAGEMENT_API
        ],
        settings={name: value for name, value in general.items() if name not in _BOOKKEEPING},
        credentials=[
            CredentialState.model_construct(
                client_id=each.client_id,
                name=each.name,
                expires_at=each.expires_at,
                disabled=each.disabled_at is not None,
                owner=each.owner,
                roles=list(each.roles),
            )
            for each in sorted(accounts.credentials(), key=lambda each: each.client_id)
        ],
    )


def apply(
    store: Store,
    desired: StateDocument,
    *,
    prune: bool,
    dry_run: bool,
    actor: str,
    now: Instant,
    as_user: str = "",
) -> Applied:
    """Apply the desired state. The plan is made inside the transaction, which locks out other changes.

    A dry run takes the steps too and undoes them, so it refuses what the run would refuse. ``as_user`` is the name of
    the user in whose name this is done, who is never disabled by it.

    Raises:
        Conflict: as the action of a step.
        Invalid: as the action of a step, or a state that cannot be.
        NotFound: something that is named is not there.
    """
    applied: list[Step] = []
    secrets: dict[str, tuple[str, str]] = {}
    # Counted before the lock is taken: the counts are only reported.
    counter = _Counter(store, now)
    endings = {_identity(step): counter.ends(step) for step in plan(export(store.accounts), desired, prune=prune)}
    try:
        with store.accounts.change(Event("state.applied", actor, "state"), now) as tx:
            steps = plan(export(store.accounts), desired, prune=prune)
            tx.detail(steps=len(steps), prune=prune)
            accounts = _InTransaction(store.accounts, tx)
            for step in steps:
                if step.action == "disable_user" and step.target.casefold() == as_user.casefold() != "":
                    msg = "you act in the name of this user; let another administrator do it"
                    raise Conflict(msg)
                result = _ACTIONS[step.action](
                    cast("Accounts", accounts), step, store.pepper, {"actor": actor, "now": now}
                )
                if isinstance(result, resource_server_actions.RegisteredServer):
                    accounts.added.append(result.server)
                    secrets[result.server.name] = (result.server.client_id, result.secret)
                applied.append(replace(step, ends=endings.get(_identity(step), 0)))
            _roll_back_if(condition=dry_run or not steps)
    except _Rollback:
        secrets.clear()
    return Applied(tuple(applied), secrets)


def _roll_back_if(*, condition: bool) -> None:
    if condition:
        raise _Rollback


def _identity(step: Step) -> tuple[str, str, str]:
    return step.action, step.target, str(step.values)


class _InTransaction:
    """Accounts whose changes all join one transaction, each with its own audit record."""

    def __init__(self, accounts: Accounts, tx: Transaction) -> None:
        self._accounts, self._tx = accounts, tx
        self.added: list[ResourceServer] = []

    @contextmanager
    def change(self, event: Event, at: Instant) -> Iterator[Transaction]:
        """Begin the next audit record in the same transaction."""
        del at
        self._tx.next_event(event)
        yield self._tx

    def resource_servers(self) -> Sequence[ResourceServer]:
        """Committed ones, and those that this transaction has made."""
        return (*self._accounts.resource_servers(), *self.added)


class _Counter:
    """Counts the live tokens that steps would end; those of one user once."""

    def __init__(self, store: Store, now: Instant) -> None:
        self._store, self._now, self._seen = store, now, set[str]()
        self._usernames = frozenset(user.username for user in store.accounts.users())

    def ends(self, step: Step) -> int:
        reads, target = self._store.user_reads, step.target
        if step.action in {"grant_role", "revoke_role", "disable_user"}:
            if target in self._seen or target not in self._usernames:
                return 0
            self._seen.add(target)
            return reads.preview_grant(target, self._now).live_tokens
        if step.action == "delete_role":
            return reads.preview_delete_role(target, self._now).live_tokens
        if step.action == "disable_credential":
            return reads.preview_disable_credentials([target], self._now).live_tokens
        if step.action == "set" and target in general_settings.ENDS_TOKENS:
            return self._store.token_reads.ended_by(self._now, **{target: step.values["value"]})
        return 0


_Action = Callable[[Accounts, Step, bytes, dict[str, Any]], object]


def _edit_server(accounts: Accounts, step: Step, _pepper: bytes, actor_and_time: dict[str, Any]) -> object:
    ((name, value),) = step.values.items()
    edits: Mapping[str, Callable[..., object]] = {
        "token_alg": resource_server_actions.edit_resource_server,
        "token_typ": resource_server_actions.choose_token_typ,
        "max_staleness": resource_server_actions.bound_staleness,
        "requires": resource_server_actions.require_of_tokens,
    }
    return edits[name](accounts, step.target, value, **actor_and_time)


def _set(accounts: Accounts, step: Step, _pepper: bytes, actor_and_time: dict[str, Any]) -> object:
    value = step.values["value"]
    return general_settings.set_general(accounts, step.target, "" if value is None else str(value), **actor_and_time)


def _on_target(action: Callable[..., object]) -> _Action:
    return lambda accounts, step, _pepper, actor_and_time: action(accounts, step.target, **actor_and_time)


_ACTIONS: Final[Mapping[str, _Action]] = {
    "create_role": lambda accounts, step, _pepper, actor_and_time: role_actions.create_role(
        accounts, step.target, step.values["kind"], step.values["permissions"], **actor_and_time
    ),
    "create_resource_server": lambda accounts, step, pepper, actor_and_time: (
        resource_server_actions.register_resource_server(
            accounts, step.target, **step.values, pepper=pepper, **actor_and_time
        )
    ),
    "enable_resource_server": _on_target(resource_server_actions.enable_resource_server),
    "edit_resource_server": _edit_server,
    "create_user": lambda accounts, step, _pepper, actor_and_time: user_actions.create_user(
        accounts, step.target, step.values["roles"], **actor_and_time
    ),
    "enable_user": _on_target(user_actions.enable),
    "grant_role": lambda accounts, step, _pepper, actor_and_time: user_actions.grant(
        accounts, step.target, step.values["role"], **actor_and_time
    ),
    "revoke_role": lambda accounts, step, _pepper, actor_and_time: user_actions.revoke(
        accounts, step.target, step.values["role"], keep_administrator=True, **actor_and_time
    ),
    "disable_user": lambda accounts, step, _pepper, actor_and_time: user_actions.disable(
        accounts, step.target, keep_administrator=True, **actor_and_time
    ),
    "delete_role": lambda accounts, step, _pepper, actor_and_time: role_actions.delete_role(
        accounts, step.target, keep_administrator=True, **actor_and_time
    ),
    "set": _set,
    "edit_credential": lambda accounts, step, _pepper, actor_and_time: credential_actions.edit(
        accounts, step.target, **step.values, **actor_and_time
    ),
    "enable_credential": _on_target(credential_actions.enable),
    "disable_credential": _on_target(credential_actions.disable),
    "disable_resource_server": _on_target(resource_server_actions.disable_resource_server),
}
