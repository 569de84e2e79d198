"""One cell is one request against one server; which cells there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bench.authserver_under_test import ES256, RS256, Ours
from bench.peers.fixtures import API, SECRET, Made, basic
from bench.requests import get, post

Requests = Callable[[int], Sequence[bytes]]
"""Number of the round -> what is sent in it."""

WARMING = -1
"""The round before the first one, which is not counted."""

BARE, ECHO = "bare", "echo"


@dataclass(frozen=True, slots=True)
class Cell:
    """``kind`` is what a right answer has (``requests.fault``).

    With ``below`` the load is half of what that other cell reached: the latency of a server that is not saturated.
    """

    name: str
    server: str
    kind: str
    requests: Requests
    below: str = ""


def _always(requests: Sequence[bytes]) -> Requests:
    return lambda _round: requests


def limits(sample: bytes) -> list[Cell]:
    """The bare server and Flask's echo; both are sent a real introspection."""
    echoed = sample.replace(b"POST /oauth/introspect", b"POST /echo")
    return [
        Cell("bare", BARE, "active", _always([sample])),
        Cell("echo", ECHO, "http_route", _always([echoed])),
    ]


HOT = 256
"""Tokens that fit every cache of a server; the others measure what customers have."""


def of_ours(server: str, ours: Ours, live: Sequence[str], fresh: Sequence[str], rounds: int) -> list[Cell]:
    """What the real server is asked.

    Args:
        server: its name.
        ours: its database.
        live: tokens that are introspected again and again: all of them in a random order, or the first ``HOT``.
        fresh: tokens that nobody has shown yet; each round has its own share.
        rounds: how many rounds there will be.
    """
    where = {"http_method": "GET", "http_route": "/orders/{id}"}

    def asked(tokens: Sequence[str]) -> list[bytes]:
        return [post("/oauth/introspect", {"token": each, **where}, ours.api_authorization) for each in tokens]

    def wanted(audience: str) -> list[bytes]:
        form = {"grant_type": "client_credentials", "resource": audience}
        return [post("/oauth/token", form, basic(*each)) for each in ours.clients]

    share = len(fresh) // (rounds + 1)
    hot = live[:HOT]
    shuffled = Random(1).sample(live, len(live))
    return [
        Cell(f"{server} token ES256", server, "token", _always(wanted(ES256))),
        Cell(f"{server} token RS256", server, "token", _always(wanted(RS256))),
        Cell(f"{server} introspect", server, "active", _always(asked(hot))),
        Cell(f"{server} introspect, many live", server, "active", _always(asked(shuffled))),
        Cell(
            f"{server} introspect, never seen",
            server,
            "active",
            lambda number: asked(fresh[(number - WARMING) * share :][:share]),
        ),
        Cell(f"{server} introspect, half load", server, "active", _always(asked(hot)), below=f"{server} introspect"),
        Cell(f"{server} JWKS", server, "keys", _always([get("/.well-known/jwks.json")])),
        Cell(
            f"{server} metadata",
            server,
            "token_endpoint",
            _always([get("/.well-known/oauth-authorization-server")]),
        ),
    ]


def of_peer(server: str, made: Made) -> list[Cell]:
    """What an ORM peer is asked."""
    form = {"grant_type": "client_credentials", "scope": made.scope}
    return [
        Cell(
            f"{server} token",
            server,
            "token",
            _always([post("/oauth/token", form, basic(name, SECRET)) for name in made.clients]),
        ),
        Cell(
            f"{server} introspect",
            server,
            "active",
            _always([post("/oauth/introspect", {"token": each}, basic(API, SECRET)) for each in made.tokens]),
        ),
    ]
