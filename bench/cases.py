"""The cases of the benchmark: a case is one kind of request against one server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX, mint
from bench.authserver_under_test import ES256, RS256, AuthserverUnderTest
from bench.peers.fixtures import API, SECRET, PeerFixtures, basic
from bench.requests import get, post
from bench.signed_requests import DPOP, FEDERATION, KEY, SignedRequests

Requests = Callable[[int], Sequence[bytes]]
"""Number of the round -> what is sent in it."""

WARMUP_ROUND = -1
"""The round before the first one, which is not counted."""

BARE, ECHO = "bare", "echo"


@dataclass(frozen=True, slots=True)
class Case:
    """``kind`` is what a right answer has (``requests.fault``).

    With ``below`` the load is half of what that other cell reached: the latency of a server that is not saturated.
    With ``once`` each request is sent once.
    """

    name: str
    server: str
    kind: str
    requests: Requests
    below: str = ""
    once: bool = False


_ANOTHER_SECRET = mint(RESOURCE_SERVER_PREFIX, lambda alphabet: alphabet[0])
"""In the form of a resource server's, and nobody's."""


def _every_round(requests: Sequence[bytes]) -> Requests:
    return lambda _round: requests


def baseline_cases(sample: bytes) -> list[Case]:
    """The bare server and Flask's echo; both are sent a real introspection."""
    echoed = sample.replace(b"POST /oauth/introspect", b"POST /echo")
    return [
        Case("bare", BARE, "active", _every_round([sample])),
        Case("echo", ECHO, "http_route", _every_round([echoed])),
    ]


BAD = ("garbage", "forged", "wrong secret", "unknown caller")
"""Introspections that are refused; they should cost no more than a good one."""

HOT = 256
"""Tokens that fit every cache of a server; the others measure what customers have."""


def signed_cases(server: str, authserver: AuthserverUnderTest, count: int) -> list[Case]:
    """Token requests of clients that sign; ``count`` of them are signed for each round, more than it can send."""
    signed = SignedRequests(authserver)

    def requests(way: str) -> Requests:
        return lambda _round: signed.make(way, ES256, count)

    kinds = {KEY: "token", FEDERATION: "token", DPOP: "bound"}
    return [Case(f"{server} token ES256, {way}", server, kind, requests(way), once=True) for way, kind in kinds.items()]


def server_cases(
    server: str, authserver: AuthserverUnderTest, live: Sequence[str], fresh: Sequence[str], rounds: int
) -> list[Case]:
    """What the real server is asked.

    Args:
        server: its name.
        authserver: its database.
        live: tokens that are introspected again and again: all of them in a random order, or the first ``HOT``.
        fresh: tokens that nobody has shown yet; each round has its own share.
        rounds: how many rounds there will be.
    """
    call = {"http_method": "GET", "http_route": "/orders/{id}"}

    def introspections(tokens: Sequence[str]) -> list[bytes]:
        return [post("/oauth/introspect", {"token": each, **call}, authserver.api_authorization) for each in tokens]

    def token_requests(audience: str) -> list[bytes]:
        form = {"grant_type": "client_credentials", "resource": audience}
        return [post("/oauth/token", form, basic(*each)) for each in authserver.clients]

    def refused(what: str, text: Callable[[str], str], authorization: str) -> Case:
        some = [post("/oauth/introspect", {"token": text(each), **call}, authorization) for each in live[:HOT]]
        return Case(f"{server} introspect, {what}", server, "refused", _every_round(some))

    name, secret = authserver.api
    share = len(fresh) // (rounds + 1)
    hot = live[:HOT]
    shuffled = Random(1).sample(live, len(live))
    return [
        Case(f"{server} token ES256", server, "token", _every_round(token_requests(ES256))),
        Case(f"{server} token RS256", server, "token", _every_round(token_requests(RS256))),
        Case(f"{server} introspect", server, "active", _every_round(introspections(hot))),
        Case(f"{server} introspect, many live", server, "active", _every_round(introspections(shuffled))),
        Case(
            f"{server} introspect, never seen",
            server,
            "active",
            lambda number: introspections(fresh[(number - WARMUP_ROUND) * share :][:share]),
        ),
        Case(
            f"{server} introspect, half load",
            server,
            "active",
            _every_round(introspections(hot)),
            below=f"{server} introspect",
        ),
        refused("garbage", lambda text: text[-40:], authserver.api_authorization),
        refused("forged", lambda text: text[:-40] + "A" * 40, authserver.api_authorization),
        refused("wrong secret", str, basic(name, _ANOTHER_SECRET)),
        refused("unknown caller", str, basic("00000000-0000-4000-8000-000000000001", secret)),
        Case(f"{server} JWKS", server, "keys", _every_round([get("/.well-known/jwks.json")])),
        Case(
            f"{server} metadata",
            server,
            "token_endpoint",
            _every_round([get("/.well-known/oauth-authorization-server")]),
        ),
    ]


def peer_cases(server: str, made: PeerFixtures) -> list[Case]:
    """What an ORM peer is asked."""
    form = {"grant_type": "client_credentials", "scope": made.scope}
    return [
        Case(
            f"{server} token",
            server,
            "token",
            _every_round([post("/oauth/token", form, basic(name, SECRET)) for name in made.clients]),
        ),
        Case(
            f"{server} introspect",
            server,
            "active",
            _every_round([post("/oauth/introspect", {"token": each}, basic(API, SECRET)) for each in made.tokens]),
        ),
    ]
