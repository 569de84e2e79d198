"""client_credentials -> the claims of a new token.

Every failure of authentication is ``InvalidClient`` and walks the same steps:
format, one statement, one keyed hash, two constant-time comparisons (INV-29).
"""

import base64
import hmac
import os
from dataclasses import dataclass

from authserver.ports import (
    ActivityClock,
    HotReads,
    InvalidClient,
    InvalidScope,
    InvalidTarget,
    IssueFacts,
    LiveSecret,
    Unavailable,
)
from authserver.rules.claims import SessionStart, claims_of
from authserver.rules.facts import over
from authserver.rules.lifetime import token_end
from authserver.rules.names import CLIENT_ID
from authserver.rules.role_subset import BadScope, granted, parse_scope
from authserver.rules.secret_format import keyed_hash, well_formed

_NO_HASH = bytes(32)
_NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A client whose secret was right, with the facts it was judged by."""

    facts: IssueFacts
    secret: LiveSecret


@dataclass(frozen=True, slots=True)
class Issued:
    """A token ready to be signed by ``kid``."""

    claims: dict[str, object]
    kid: str
    start: SessionStart
    expires_in: int
    scope: str


def authenticate(client_id: str, secret: str, resource: str | None, *, hot: HotReads, pepper: bytes) -> Authenticated:
    """Prove that the caller holds a live secret of a live credential.

    Raises:
        InvalidClient: any reason, all alike.
        Unavailable: the truth cannot be read.
    """
    plausible = bool(CLIENT_ID.fullmatch(client_id)) and well_formed(secret)
    presented = keyed_hash(pepper, secret)
    facts = hot.issue_facts(client_id if plausible else _NOBODY, resource)
    live = (
        [each for each in facts.secrets if each.ends_at is None or not over(facts.now, each.ends_at)] if facts else []
    )
    padded = [*live[:2], *([LiveSecret("", _NO_HASH, None)] * 2)][:2]
    matching = [each for each in padded if hmac.compare_digest(each.hash, presented)]
    if not (plausible and facts and matching and matching[0].id) or (
        facts.owner_disabled
        or facts.credential_disabled
        or facts.credential_deleted
        or over(facts.now, facts.credential_expires_at)
    ):
        msg = "Unknown client, wrong secret, or the credential is disabled or expired."
        raise InvalidClient(msg)
    return Authenticated(facts, matching[0])


def issue(who: Authenticated, scope: str, *, issuer: str, activity: ActivityClock) -> Issued:
    """Decide roles, audience and end of a new token.

    Raises:
        InvalidScope: PRODUCT rule "asked ∩ chosen ∩ held", or nothing left.
        InvalidTarget: no registered resource server to issue for.
        Unavailable: no key is active for the algorithm.
    """
    facts = who.facts
    try:
        grant = granted(parse_scope(scope), facts.chosen, facts.held)
    except BadScope as error:
        raise InvalidScope(str(error)) from error
    if grant.refused:
        msg = "A requested role is not part of this credential or no longer held by its owner; omit scope to get all."
        raise InvalidScope(msg)
    if not grant.roles:
        msg = "No role is left: the owner holds none of the roles chosen for this credential."
        raise InvalidScope(msg)
    if facts.audience is None:
        msg = "Name a registered resource server with the resource parameter, or set a default audience."
        raise InvalidTarget(msg)
    if facts.active_kid is None:
        msg = f"no signing key is active for {facts.token_alg}"
        raise Unavailable(msg)
    now, text = facts.now, " ".join(grant.roles)
    start = SessionStart(
        jti=base64.urlsafe_b64encode(os.urandom(18)).decode("ascii"),
        client_id=facts.client_id,
        secret_id=who.secret.id,
        kid=facts.active_kid,
        audience=facts.audience,
        roles=text,
        role_version=facts.role_version,
        credential_version=facts.credential_version,
        epoch=facts.epoch,
        issued_at=now,
        expires_at=token_end(now, facts.max_lifetime, facts.credential_expires_at, who.secret.ends_at),
    )
    claims = claims_of(start, issuer=issuer, owner_id=facts.owner_id)
    activity.issued(start)
    return Issued(claims, start.kid, start, start.expires_at - now, text)
