"""The public keys of issuers and clients, fetched when they are needed and kept in this process.

A set is used for ``FRESH_SECONDS`` without a question, then asked for anew beside the request that finds it old; after
``OLD_SECONDS`` the request waits for it. Where the other side cannot be reached the last good set counts for
``KEPT_SECONDS``. A key that a set does not have makes it be asked for again, once in ``AGAIN_SECONDS``, so that what
strangers send does not make us flood anybody.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from authserver.outbound.safe_fetch import FetchError, fetch
from authserver.ports.client_authentication import KeysUnavailable
from authserver.rules.outbound.public_addresses import Network
from keys.key_sets import KeySet, UnusableKeySet, key_set

FRESH_SECONDS: Final = 300.0
OLD_SECONDS: Final = 900.0
KEPT_SECONDS: Final = 24 * 3600.0
AGAIN_SECONDS: Final = 30.0
BACKOFF_SECONDS: Final = 10.0
MOST_BACKOFF: Final = 320.0
"""How long an address that failed is left alone: at first, and after it failed again and again."""

MOST_FETCHING: Final = 2
"""How many threads of a process may wait for others at a time; the rest serve tokens."""

MOST_KEPT: Final = 1024
_DISCOVERY: Final = "/.well-known/openid-configuration"

Fetch = Callable[[str], bytes]


class _Entry:
    """What is known of one place; ``asked_at`` and ``got_at`` are monotonic seconds, 0 for never."""

    def __init__(self) -> None:
        self.fetching = threading.Lock()
        self.keys: KeySet | None = None
        self.got_at = self.asked_at = 0.0
        self.fault = ""
        self.failures = 0

    @property
    def left_alone_until(self) -> float:
        """Until when it is not asked again after it failed."""
        return self.asked_at + min(BACKOFF_SECONDS * (1 << min(max(self.failures - 1, 0), 9)), MOST_BACKOFF)


class FetchedKeySets:
    """``ports.RemoteKeys``."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        get: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep keys for one process.

        Args:
            allowed: networks that may be asked although they are not public.
            get: fetches a document, for tests.
            clock: monotonic seconds.
        """
        self._get, self._clock = get or (lambda url: fetch(url, allowed)), clock
        self._lock, self._slots = threading.Lock(), threading.BoundedSemaphore(MOST_FETCHING)
        self._entries: dict[tuple[str, str], _Entry] = {}

    def of_issuer(self, issuer: str, kid: str = "") -> KeySet:
        """The keys of an issuer by discovery; asked for anew where none is called ``kid``."""
        return self._keys(("issuer", issuer), kid)

    def at(self, uri: str, kid: str = "") -> KeySet:
        """The keys at an address."""
        return self._keys(("uri", uri), kid)

    def _keys(self, place: tuple[str, str], kid: str) -> KeySet:
        entry, now = self._entry(place), self._clock()
        known, age = entry.keys, now - entry.got_at
        if known is None or age > OLD_SECONDS or (not known.names(kid) and now - entry.asked_at > AGAIN_SECONDS):
            self._refresh(place, entry)
        elif age > FRESH_SECONDS and now > entry.left_alone_until and not entry.fetching.locked():
            threading.Thread(target=self._refresh, args=(place, entry), name="keys", daemon=True).start()
        if entry.keys is None or self._clock() - entry.got_at > KEPT_SECONDS:
            raise KeysUnavailable(entry.fault or "busy")
        return entry.keys

    def _entry(self, place: tuple[str, str]) -> _Entry:
        with self._lock:
            entry = self._entries.get(place)
            if entry is None:
                if len(self._entries) >= MOST_KEPT:
                    self._entries.pop(next(iter(self._entries)))
                entry = self._entries[place] = _Entry()
            return entry

    def _refresh(self, place: tuple[str, str], entry: _Entry) -> None:
        """Ask once, however many wait; who finds no free slot goes on with what there is."""
        if not self._slots.acquire(blocking=False):
            return
        try:
            with entry.fetching:
                now = self._clock()
                failed_lately = entry.failures and now < entry.left_alone_until
                got_meanwhile = entry.keys is not None and now - entry.got_at < AGAIN_SECONDS
                if failed_lately or got_meanwhile:
                    return
                entry.asked_at = now
                self._ask(place, entry)
        finally:
            self._slots.release()

    def _ask(self, place: tuple[str, str], entry: _Entry) -> None:
        kind, name = place
        try:
            uri = self._discovered(name) if kind == "issuer" else name
            entry.keys, entry.fault, entry.failures = key_set(self._get(uri)), "", 0
            entry.got_at = self._clock()
        except FetchError as error:
            entry.fault, entry.failures = error.reason, entry.failures + 1
        except UnusableKeySet:
            entry.fault, entry.failures = "no_usable_key", entry.failures + 1

    def _discovered(self, issuer: str) -> str:
        """``jwks_uri`` of an issuer, which must be the one that it says it is (OpenID Connect Discovery §4.3)."""
        try:
            document: Any = json.loads(self._get(issuer.rstrip("/") + _DISCOVERY))
        except (ValueError, RecursionError) as error:
            raise FetchError("malformed") from error
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise FetchError("another_issuer")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str):
            raise FetchError("no_jwks_uri")
        return uri
