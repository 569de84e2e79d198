"""Reads JWK sets that others publish (RFC 7517 §5), and finds the key in one that made a signature.

An issuer publishes keys for everybody, so a key that is not used here is passed over (RFC 7517 §5); one that is weak or
private is, too. What a token names only chooses among the keys of that one set (RFC 8725 §3.1, §3.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from keys.import_key import WeakKey
from keys.jws import Jws, json_object
from keys.public_keys import SAME_AS, RegisteredKey, of_jwk, registered

MOST_KEYS: Final = 64
MOST_TRIED: Final = 4
"""Keys of one set whose signature is verified for one token."""

_USES: Final = frozenset({"sig", "jwt-svid"})
"""``use`` of a key for signatures; a SPIFFE bundle says it in its own way (SPIFFE Trust Domain and Bundle §4.2)."""

_OF_RSA: Final = ("RS256", "PS256")
"""What a key without ``alg`` may sign with, where its type does not say."""


class UnusableKeySet(ValueError):
    """No JWK set, or one without a key that is used here; the text says which."""


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key of a set: what it is called there, and the key."""

    kid: str
    key: RegisteredKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer or client."""

    keys: tuple[PublishedKey, ...]

    def names(self, kid: str) -> bool:
        """Whether there is a key of that name; a token without a name needs none."""
        return not kid or any(each.kid == kid for each in self.keys)

    def verifies(self, jws: Jws) -> bool:
        """Whether one of the keys made the signature."""
        alg = SAME_AS.get(jws.alg, jws.alg)
        fitting = [each.key for each in self.keys if each.key.alg == alg and jws.kid in {"", each.kid}]
        return any(key.verifies(jws.signature, jws.signed) for key in fitting[:MOST_TRIED])


def key_set(data: bytes) -> KeySet:
    """Read a JWK set.

    Raises:
        UnusableKeySet: it is none, has too many keys, or none that is used here.
    """
    try:
        members = json_object(data).get("keys")
    except (ValueError, TypeError, RecursionError) as error:
        msg = "it is no JSON object, or has a member twice"
        raise UnusableKeySet(msg) from error
    if not isinstance(members, list) or len(members) > MOST_KEYS:
        msg = f"it is no JWK set: an object with `keys`, {MOST_KEYS} at most"
        raise UnusableKeySet(msg)
    found = [key for each in members if isinstance(each, dict) for key in _usable(each)]
    if not found:
        msg = "it has no key that can be used here: RSA of 2048 bits or more, P-256, Ed25519 or ML-DSA, for signatures"
        raise UnusableKeySet(msg)
    return KeySet(tuple(found))


def _usable(members: dict[str, Any]) -> Sequence[PublishedKey]:
    use, kid = members.get("use", "sig"), members.get("kid", "")
    if use not in _USES or not isinstance(kid, str):
        return ()
    named = members.get("alg")
    algorithms = (named,) if isinstance(named, str) else _OF_RSA if members.get("kty") == "RSA" else ("",)
    found = []
    for alg in algorithms:
        try:
            key = of_jwk({**members, "use": "sig"}, alg)
        except WeakKey:
            continue
        found.append(PublishedKey(kid, registered(key.jwk)))
    return found
