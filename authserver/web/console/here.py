"""Where a page stands: the house it acts in, the time, and who is looking."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from flask import current_app, g, request

from authserver.actions.signing_keys import Holder
from authserver.console_reads import AuditReads, CredentialReads, EndingReads, PeopleReads, TokenReads
from authserver.ports import Accounts, Clock, HotReads, Sessions, SigningKeys, SignIns, SignInTries, Verifiers, Visit
from authserver.rules.facts import Instant
from keys.master import MasterKey

if TYPE_CHECKING:
    from authserver.web.console.provider import Provider


class Store(Protocol):
    """The opened store, as far as pages ask it."""

    @property
    def accounts(self) -> Accounts:
        """People, roles, credentials, settings, audit."""
        ...

    @property
    def sessions(self) -> Sessions:
        """The record of each token."""
        ...

    @property
    def hot(self) -> HotReads:
        """Standing of tokens."""
        ...

    @property
    def keys(self) -> SigningKeys:
        """The key ring."""
        ...

    @property
    def sign_ins(self) -> SignIns:
        """Who is signed in."""
        ...

    @property
    def tries(self) -> SignInTries:
        """Tries to sign in."""
        ...

    @property
    def verifiers(self) -> Verifiers:
        """Who fetches the public keys."""
        ...

    @property
    def credential_reads(self) -> CredentialReads:
        """Credentials as people look at them."""
        ...

    @property
    def people_reads(self) -> PeopleReads:
        """Users and roles as people look at them."""
        ...

    @property
    def audit_reads(self) -> AuditReads:
        """The book of changes as people look at it."""
        ...

    @property
    def token_reads(self) -> TokenReads:
        """Live tokens as people count them."""
        ...

    @property
    def ending_reads(self) -> EndingReads:
        """What an owner is told before it breaks."""
        ...

    @property
    def pepper(self) -> bytes:
        """The key secrets are hashed with."""
        ...

    def one_instant(self) -> AbstractContextManager[None]:
        """Let the reads meanwhile share one transaction, until something is written."""
        ...

    def asked_from(self, peer: str) -> "Store":
        """The same; what is changed through it is on record as asked for from the address ``peer``."""
        ...


class House(Protocol):
    """What ``app.extensions["house"]`` gives."""

    @property
    def issuer(self) -> str:
        """Our issuer identifier."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock for changes."""
        ...

    @property
    def provider(self) -> "Provider | None":
        """Where people may sign in instead, if anywhere."""
        ...

    @property
    def holder(self) -> Holder:
        """Where new signing keys are kept."""
        ...

    def store(self) -> Store:
        """The store, opened once."""
        ...

    def master(self) -> MasterKey:
        """The master key."""
        ...

    def console_request(self, status: int, seconds: float) -> None:
        """Count an answer."""
        ...

    def console_login(self, method: str, outcome: str) -> None:
        """Count somebody who came to sign in."""
        ...

    def refused(self, reason: str, *, subject: str, peer: str) -> None:
        """Note that somebody was refused."""
        ...

    def way(self, environ: Mapping[str, Any]) -> tuple[str, bool]:
        """The caller's address, and whether nobody can listen in on the way from there."""
        ...


@dataclass(slots=True)
class Here:
    """One request to the console. ``visit`` is None until somebody is known to be signed in."""

    store: Store
    house: House
    now: Instant
    peer: str
    private: bool
    visit: Visit | None = None

    @property
    def accounts(self) -> Accounts:
        """People, roles, credentials, settings, audit."""
        return self.store.accounts

    @property
    def signed_in(self) -> Visit:
        """Who is signed in; every page that is not public may rely on it."""
        if self.visit is None:
            msg = "a page for signed-in people was reached without a sign-in"
            raise RuntimeError(msg)
        return self.visit

    @property
    def who(self) -> dict[str, Any]:
        """The two words every verb ends with, to be handed on with ``**``."""
        return {"actor": f"console:{self.signed_in.user.username}", "now": self.now}

    @property
    def secure(self) -> bool:
        """Whether people come by https, by configuration and not by what a request says (INV-32)."""
        return urlsplit(self.house.issuer).scheme == "https"


def here() -> Here:
    """The request at hand."""
    found: Here | None = g.get("console_here")
    if found is None:
        house: House = current_app.extensions["house"]
        peer, private = house.way(request.environ)
        found = Here(house.store().asked_from(peer), house, house.clock.now(), peer, private)
        g.console_here = found
    return found
