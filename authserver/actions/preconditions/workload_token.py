"""Authenticates a client by a token that another issuer signed (workload identity federation, RFC 7523 §2.2).

The issuer, audience and conditions are those that the owner of the credential entered; the keys are those of that
issuer and of no other, so a token of one issuer never passes for one of another (issuer confusion).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from authserver.actions.preconditions.client_assertion import (
    AssertionContext,
    MalformedAssertion,
    PresentedAssertion,
    assertion_of,
    parsed,
)
from authserver.ports.client_authentication import KeysUnavailable, RemoteKeys
from authserver.ports.hot_path import HotPathReads, LiveSecret
from authserver.rules.client_authentication.assertion import one_time_key
from authserver.rules.client_authentication.trust import (
    Check,
    Trust,
    checks,
    end_of,
    may_mean,
    names_issuer,
    trust_of,
)
from authserver.rules.facts import Instant
from authserver.rules.names import CLIENT_ID
from keys.jws import Jws
from keys.key_sets import KeySet, key_set
from keys.public_keys import verify_with_nobody

MOST_ALONE = 2_000
"""Trusts of one issuer that are looked at for a token without a client id. Anybody can send one, so where there are
more the client must say who it is."""


@dataclass(frozen=True, slots=True, repr=False)
class PresentedWorkload:
    """A client, unproven, by a token of its platform. Has no repr: it is a credential while it lives.

    ``client_id`` is empty where the token came alone. ``used_up`` says that its ``jti`` was recorded for this very
    request already.
    """

    client_id: str
    jws: Jws
    used_up: bool = False

    def again(self) -> "PresentedWorkload":
        """The same for a second look at the facts within one request."""
        return replace(self, used_up=True)


def presented_token(text: str, client_id: str) -> PresentedAssertion | PresentedWorkload:
    """Read an assertion: what the client signed itself, or the token of another issuer, as its ``iss`` says.

    Raises:
        MalformedAssertion: as ``client_assertion.presented_assertion``; or a client id that is none.
    """
    jws = parsed(text, client_id)
    if not names_issuer(jws.claims.get("iss")):
        return assertion_of(jws, client_id)
    if client_id and not CLIENT_ID.fullmatch(client_id):
        raise MalformedAssertion("unknown_client", client_id)
    return PresentedWorkload(client_id, jws)


def with_client(presented: PresentedWorkload, hot_path: HotPathReads) -> PresentedWorkload:
    """The same with the client id of the one credential whose conditions the token meets; without one if not just one.

    What the token says chooses whom to ask, and proves nothing: the signature is verified afterwards, by the keys that
    this credential trusts.

    Raises:
        Unavailable: the trusts cannot be read.
    """
    jws, found = presented.jws, set()
    trusts = hot_path.trusting_clients(str(jws.claims["iss"]), MOST_ALONE + 1)
    for client_id, text in trusts if len(trusts) <= MOST_ALONE else ():
        trust = _read(text)
        if trust is not None and may_mean(trust, jws.typ, jws.claims):
            found.add(client_id)
    return replace(presented, client_id=found.pop()) if len(found) == 1 else presented


def judged_token(
    presented: PresentedWorkload, secrets: Sequence[LiveSecret], context: AssertionContext, now: Instant
) -> tuple[LiveSecret | None, Trust | None, str]:
    """The trust that the token meets, and the reason to refuse it; the reason is empty when it is good.

    The signature comes first: nothing that a token says counts before it is known who says it. Nothing is fetched for a
    trust that was removed.

    Raises:
        KeysUnavailable: the keys of an issuer that the credential trusts cannot be had.
    """
    jws, issuer = presented.jws, presented.jws.claims["iss"]
    read = [(each, _read(each.trust)) for each in secrets if each.trust is not None]
    known = [(each, trust) for each, trust in read if trust is not None and trust.issuer == issuer]
    trusted = [(each, trust) for each, trust in known if each.ends_at is None]
    if not trusted:
        verify_with_nobody(jws.alg)(jws.signature, jws.signed)
        return None, None, "trust_ended" if known else "workload_issuer" if read else "no_trust"
    signed: dict[tuple[str, str], bool] = {}
    fault = "workload_signature"
    for each, trust in trusted:
        source = (trust.jwks, trust.jwks_uri)
        if source not in signed:
            signed[source] = keys_of(trust, context.remote_keys, jws.kid).verifies(jws)
        if not signed[source]:
            continue
        fault = next((check.reason for check in checks(trust, jws.typ, jws.claims, now) if check.reason), "")
        if not fault:
            return each, trust, ""
    return None, None, fault


def use_up_token(presented: PresentedWorkload, trust: Trust, context: AssertionContext, now: Instant) -> bool:
    """Record the ``jti`` of a token whose trust says that each is good once; whether it was not used before.

    Called last, so that nobody but its holder can use one up, and only for that credential and issuer.

    Raises:
        Unavailable: it cannot be recorded.
    """
    if not trust.once or presented.used_up:
        return True
    claims = presented.jws.claims
    id_hash = one_time_key("workload", f"{presented.client_id} {trust.issuer}", claims["jti"])
    return context.one_time_ids.claim(id_hash, end_of(claims), now)


def keys_of(trust: Trust, remote: RemoteKeys | None, kid: str) -> KeySet:
    """The keys of the issuer that a trust names.

    Raises:
        KeysUnavailable: they cannot be had.
    """
    if trust.jwks:
        return _inline(trust.jwks)
    if remote is None:
        raise KeysUnavailable("off")
    return remote.at(trust.jwks_uri, kid) if trust.jwks_uri else remote.of_issuer(trust.issuer, kid)


def tried(trust: Trust, jws: Jws, remote: RemoteKeys | None, now: Instant) -> tuple[Check, ...]:
    """Everything that a trust asks of a token, its signature first, for people who want to know what fails."""
    try:
        keys = keys_of(trust, remote, jws.kid)
        names = " ".join(each.kid for each in keys.keys)
        signature = Check("signature", f"by a key of the issuer: {names}", f"{jws.alg} {jws.kid}".strip(), "")
        if not keys.verifies(jws):
            signature = signature._replace(reason="workload_signature")
    except KeysUnavailable as error:
        signature = Check("signature", "by a key of the issuer", error.reason, "keys_unavailable")
    return (signature, *checks(trust, jws.typ, jws.claims, now))


@lru_cache(maxsize=256)
def _inline(text: str) -> KeySet:
    return key_set(text.encode())


def _read(text: str | None) -> Trust | None:
    """A trust; None for one of a newer version, which then lets nobody in (INV-24)."""
    try:
        return None if text is None else trust_of(text)
    except ValueError:
        return None
