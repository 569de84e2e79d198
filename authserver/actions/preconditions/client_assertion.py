"""Authenticates a client by an assertion that it signed (RFC 7523 §2.2); shared by every action that a client calls.

``client_secret_jwt`` is not offered: its HMAC needs the secret itself, of which only a keyed hash is kept, and it would
put a second meaning on the bytes of a key (RFC 8725 §2.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from authserver.ports.client_authentication import OneTimeIds, RemoteKeys
from authserver.ports.hot_path import LiveSecret
from authserver.rules.client_authentication.assertion import TYPES, AssertionWindow, one_time_key, subject_of, window
from authserver.rules.client_authentication.trust import published_keys_of
from authserver.rules.facts import Instant
from authserver.rules.names import CLIENT_ID
from keys.certificates import Authorities
from keys.jws import Jws, MalformedJws, parse
from keys.public_keys import SAME_AS, registered, verify_with_nobody

MOST_TRIED = 4
"""Keys of one client whose signature is verified for one assertion; two live at a time."""


class MalformedAssertion(ValueError):
    """No assertion that any look-up could find good; ``reason`` is for the log, ``claimed`` the client it names."""

    def __init__(self, reason: str, claimed: str = "") -> None:
        super().__init__(reason)
        self.reason, self.claimed = reason, claimed


@dataclass(frozen=True, slots=True, repr=False)
class PresentedAssertion:
    """A client, unproven, by what it signed. Has no repr: it is a credential while it lives.

    ``used_up`` says that its ``jti`` was recorded for this very request already.
    """

    client_id: str
    jws: Jws
    used_up: bool = False

    def again(self) -> "PresentedAssertion":
        """The same for a second look at the facts within one request."""
        return replace(self, used_up=True)


class AssertionContext(NamedTuple):
    """Whom an assertion must be for, where its id is recorded, and who knows the keys that others publish.

    ``authorities`` are those whose TLS certificates may name clients; None for nobody's.
    """

    issuer: str
    one_time_ids: OneTimeIds
    remote_keys: RemoteKeys | None = None
    authorities: Authorities | None = None


def presented_assertion(text: str, client_id: str) -> PresentedAssertion:
    """Read an assertion.

    Args:
        text: the value of ``client_assertion``.
        client_id: the value of ``client_id``; empty where it was not sent, as RFC 7521 §4.2 allows.

    Raises:
        MalformedAssertion: no strict JWS; of another ``typ`` (RFC 8725 §3.11); ``iss`` and ``sub`` are not the one
            client id (RFC 7523 §3 (1), (2) B); or it is for another client than ``client_id`` (RFC 7521 §4.2).
    """
    return assertion_of(parsed(text, client_id), client_id)


def parsed(text: str, client_id: str) -> Jws:
    """An assertion taken apart; ``MalformedAssertion`` where it is no strict JWS."""
    try:
        return parse(text)
    except MalformedJws as error:
        raise MalformedAssertion("malformed_assertion", client_id) from error


def assertion_of(jws: Jws, client_id: str) -> PresentedAssertion:
    """The same for one that was taken apart."""
    subject = subject_of(jws.claims)
    if not CLIENT_ID.fullmatch(subject):
        raise MalformedAssertion("assertion_subject", client_id)
    if client_id and client_id != subject:
        raise MalformedAssertion("assertion_subject", client_id)
    if jws.typ not in TYPES:
        raise MalformedAssertion("assertion_type", subject)
    return PresentedAssertion(subject, jws)


def signed_by(jws: Jws, keys: Sequence[LiveSecret]) -> LiveSecret | None:
    """The one of a client's keys that made the signature.

    The key has the algorithm, and the header must name the same (RFC 8725 §3.1): ``none`` and every HMAC name none that
    any key has. ``kid`` only narrows the choice among the client's own keys (RFC 7515 §4.1.4). Where no key fits,
    another one is tried that nobody holds, so that all refusals take the time of a verification (INV-29).
    """
    alg = SAME_AS.get(jws.alg, jws.alg)
    fitting = [(each, registered(each.public_jwk)) for each in keys if each.public_jwk]
    fitting = [(each, key) for each, key in fitting if key.alg == alg]
    named = [(each, key) for each, key in fitting if jws.kid and jws.kid in {key.kid, key.thumbprint}]
    for each, key in (named or fitting)[:MOST_TRIED]:
        if key.verifies(jws.signature, jws.signed):
            return each
    if not fitting:
        verify_with_nobody(alg)(jws.signature, jws.signed)
    return None


def published_by(jws: Jws, keys: Sequence[LiveSecret], remote: RemoteKeys | None) -> LiveSecret | None:
    """The address of a client at which it publishes the key that made the signature (``jwks_uri``).

    Nothing is fetched from one that was removed.

    Raises:
        KeysUnavailable: the keys there are not known and cannot be fetched.
    """
    for each in keys:
        published = published_keys_of(each.trust) if each.trust and each.ends_at is None else None
        if published is not None and remote is not None and remote.at(published.jwks_uri, jws.kid).verifies(jws):
            return each
    return None


def judged(
    presented: PresentedAssertion, keys: Sequence[LiveSecret], context: AssertionContext, now: Instant
) -> tuple[LiveSecret | None, AssertionWindow | None, str]:
    """The key that signed, the window of the assertion, and the reason to refuse it; the reason is empty when good.

    The signature comes first: nothing that an assertion says counts before it is known who says it. Pasted keys come
    before those that must be fetched.

    Raises:
        KeysUnavailable: the client publishes its keys, and they cannot be had.
    """
    key = signed_by(presented.jws, keys) or published_by(presented.jws, keys, context.remote_keys)
    if key is None:
        has_key = any(each.public_jwk or (each.trust and published_keys_of(each.trust)) for each in keys)
        return None, None, "assertion_signature" if has_key else "no_key"
    found = window(presented.jws.claims, issuer=context.issuer, now=now)
    return (key, None, found) if isinstance(found, str) else (key, found, "")


def use_up(presented: PresentedAssertion, found: AssertionWindow, context: AssertionContext, now: Instant) -> bool:
    """Record the ``jti``, so that the assertion is good once on all nodes together (RFC 7523 §3 (7)).

    Called last: only who holds the key can use an id up, so a forger cannot burn a client's, and only within that
    client's own ids.

    Raises:
        Unavailable: it cannot be recorded.
    """
    if presented.used_up:
        return True
    id_hash = one_time_key("assertion", presented.client_id, found.jti)
    return context.one_time_ids.claim(id_hash, found.ends_at, now, found.made_at)
