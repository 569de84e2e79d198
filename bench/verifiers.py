"""The package ``resource_server`` beside per-call introspection and a bare cache of verified tokens, in one run.

First how many calls one thread checks in a second; then, while other threads keep calling, how long after the answer to
a revocation a verifier of each mode still lets the token in. Everything is measured over loopback against the real
server, the modes in turn within each round.
"""

import hashlib
import http.client
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import cycle
from statistics import median
from typing import Any

import jwt

from authserver.actions import resource_servers
from authserver.ports.errors import Conflict
from bench.authserver_under_test import ES256, ISSUER, AuthserverUnderTest
from bench.figures import Figure
from bench.load_generator import BadLoad
from bench.peers.fixtures import basic
from bench.server_process import Running
from resource_server import Refused, Verifier

MODES = ("exact", "leased", "feed")
S = 2
"""Staleness bound for the delays, in seconds; for the rates it is ``_LONG``, as one lease lasts."""

CHECKED, HASHED, BARE = "cache, claims checked again", "cache by hash, exp alone", "cache by text, exp alone"
_LONG = 30
_TOKENS = 200
_CALLERS = 2
_LATEST = 10.0
_P99 = 0.99

Check = Callable[[str], object]


def measure(made: AuthserverUnderTest, server: Running, rounds: int, seconds: int, revocations: int) -> list[Figure]:
    """The figures: ratios of rates first, then the delays of each mode in milliseconds."""
    found = [*_rates(made, server, rounds, seconds)]
    for mode in MODES:
        found += _delays(made, server, mode, revocations)
    return found


def _verifier(made: AuthserverUnderTest, server: Running, mode: str, staleness: int) -> Verifier:
    base = f"http://127.0.0.1:{server.port}"
    bound: dict[str, Any] = {} if mode == "exact" else {"max_staleness": staleness}
    return Verifier(
        ISSUER,
        ES256,
        made.api,
        mode=mode,  # type: ignore[arg-type]  # one of MODES
        introspection_endpoint=f"{base}/oauth/introspect",
        usage_endpoint=f"{base}/oauth/usage",
        changes_endpoint=f"{base}/oauth/changes",
        jwks_uri=f"{base}/.well-known/jwks.json",
        **bound,
    )


def _bound_staleness(made: AuthserverUnderTest, seconds: int) -> None:
    with suppress(Conflict):
        resource_servers.bound_staleness(made.store.accounts, "ES256", seconds, actor="bench", now=int(time.time()))


def _rates(made: AuthserverUnderTest, server: Running, rounds: int, seconds: int) -> list[Figure]:
    _bound_staleness(made, _LONG)
    tokens = made.tokens(_TOKENS)
    with ExitStack() as stack:
        checks: dict[str, Check] = {}
        for mode in MODES:
            verifier = _verifier(made, server, mode, _LONG)
            stack.callback(verifier.close)
            checks[mode] = verifier.verify
        introspection = _Introspection(made, server)
        stack.callback(introspection.close)
        checks["introspection"] = introspection.ask
        checks[CHECKED], checks[HASHED] = _cache(made, checked=True), _cache(made, key=_digest)
        checks[BARE] = _cache(made)
        for check in checks.values():
            for token in tokens:
                check(token)
        rates: dict[str, list[float]] = {name: [] for name in checks}
        for _ in range(rounds):
            for name, check in checks.items():
                rates[name].append(_rate(check, tokens, seconds))
    return _ratios(rates)


def _ratios(rates: Mapping[str, Sequence[float]]) -> list[Figure]:
    def ratio(over: str, under: str) -> float:
        return median(a / b for a, b in zip(rates[over], rates[under], strict=True))

    figures = [
        Figure(f"one thread, local check ({mode}) ÷ introspection of each call", ratio(mode, "introspection"), 20, 60)
        for mode in ("leased", "feed")
    ]
    caches = {
        CHECKED: "a cache of tokens verified by PyJWT, which checks the claims again",
        HASHED: "the same that looks at `exp` alone, and keeps the SHA-256 of a token as the package does",
        BARE: "the same that keeps the text of each token",
    }
    figures += [
        Figure(f"one thread, local check ({mode}) ÷ {text}", ratio(mode, name), 0.5, 1)
        for name, text in caches.items()
        for mode in ("leased", "feed")
    ]
    none = float("inf")
    figures += [
        Figure(f"one thread, {name}", median(some), 0, none, unit="calls per s") for name, some in rates.items()
    ]
    return figures


def _rate(check: Check, tokens: Sequence[str], seconds: int) -> float:
    began = time.perf_counter()
    for count, token in enumerate(cycle(tokens), start=1):
        check(token)
        took = time.perf_counter() - began
        if took >= seconds:
            return count / took
    raise BadLoad(str(tokens))


class _Introspection:
    """One kept connection that asks about each call, by the means of the standard library alone."""

    def __init__(self, made: AuthserverUnderTest, server: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_LATEST)
        self._authorization = made.api_authorization

    def ask(self, token: str) -> None:
        """Introspect."""
        headers = {"Authorization": self._authorization, "Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/oauth/introspect", f"token={token}", headers)
        answer = self._connection.getresponse()
        if b'"active":true' not in answer.read():
            msg = "a live token was not active"
            raise BadLoad(msg)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _cache(made: AuthserverUnderTest, *, checked: bool = False, key: Callable[[str], Hashable] | None = None) -> Check:
    """What one writes without us: PyJWT once for each token, then a dictionary. It learns of no death but ``exp``.

    With ``checked`` PyJWT looks at all claims again for each call, as a verifier must whose settings may change. The
    dictionary keeps the text of a token, which whoever reads the memory can use, or what ``key`` makes of it.
    """
    keys = {kid: jwt.PyJWK(key) for kid, key in made.store.keys.public().items()}
    known: dict[Hashable, dict[str, Any]] = {}
    expected: dict[str, Any] = {"algorithms": ["ES256"], "audience": ES256, "issuer": ISSUER}
    again: Any = {"verify_signature": False, "verify_exp": True, "verify_aud": True, "verify_iss": True}

    def check(token: str) -> dict[str, Any]:
        kept = key(token) if key else token
        claims = known.get(kept)
        if claims is None:
            claims = known[kept] = jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], **expected)
        elif checked:
            claims = jwt.decode(token, options=again, **expected)
        if claims["exp"] <= time.time():
            raise BadLoad(token)
        return claims

    return check


def _delays(made: AuthserverUnderTest, server: Running, mode: str, revocations: int) -> list[Figure]:
    """From the answer to a revocation to the last call that was let in, while other threads call."""
    _bound_staleness(made, S)
    tokens, doomed = made.tokens(_TOKENS), made.tokens(revocations)
    verifier, stop = _verifier(made, server, mode, S), threading.Event()

    def call() -> None:
        while not stop.is_set():
            for token in tokens:
                verifier.verify(token)
                if stop.is_set():
                    return
                time.sleep(0.001)

    callers = [threading.Thread(target=call, daemon=True) for _ in range(_CALLERS)]
    try:
        for caller in callers:
            caller.start()
        found = sorted(_delay(made, server, verifier, token, number) for number, token in enumerate(doomed))
    finally:
        stop.set()
        for caller in callers:
            caller.join(_LATEST)
        verifier.close()
    bound = 0.0 if mode == "exact" else S * 1000.0
    typical = {"exact": 0.0, "leased": bound, "feed": 1000.0}[mode]
    p99 = found[min(len(found) - 1, int(len(found) * _P99))]
    return [
        Figure(f"{mode}, change to deny, median", median(found), typical, typical, least=False, unit="ms"),
        Figure(f"{mode}, change to deny, p99 of {len(found)}", p99, bound, typical, least=False, unit="ms"),
        Figure(f"{mode}, change to deny, highest", found[-1], bound, bound, least=False, unit="ms"),
    ]


def _delay(made: AuthserverUnderTest, server: Running, verifier: Verifier, token: str, number: int) -> float:
    """Milliseconds from the acknowledged revocation to the beginning of the last call that was let in; 0 for none."""
    verifier.verify(token)
    time.sleep(0.05 * (number % 7))  # a lease is of any age when its token dies
    _revoke(made, server, token, number)
    acknowledged = last = time.perf_counter()
    while time.perf_counter() < acknowledged + _LATEST:
        began = time.perf_counter()
        try:
            verifier.verify(token)
        except Refused:
            return (last - acknowledged) * 1000
        last = began
        time.sleep(0.002)
    msg = f"a revoked token was let in for {_LATEST} s"
    raise BadLoad(msg)


def _revoke(made: AuthserverUnderTest, server: Running, token: str, number: int) -> None:
    """By the client that got it: tokens are spread over the clients in their order."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_LATEST)
    try:
        headers = {
            "Authorization": basic(*made.clients[number % len(made.clients)]),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", "/oauth/revoke", f"token={token}", headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            msg = f"a revocation was answered {answer.status}"
            raise BadLoad(msg)
    finally:
        connection.close()
