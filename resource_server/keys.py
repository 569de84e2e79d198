"""The server's public keys: how a key set is read (RFC 7517 §5), kept, refreshed and given up.

* ``max-age`` is honoured; a little before its end one caller fetches anew, the others go on with what is there.
* While the server cannot be reached keys are used for ``keys_stale`` seconds more, then nothing is verified.
* A token with an unknown ``kid`` causes at most one fetch per ``unknown_key_interval``, however many come.
* After a failure the next try waits, doubling up to a minute, at random, so that many verifiers do not come at once.
"""

import random
import re
import threading
from dataclasses import dataclass
from typing import Any

import jwt

from resource_server.clocks import Clock
from resource_server.errors import InvalidToken, Unavailable
from resource_server.events import Events
from resource_server.jose import strict_object
from resource_server.network.backoff import Backoff
from resource_server.network.steps import Answer, Call, SingleFlight, Steps, failed
from resource_server.settings import Settings

_MAX_KEYS = 100
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_KEY_TYPES = {"ES256": ("EC", "P-256"), "RS256": ("RSA", None), "PS256": ("RSA", None), "EdDSA": ("OKP", "Ed25519")}
_DEFAULT_MAX_AGE = 300
_MAX_MAX_AGE = 86400
_MIN_RSA_BITS = 2048
_MIN_RSA_EXPONENT = 65537
_OK, _NOT_MODIFIED = 200, 304


class BadKeySet(ValueError):
    """The key set is not to be trusted as a whole."""


def read_keys(document: dict[str, Any], algorithms: tuple[str, ...]) -> dict[str, jwt.PyJWK]:
    """Keys by ``kid``; those of unknown kinds are left out (RFC 7517 §5).

    Raises:
        BadKeySet: it holds a private or secret key, a ``kid`` twice, or a weak key.
    """
    jwks = document.get("keys")
    if not isinstance(jwks, list) or len(jwks) > _MAX_KEYS or not all(isinstance(jwk, dict) for jwk in jwks):
        raise BadKeySet('the member "keys" is not a list of at most 100 objects')
    keys: dict[str, jwt.PyJWK] = {}
    seen: set[object] = set()
    for jwk in jwks:
        if not _PRIVATE.isdisjoint(jwk) or jwk.get("kty") == "oct":
            raise BadKeySet("it holds private or secret key material")
        kid = jwk.get("kid")
        if not isinstance(kid, str) or not kid:
            continue
        if kid in seen:
            raise BadKeySet("it holds a kid twice")
        seen.add(kid)
        alg = jwk.get("alg")
        if alg not in algorithms or jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
            continue
        kty, crv = _KEY_TYPES[alg]
        if jwk.get("kty") != kty or (crv and jwk.get("crv") != crv):
            raise BadKeySet("the alg of a key does not fit its kty or crv")
        keys[kid] = _make_key(jwk, alg)
    return keys


def _make_key(jwk: dict[str, Any], alg: str) -> jwt.PyJWK:
    try:
        key = jwt.PyJWK(jwk, algorithm=alg)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise BadKeySet(f"a key cannot be read: {type(error).__name__}") from None
    if alg in {"RS256", "PS256"} and (
        key.key.key_size < _MIN_RSA_BITS or key.key.public_numbers().e < _MIN_RSA_EXPONENT
    ):
        raise BadKeySet("an RSA key is weaker than 2048 bits or has a small exponent")
    return key


def max_age_of(headers: dict[str, str], default: int) -> int:
    """Seconds for which an answer may be cached (RFC 9111 §5.2.2); 0 for ``no-store`` and ``no-cache``."""
    cache_control = headers.get("cache-control", "").lower()
    if re.search(r"\bno-(?:store|cache)\b", cache_control):
        return 0
    match = re.search(r"\bmax-age=(\d{1,9})\b", cache_control)
    return int(match[1]) if match else default


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: dict[str, jwt.PyJWK]
    fetched_at: float
    refresh_at: float
    """From then on it is to be fetched anew."""
    ends_at: float
    """From then on nothing is verified with it."""
    etag: str


class KeySource:
    """The current keys of the server."""

    def __init__(self, settings: Settings, clock: Clock, events: Events) -> None:
        self._settings, self._clock, self._events = settings, clock, events
        self._url = settings.endpoint("jwks_uri")
        self._flights = SingleFlight()
        self._backoff = Backoff(clock)
        self._lock = threading.Lock()
        self.key_set: _KeySet | None = None
        self._fetched_for_unknown = -float("inf")
        self.removed: frozenset[str] = frozenset()
        """Keys that a change feed declared dead, whatever a cached set says."""

    def find(self, kid: str, *, from_server: bool = False) -> Steps[jwt.PyJWK]:
        """The key of this id.

        Args:
            kid: the id.
            from_server: the id comes from the server itself, not from a token that anybody may have made, so the
                keys are fetched at once if it is unknown.

        Raises:
            InvalidToken: there is none.
            Unavailable: whether there is one cannot be learned now.
        """
        now = self._clock.elapsed()
        key_set = self.key_set
        if key_set is None or now >= key_set.refresh_at:
            key_set = yield from self._refetched(kid, key_set)
        if kid in self.removed:
            raise InvalidToken("key_removed")
        key = key_set.keys.get(kid)
        if key is None:
            key = yield from self._unknown(kid, 0 if from_server else self._settings.unknown_key_interval)
        return key

    def _refetched(self, kid: str, key_set: _KeySet | None) -> Steps[_KeySet]:
        now = self._clock.elapsed()
        usable = key_set is not None and now < key_set.ends_at
        if (
            key_set is not None
            and usable
            and kid in key_set.keys
            and (self._backoff.waiting or self._flights.in_flight("keys"))
        ):
            return key_set
        if self._backoff.waiting:
            if key_set is not None and usable:
                return key_set
            raise Unavailable("keys_unavailable", "The server's keys cannot be fetched, and those known are too old.")
        try:
            return (yield from self._flights.run("keys", self._fetch))
        except Unavailable:
            if key_set is not None and self._clock.elapsed() < key_set.ends_at:
                return key_set
            raise

    def _unknown(self, kid: str, interval: int) -> Steps[jwt.PyJWK]:
        """Refetch for an unknown ``kid``, at most once per interval: the set may be old, or the token forged."""
        with self._lock:
            now = self._clock.elapsed()
            key_set = self.key_set
            last = max(self._fetched_for_unknown, key_set.fetched_at if key_set else -float("inf"))
            due = now >= last + interval and not self._backoff.waiting
            if due:
                self._fetched_for_unknown = now
        if due:
            key_set = yield from self._flights.run("keys", self._fetch)
        elif self._backoff.waiting:
            raise Unavailable("keys_unavailable", "The token names an unknown key, and the keys cannot be fetched now.")
        key = key_set.keys.get(kid) if key_set else None
        if key is None:
            raise InvalidToken("unknown_key")
        return key

    def _fetch(self) -> Steps[_KeySet]:
        started_at = self._clock.elapsed()
        previous = self.key_set
        headers = {"Accept": "application/jwk-set+json, application/json"}
        if previous and previous.etag:
            headers["If-None-Match"] = previous.etag
        try:
            answer: Answer = yield Call("GET", self._url, headers)
            key_set = self._read_answer(answer, started_at, previous)
        except Unavailable as error:
            wait = self._backoff.fail()
            self._events.emit("fetch_failed", what="keys", reason=error.reason, retry_in=round(wait, 3))
            raise
        self._backoff.succeed()
        self.key_set = key_set
        self._events.emit("keys_fetched", changed=previous is None or previous.keys is not key_set.keys)
        return key_set

    def _read_answer(self, answer: Answer, started_at: float, previous: _KeySet | None) -> _KeySet:
        if answer.status == _NOT_MODIFIED and previous:
            keys, etag = previous.keys, previous.etag
        elif answer.status == _OK:
            try:
                keys = read_keys(strict_object(answer.body), self._settings.algorithms)
            except (BadKeySet, InvalidToken) as error:
                raise Unavailable("bad_key_set", f"The server's key set is refused: {error}.") from None
            etag = answer.headers.get("etag", "")
        else:
            raise failed(answer, "The request for the keys")
        age = max(min(max_age_of(answer.headers, _DEFAULT_MAX_AGE), _MAX_MAX_AGE), 1)
        share = random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
        return _KeySet(keys, started_at, started_at + age * share, started_at + age + self._settings.keys_stale, etag)
