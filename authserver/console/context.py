"""The context of one console request: the services, the time, the peer, and the signed-in user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from flask import current_app, g, request

from authserver.actions.signing_keys import KeyStore
from authserver.ports.accounts import Accounts
from authserver.ports.client_authentication import RemoteKeys
from authserver.ports.clock import Clock
from authserver.ports.sign_in import CurrentUser
from authserver.ports.store import Store
from authserver.rules.facts import Instant
from keys.master import MasterKey

if TYPE_CHECKING:
    from authserver.console.openid.client import Provider


class Services(Protocol):
    """What ``app.extensions["services"]`` gives."""

    @property
    def issuer(self) -> str:
        """Our issuer identifier."""
        ...

    @property
    def origin(self) -> str:
        """Scheme and host of the issuer, without its path."""
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
    def provider(self) -> "Provider | None":
        """The OpenID provider people may sign in with; None where none is configured."""
        ...

    @property
    def key_store(self) -> KeyStore:
        """Where new signing keys are kept."""
        ...

    def store(self) -> Store:
        """The store, opened once."""
        ...

    def master(self) -> MasterKey:
        """The master key."""
        ...

    def observe_console_request(self, status: int, seconds: float) -> None:
        """Count a response."""
        ...

    def observe_console_login(self, method: str, outcome: str) -> None:
        """Count a sign-in attempt."""
        ...

    def record_refusal(self, reason: str, *, subject: str, peer: str) -> None:
        """Record a refused sign-in in the security log."""
        ...

    def resolve_peer(self, environ: Mapping[str, Any]) -> tuple[str, bool]:
        """The caller's address, and whether the connection from there is private."""
        ...


@dataclass(slots=True)
class ConsoleContext:
    """One request to the console. ``current_user`` is None for an anonymous request."""

    store: Store
    services: Services
    now: Instant
    peer: str
    private: bool
    current_user: CurrentUser | None = None

    @property
    def accounts(self) -> Accounts:
        """People, roles, credentials, settings, audit."""
        return self.store.accounts

    @property
    def signed_in(self) -> CurrentUser:
        """Who is signed in; every page that is not public may rely on it."""
        if self.current_user is None:
            msg = "a page for signed-in people was reached without a sign-in"
            raise RuntimeError(msg)
        return self.current_user

    @property
    def who(self) -> dict[str, Any]:
        """``actor`` and ``now``, which every action takes, for ``**``."""
        return {"actor": f"console:{self.signed_in.user.username}", "now": self.now}

    @property
    def secure(self) -> bool:
        """Whether people come by https, by configuration and not by what a request says (INV-32)."""
        return urlsplit(self.services.issuer).scheme == "https"


def console_context() -> ConsoleContext:
    """The context of the current request."""
    found: ConsoleContext | None = g.get("console_context")
    if found is None:
        services: Services = current_app.extensions["services"]
        peer, private = services.resolve_peer(request.environ)
        found = ConsoleContext(services.store().requested_from(peer), services, services.clock.now(), peer, private)
        g.console_context = found
    return found
