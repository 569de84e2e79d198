"""Trusts of a credential in the tokens of other issuers: add one, end one, try a token against them.

``owner_id`` narrows a function to one owner's credentials (INV-09).
"""

import json
import uuid
from dataclasses import dataclass

from authserver.actions.preconditions.workload_token import tried
from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.client_authentication import RemoteKeys
from authserver.ports.credentials import TrustRecord
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.client_authentication.trust import Check, Trust, trust_of
from authserver.rules.facts import Instant
from keys.jws import PRIVATE_MEMBERS, MalformedJws, parse
from keys.key_sets import UnusableKeySet, key_set

MOST_TRUSTS = 10
"""That work at a time; each is looked at for each token."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a token fares against one trust."""

    trust_id: str
    issuer: str
    checks: tuple[Check, ...]

    @property
    def passes(self) -> bool:
        """Whether it would get a token."""
        return not any(each.reason for each in self.checks)


def add(
    accounts: Accounts,
    client_id: str,
    wanted: Trust,
    *,
    actor: str,
    now: Instant,
    owner_id: str | None = None,
) -> TrustRecord:
    """Let tokens of an issuer stand for a credential.

    Raises:
        Conflict: it trusts just so already, or has as many trusts as may be.
        Invalid: the JWK set cannot be used.
        NotFound: unknown, or not the owner's.
    """
    _check_keys(wanted.jwks)
    with accounts.change(Event("credential.trust_added", actor, client_id), now) as tx:
        working = [each for each in tx.credential(client_id, owner_id).trusts if each.ends_at is None]
        if wanted.text in {each.text for each in working}:
            msg = "the credential trusts that issuer just so already"
            raise Conflict(msg)
        if len(working) >= MOST_TRUSTS:
            msg = f"the credential has {MOST_TRUSTS} trusts, which is the most; remove one that is not used any more"
            raise Conflict(msg)
        record = TrustRecord(f"tru_{uuid.uuid4().hex}", wanted.text, now, issuer=wanted.issuer)
        tx.insert_trust(client_id, record)
        tx.detail(trust=record.id, issuer=wanted.issuer, audience=wanted.audience, claims=dict(wanted.conditions))
        return record


def remove(
    accounts: Accounts, client_id: str, trust_id: str, *, actor: str, now: Instant, owner_id: str | None = None
) -> None:
    """End a trust at once, and with it the tokens that it obtained.

    Raises:
        NotFound: unknown, or not the owner's; or no trust of it with that id works.
    """
    with accounts.change(Event("credential.trust_removed", actor, client_id), now) as tx:
        trusts = tx.credential(client_id, owner_id).trusts
        found = next((each for each in trusts if each.id == trust_id and each.ends_at is None), None)
        if found is None:
            msg = f"the credential has no trust {trust_id[:64]!r}; `flask credentials trusts {client_id}` shows them"
            raise NotFound(msg)
        tx.end_trust(client_id, found.id, now)
        tx.detail(trust=found.id, issuer=trust_of(found.text).issuer)


def try_token(
    accounts: Accounts,
    client_id: str,
    text: str,
    remote: RemoteKeys,
    *,
    now: Instant,
    owner_id: str | None = None,
) -> tuple[Trial, ...]:
    """Hold a token against each trust of a credential; nothing is recorded, and the token is not used up.

    Raises:
        Invalid: it is no JWT.
        NotFound: unknown, or not the owner's; or it has no trust.
    """
    working = [each for each in accounts.credential(client_id, owner_id).trusts if each.ends_at is None]
    if not working:
        msg = "the credential trusts no issuer; `flask credentials trust` adds one"
        raise NotFound(msg)
    try:
        jws = parse(text.strip())
    except MalformedJws as error:
        msg = "this is no JWT: three parts of base64url with dots between, signed, of 8 kB at most"
        raise Invalid(msg) from error
    found = []
    for each in working:
        trust = trust_of(each.text)
        found.append(Trial(each.id, trust.issuer, tried(trust, jws, remote, now)))
    return tuple(found)


def _check_keys(jwks: str) -> None:
    if not jwks:
        return
    try:
        key_set(jwks.encode("utf-8"))
    except (UnusableKeySet, UnicodeEncodeError) as error:
        msg = f"the JWK set cannot be used: {error}" if isinstance(error, UnusableKeySet) else "it is no text"
        raise Invalid(msg) from error
    if any(PRIVATE_MEMBERS & each.keys() for each in json.loads(jwks)["keys"] if isinstance(each, dict)):
        msg = "the JWK set holds a private key, which is nobody's to paste; take the public one"
        raise Invalid(msg)
