"""client_credentials -> the claims of a new token.

Every failure of authentication is ``InvalidClient``. Every cause that only the server
knows (unknown, wrong, ended, expired, disabled, deleted) takes the same steps: one
statement, and comparisons in constant time (INV-29).
"""

import base64
import hmac
import os
from functools import lru_cache
from typing import NamedTuple

from authserver.actions.preconditions.client_assertion import (
    AssertionContext,
    PresentedAssertion,
    judged,
    use_up,
)
from authserver.actions.preconditions.client_certificate import PresentedCertificate, judged_certificate
from authserver.actions.preconditions.token_limits import known_restrictions
from authserver.actions.preconditions.workload_token import (
    PresentedWorkload,
    judged_token,
    use_up_token,
    with_client,
)
from authserver.ports.client_authentication import KeysUnavailable
from authserver.ports.errors import (
    InvalidClient,
    InvalidDpopProof,
    InvalidScope,
    InvalidTarget,
    UnauthorizedClient,
    Unavailable,
)
from authserver.ports.hot_path import HotPathReads, IssueFacts, LiveSecret
from authserver.ports.usage import UsageRecorder
from authserver.rules.claims import JKT, Confirmation, SessionStart, claims_of
from authserver.rules.client_authentication.certificate import THUMBPRINT
from authserver.rules.client_authentication.policy import BOUND, KEY, required
from authserver.rules.client_authentication.restrictions import Restrictions
from authserver.rules.facts import over
from authserver.rules.lifetime import token_end
from authserver.rules.names import audience_fault
from authserver.rules.presented_secret import PresentedSecret
from authserver.rules.role_subset import BadScope, granted, parse_scope

MAX_ROLES_BYTES = 4096
"""Bytes for the roles in a token, which names each twice; keeps every token below the 8 kB that introspection reads."""

_LONG_SIGNATURES = {"ML-DSA-44": 2400, "ML-DSA-65": 1500}
"""The same for algorithms whose signature alone takes 3 to 4 kB of the 8."""

_NO_HASH = bytes(32)
_NONE = LiveSecret("", _NO_HASH, None)


class Authenticated(NamedTuple):
    """An authenticated client, with the facts that were read for it; ``secret`` is the secret or key it proved."""

    facts: IssueFacts
    secret: LiveSecret


class Issued(NamedTuple):
    """A token ready to be signed by ``kid``."""

    claims: dict[str, object]
    kid: str
    start: SessionStart
    expires_in: int
    scope: str
    typ: str


def authenticate(
    presented: PresentedSecret | PresentedAssertion | PresentedWorkload | PresentedCertificate,
    resource: str | None,
    *,
    hot_path: HotPathReads,
    assertions: AssertionContext,
    usage: UsageRecorder | None = None,
    peer: str = "",
) -> Authenticated:
    """Authenticate a client by a live secret, key, trust or condition on certificates of a live credential.

    Args:
        presented: the client id and the hash of the presented secret, what it or its platform signed, or the
            certificate that it came with.
        resource: the requested audience, or None.
        hot_path: reads all facts in one statement.
        assertions: for whom an assertion must be, and where its id is recorded.
        usage: counts a refused token request for its credential; None counts nothing.
        peer: the address that the request came from.

    Raises:
        InvalidClient: for any reason; the caller cannot tell one from another.
        Unavailable: the facts cannot be read, the id of an assertion cannot be recorded, or the keys of an issuer
            cannot be fetched.
    """
    if isinstance(presented, PresentedWorkload) and not presented.client_id:
        presented = with_client(presented, hot_path)
    facts = hot_path.issue_facts(presented.client_id, resource)
    try:
        if isinstance(presented, PresentedSecret):
            proven, fault = _by_secret(presented, facts, peer)
        elif isinstance(presented, PresentedAssertion):
            proven, fault = _by_assertion(presented, facts, assertions, peer)
        elif isinstance(presented, PresentedCertificate):
            proven, fault = _by_certificate(presented, facts, assertions, peer)
        else:
            proven, fault = _by_workload(presented, facts, assertions, peer)
    except KeysUnavailable:
        if usage is not None and facts is not None:
            usage.refused(facts.client_id, "keys_unavailable", facts.now)
        raise
    if facts is None or proven is None or fault:
        if usage is not None:
            # Called for an unknown client too, which is not counted, so that both take the same time.
            usage.refused(facts.client_id if facts else "", fault, facts.now if facts else 0)
        raise InvalidClient(fault)
    return Authenticated(facts, proven)


def _by_secret(presented: PresentedSecret, facts: IssueFacts | None, peer: str) -> tuple[LiveSecret | None, str]:
    """The secret that was presented, and the true cause of a failure."""
    secrets = [*facts.secrets, _NONE, _NONE][: max(2, len(facts.secrets))] if facts else [_NONE, _NONE]
    matching = [each for each in secrets if hmac.compare_digest(each.hash, presented.secret_hash)]
    if facts is None:
        return None, "unknown_client"
    if not matching or not matching[0].id:
        return None, "wrong_secret"
    return matching[0], _refusal_reason(facts, matching[0], peer)


def _by_assertion(
    presented: PresentedAssertion, facts: IssueFacts | None, assertions: AssertionContext, peer: str
) -> tuple[LiveSecret | None, str]:
    """The key that signed, and the true cause of a failure; the id is used up only when there is none."""
    now = facts.now if facts else 0
    key, found, fault = judged(presented, facts.secrets if facts else (), assertions, now)
    if facts is None:
        return None, "unknown_client"
    if key is None or found is None:
        return None, fault
    fault = _refusal_reason(facts, key, peer)
    if not fault and not use_up(presented, found, assertions, now):
        fault = "assertion_replayed"
    return key, fault


def _by_workload(
    presented: PresentedWorkload, facts: IssueFacts | None, assertions: AssertionContext, peer: str
) -> tuple[LiveSecret | None, str]:
    """The trust that the token of a workload meets, and the true cause of a failure."""
    now = facts.now if facts else 0
    proven, trust, fault = judged_token(presented, facts.secrets if facts else (), assertions, now)
    if facts is None:
        return None, "unknown_client"
    if proven is None or trust is None:
        return None, fault
    fault = _refusal_reason(facts, proven, peer)
    if not fault and not use_up_token(presented, trust, assertions, now):
        fault = "workload_replayed"
    return proven, fault


def _by_certificate(
    presented: PresentedCertificate, facts: IssueFacts | None, assertions: AssertionContext, peer: str
) -> tuple[LiveSecret | None, str]:
    """The condition that the certificate meets, and the true cause of a failure."""
    secrets, now = (facts.secrets, facts.now) if facts else ((), 0)
    proven, fault = judged_certificate(presented, secrets, assertions.authorities, now)
    if facts is None:
        return None, "unknown_client"
    if proven is None:
        return None, fault
    return proven, _refusal_reason(facts, proven, peer)


def _refusal_reason(facts: IssueFacts, proven: LiveSecret, peer: str) -> str:
    """Why a client that proved a secret or a key is refused all the same, for the log; empty when it is not."""
    ends_at, now = proven.ends_at, facts.now
    ended = "key_ended" if proven.public_jwk else "trust_ended" if proven.trust else "secret_ended"
    for name, holds in (
        ("credential_deleted", facts.credential_deleted),
        (ended, ends_at is not None and over(now, ends_at)),
        ("credential_disabled", facts.credential_disabled),
        ("owner_disabled", facts.owner_disabled),
        ("credential_expired", over(now, facts.credential_expires_at)),
        ("network_not_allowed", not known_restrictions(facts).admits(peer)),
    ):
        if holds:
            return name
    return ""


def issue(
    client: Authenticated,
    scope: str,
    resource: str = "",
    *,
    issuer: str,
    usage: UsageRecorder,
    jkt: str = "",
    x5t: str = "",
) -> Issued:
    """Decide roles, audience and expiry of a new token.

    Args:
        client: the authenticated client; its facts were read for ``resource``.
        scope: the requested roles, empty for all that can be granted.
        resource: the requested audience, empty for the default one.
        issuer: the issuer identifier of this server.
        usage: counts a refused request.
        jkt: the thumbprint of the key that the client proved to hold (DPoP); empty for none. The token is bound to it.
        x5t: the thumbprint of the certificate that the client came with; empty for none. Without ``jkt`` the token is
            bound to it where the client authenticated by it, or where a bound token is required.

    Raises:
        InvalidScope: a requested role is not chosen or not held, or no role is left.
        InvalidTarget: no registered resource server to issue for, or the credential is restricted to others.
        InvalidDpopProof: the token must be bound, and there is neither a proof nor a certificate.
        UnauthorizedClient: clients must authenticate by a key, and this one sent a secret.
        Unavailable: no key is active for the algorithm.
    """
    facts = client.facts
    try:
        roles = _grant_roles(_requested(scope), facts.chosen, facts.held, facts.token_alg)
        audience = _audience(resource, facts)
        restricted, confirmation = _checked(client, audience, jkt, x5t)
    except (InvalidScope, InvalidTarget, InvalidDpopProof, UnauthorizedClient) as error:
        usage.refused(facts.client_id, error.code, facts.now)
        raise
    if facts.active_kid is None:
        msg = f"no signing key is active for {facts.token_alg}"
        raise Unavailable(msg)
    now, text = facts.now, " ".join(roles)
    longest = min(facts.max_lifetime, restricted.lifetime or facts.max_lifetime)
    # The instant comes first, so that new rows are neighbours in the index; the rest is 144 random bits.
    jti = f"{now:08x}{base64.urlsafe_b64encode(os.urandom(18)).decode()}"
    start = SessionStart(
        jti=jti,
        client_id=facts.client_id,
        secret_id=client.secret.id,
        kid=facts.active_kid,
        audience=audience,
        roles=text,
        role_version=facts.role_version,
        credential_version=facts.credential_version,
        epoch=facts.epoch,
        issued_at=now,
        expires_at=token_end(now, longest, facts.credential_expires_at, client.secret.ends_at),
    )
    claims = claims_of(start, issuer=issuer, owner_id=facts.owner_id, confirmation=confirmation)
    return Issued(claims, start.kid, start, start.expires_at - now, text, facts.token_typ)


_KEY_REQUIRED = "A secret is not enough here: authenticate by a key (private_key_jwt) or by a client certificate."
_RESTRICTED = "This credential gets no tokens for that resource server; its owner chose for which."


def _checked(client: Authenticated, audience: str, jkt: str, x5t: str) -> tuple[Restrictions, Confirmation | None]:
    """The restrictions of the credential and what its token is bound to; the request meets them and the policy."""
    facts, restricted = client.facts, known_restrictions(client.facts)
    if restricted.audiences and audience not in restricted.audiences:
        raise InvalidTarget(_RESTRICTED)
    wanted = required(
        secrets_allowed=facts.secrets_allowed,
        bound_required=facts.bound_required,
        server=facts.server_requires,
        credential_bound=restricted.bound,
    )
    if KEY in wanted and client.secret.is_shared:
        raise UnauthorizedClient(_KEY_REQUIRED)
    if jkt:
        return restricted, Confirmation(JKT, jkt)
    if x5t and (BOUND in wanted or client.secret.is_certificate):
        return restricted, Confirmation(THUMBPRINT, x5t)
    if BOUND in wanted:
        raise InvalidDpopProof("no_proof")
    return restricted, None


def _requested(scope: str) -> frozenset[str]:
    try:
        return parse_scope(scope)
    except BadScope as error:
        raise InvalidScope(str(error)) from error


@lru_cache(maxsize=1024)
def _grant_roles(requested: frozenset[str], chosen: frozenset[str], held: frozenset[str], alg: str) -> tuple[str, ...]:
    # Cached, because clients repeat their requests; a refusal raises and is not cached.
    grant = granted(requested, chosen, held)
    if grant.refused:
        msg = "A requested role is not part of this credential or no longer held by its owner; omit scope to get all."
        raise InvalidScope(msg)
    if not grant.roles:
        msg = "No role is left: the owner holds none of the roles chosen for this credential."
        raise InvalidScope(msg)
    if sum(2 * len(name) + 4 for name in grant.roles) > _LONG_SIGNATURES.get(alg, MAX_ROLES_BYTES):
        msg = "The token would be too large for the header it travels in; ask for fewer roles with scope."
        raise InvalidScope(msg)
    return grant.roles


def _audience(resource: str, facts: IssueFacts) -> str:
    if facts.audience is None:
        raise InvalidTarget(_target_fault(resource))
    return facts.audience


def _target_fault(resource: str) -> str:
    if " " in resource:
        return "A token is for one resource server; send one value, as resource or as audience."
    if not resource:
        return "Name a registered resource server with the resource parameter, or set a default audience."
    return audience_fault(resource) or "No resource server is registered for this resource."
