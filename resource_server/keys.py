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

from resource_server.backoff import Backoff
from resource_server.clocks import Clock
from resource_server.errors import InvalidToken, Unavailable
from resource_server.events import Events
from resource_server.jose import strict_object
from resource_server.settings import Settings
from resource_server.steps import Answer, Call, Flights, Steps, failed

_MAX_KEYS = 100
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_KINDS = {"ES256": ("EC", "P-256"), "RS256": ("RSA", None), "PS256": ("RSA", None), "EdDSA": ("OKP", "Ed25519")}
_DEFAULT_MAX_AGE = 300
_LONGEST_MAX_AGE = 86400
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
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS or not all(isinstance(each, dict) for each in listed):
        raise BadKeySet('the member "keys" is not a list of at most 100 objects')
    made: dict[str, jwt.PyJWK] = {}
    seen: set[object] = set()
    for each in listed:
        if not _PRIVATE.isdisjoint(each) or each.get("kty") == "oct":
            raise BadKeySet("it holds private or secret key material")
        kid = each.get("kid")
        if not isinstance(kid, str) or not kid:
            continue
        if kid in seen:
            raise BadKeySet("it holds a kid twice")
        seen.add(kid)
        alg = each.get("alg")
        if alg not in algorithms or each.get("use", "sig") != "sig" or "verify" not in each.get("key_ops", ["verify"]):
            continue
        kty, crv = _KINDS[alg]
        if each.get("kty") != kty or (crv and each.get("crv") != crv):
            raise BadKeySet("the alg of a key does not fit its kty or crv")
        made[kid] = _made(each, alg)
    return made


def _made(each: dict[str, Any], alg: str) -> jwt.PyJWK:
    try:
        key = jwt.PyJWK(each, algorithm=alg)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise BadKeySet(f"a key cannot be read: {type(error).__name__}") from None
    if alg in {"RS256", "PS256"} and (
        key.key.key_size < _MIN_RSA_BITS or key.key.public_numbers().e < _MIN_RSA_EXPONENT
    ):
        raise BadKeySet("an RSA key is weaker than 2048 bits or has a small exponent")
    return key


def max_age_of(headers: dict[str, str], default: int) -> int:
    """Seconds for which an answer may be kept (RFC 9111 §5.2.2); 0 for ``no-store`` and ``no-cache``."""
    told = headers.get("cache-control", "").lower()
    if re.search(r"\bno-(?:store|cache)\b", told):
        return 0
    found = re.search(r"\bmax-age=(\d{1,9})\b", told)
    return int(found[1]) if found else default


@dataclass(frozen=True, slots=True)
class _View:
    keys: dict[str, jwt.PyJWK]
    fetched: float
    refresh: float
    """From then on it is to be fetched anew."""
    end: float
    """From then on nothing is verified with it."""
    etag: str


class KeySource:
    """The current keys of the server."""

    def __init__(self, settings: Settings, clock: Clock, events: Events) -> None:
        self._settings, self._clock, self._events = settings, clock, events
        self._url = settings.endpoint("jwks_uri")
        self._flights = Flights()
        self._backoff = Backoff(clock)
        self._lock = threading.Lock()
        self.view: _View | None = None
        self._asked_for_unknown = -float("inf")
        self.removed: frozenset[str] = frozenset()
        """Keys that a change feed declared dead, whatever a cached set says."""

    def find(self, kid: str, *, told_by_server: bool = False) -> Steps[jwt.PyJWK]:
        """The key of this id.

        Args:
            kid: the id.
            told_by_server: the id comes from the server itself, not from a token that anybody may have made, so the
                keys are fetched at once if it is unknown.

        Raises:
            InvalidToken: there is none.
            Unavailable: whether there is one cannot be learned now.
        """
        now = self._clock.elapsed()
        view = self.view
        if view is None or now >= view.refresh:
            view = yield from self._renewed(kid, view)
        if kid in self.removed:
            raise InvalidToken("key_removed")
        key = view.keys.get(kid)
        if key is None:
            key = yield from self._unknown(kid, 0 if told_by_server else self._settings.unknown_key_interval)
        return key

    def _renewed(self, kid: str, view: _View | None) -> Steps[_View]:
        now = self._clock.elapsed()
        usable = view is not None and now < view.end
        if view is not None and usable and kid in view.keys and (self._backoff.waiting or self._flights.flying("keys")):
            return view
        if self._backoff.waiting:
            if view is not None and usable:
                return view
            raise Unavailable("keys_unavailable", "The server's keys cannot be fetched, and those known are too old.")
        try:
            return (yield from self._flights.run("keys", self._fetch))
        except Unavailable:
            if view is not None and self._clock.elapsed() < view.end:
                return view
            raise

    def _unknown(self, kid: str, interval: int) -> Steps[jwt.PyJWK]:
        """A token names a key that is not in the set: perhaps the set is old, perhaps somebody plays."""
        with self._lock:
            now = self._clock.elapsed()
            view = self.view
            last = max(self._asked_for_unknown, view.fetched if view else -float("inf"))
            due = now >= last + interval and not self._backoff.waiting
            if due:
                self._asked_for_unknown = now
        if due:
            view = yield from self._flights.run("keys", self._fetch)
        elif self._backoff.waiting:
            raise Unavailable("keys_unavailable", "The token names an unknown key, and the keys cannot be fetched now.")
        key = view.keys.get(kid) if view else None
        if key is None:
            raise InvalidToken("unknown_key")
        return key

    def _fetch(self) -> Steps[_View]:
        began = self._clock.elapsed()
        before = self.view
        headers = {"Accept": "application/jwk-set+json, application/json"}
        if before and before.etag:
            headers["If-None-Match"] = before.etag
        try:
            answer: Answer = yield Call("GET", self._url, headers)
            view = self._taken(answer, began, before)
        except Unavailable as error:
            wait = self._backoff.fail()
            self._events.tell("fetch_failed", what="keys", reason=error.reason, retry_in=round(wait, 3))
            raise
        self._backoff.succeed()
        self.view = view
        self._events.tell("keys_fetched", changed=before is None or before.keys is not view.keys)
        return view

    def _taken(self, answer: Answer, began: float, before: _View | None) -> _View:
        if answer.status == _NOT_MODIFIED and before:
            keys, etag = before.keys, before.etag
        elif answer.status == _OK:
            try:
                keys = read_keys(strict_object(answer.body), self._settings.algorithms)
            except (BadKeySet, InvalidToken) as error:
                raise Unavailable("bad_key_set", f"The server's key set is refused: {error}.") from None
            etag = answer.headers.get("etag", "")
        else:
            raise failed(answer, "The request for the keys")
        age = max(min(max_age_of(answer.headers, _DEFAULT_MAX_AGE), _LONGEST_MAX_AGE), 1)
        early = random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
        return _View(keys, began, began + age * early, began + age + self._settings.keys_stale, etag)
