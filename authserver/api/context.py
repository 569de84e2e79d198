"""One request to the API: the services it acts in, the time, who calls, and the conditions of its changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from flask import current_app, g, request

from authserver.actions.introspect import Presented, Verify
from authserver.actions.signing_keys import KeyStore
from authserver.api.deprecation import Deprecation
from authserver.api.preconditions import Conditions
from authserver.api.problems import Problem
from authserver.ports.accounts import Accounts
from authserver.ports.client_authentication import RemoteKeys
from authserver.ports.clock import Clock
from authserver.ports.errors import AlreadyDone
from authserver.ports.store import Store
from authserver.ports.transaction import ChangeRequest, Transaction
from authserver.ports.users import User
from authserver.rules.facts import Instant
from authserver.rules.permission import may_enter


class Services(Protocol):
    """What ``app.extensions["services"]`` gives."""

    @property
    def issuer(self) -> str:
        """Our issuer identifier."""
        ...

    @property
    def remote_keys(self) -> RemoteKeys:
        """The keys that issuers and clients publish."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock for changes."""
        ...

    @property
    def key_store(self) -> KeyStore:
        """Where new signing keys are kept."""
        ...

    def store(self) -> Store:
        """The store, opened once."""
        ...

    def presented_token(self, text: str) -> tuple[Presented, Verify] | None:
        """A text in the form of our tokens, and how to verify it; None for any other."""
        ...

    def observe_api_request(self, status: int, seconds: float) -> None:
        """Count a response."""
        ...

    def certificate_thumbprint(self, environ: Mapping[str, Any]) -> str:
        """``x5t#S256`` of the TLS certificate that the caller came with; empty for none."""
        ...

    def resolve_peer(self, environ: Mapping[str, Any]) -> tuple[str, bool]:
        """The caller's address, and whether the connection from there is private."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a credential, by a live token, in the name of its owner.

    ``roles`` are the names of the token's roles, all of which the owner holds; only what these open is open.
    """

    client_id: str
    jti: str
    user: User
    roles: frozenset[str]
    expires_at: Instant
    idle_expires_at: Instant

    @property
    def permissions(self) -> frozenset[str]:
        """What the token's roles open, in the words of ``rules/permission``."""
        roles = (role for role in self.user.roles if role.name in self.roles)
        return frozenset(permission for role in roles for permission in role.permissions)

    @property
    def may_enter(self) -> bool:
        """Whether one of the token's roles opens the console, and so the API."""
        return may_enter(role.kind for role in self.user.roles if role.name in self.roles)


@dataclass(slots=True)
class ApiContext:
    """One request. ``found_caller`` is None on public routes, and until the token was judged."""

    opened: Store
    services: Services
    now: Instant
    peer: str
    private: bool
    conditions: Conditions
    found_caller: Caller | None = None
    quota_left: tuple[int, int] | None = None
    """Requests that the window still takes, and its rest in seconds; None where nothing is limited."""
    deprecated: Deprecation | None = None
    """What the answer says about the end of the operation."""

    @property
    def caller(self) -> Caller:
        """Who calls; every operation that is not public may rely on it."""
        if self.found_caller is None:
            msg = "an operation was reached without a token"
            raise RuntimeError(msg)
        return self.found_caller

    @property
    def owner_id(self) -> str:
        """The id of the user in whose name the caller acts."""
        return self.caller.user.id

    @property
    def who(self) -> dict[str, Any]:
        """The actor and the instant that every action ends with, to be passed on with ``**``."""
        return {"actor": f"api:{self.caller.user.username}", "now": self.now}

    @property
    def store(self) -> Store:
        """The store; its changes are recorded with the caller's credential and address."""
        client = self.found_caller.client_id if self.found_caller else ""
        return self.opened.requested_by(ChangeRequest(self.peer, client))

    @property
    def accounts(self) -> Accounts:
        """Users, roles, credentials, settings, audit."""
        return self.store.accounts

    def creating(self, precondition: Callable[[Transaction], None] | None = None) -> Store:
        """The store for one change that takes effect once per Idempotency-Key (INV-23)."""
        key = self.conditions.idempotency_key(self.caller.client_id)
        return self.opened.requested_by(ChangeRequest(self.peer, self.caller.client_id, precondition, key))

    def is_replay(self, create: Callable[[Accounts], object]) -> bool:
        """Call ``create`` with the accounts of ``creating``; whether the same request took effect before."""
        try:
            create(self.creating().accounts)
        except AlreadyDone:
            return True
        return False

    def editing(self, etag: Callable[[Transaction], str]) -> Store:
        """The store for one change of something whose ``etag``, read in the same transaction, If-Match names."""

        def precondition(tx: Transaction) -> None:
            if not self.conditions.matches(etag(tx)):
                raise Problem("precondition_failed", "It is not as it was when you read it; nothing was changed.")

        return self.opened.requested_by(ChangeRequest(self.peer, self.caller.client_id, precondition))

    def require_roles(self, roles: tuple[str, ...]) -> None:
        """Refuse to hand out a credential's secret to a token that has less than the credential.

        Raises:
            Problem: it has a role that the token does not have.
        """
        more = sorted(set(roles) - self.caller.roles)
        if more:
            raise Problem("insufficient_scope", f"The token does not have {', '.join(more)}, and cannot hand it out.")


def api_context() -> ApiContext:
    """The current request."""
    found: ApiContext | None = g.get("api_context")
    if found is None:
        services: Services = current_app.extensions["services"]
        peer, private = services.resolve_peer(request.environ)
        now = services.clock.now()
        found = ApiContext(services.store(), services, now, peer, private, Conditions.requested())
        g.api_context = found
    return found
