"""What a peer was seeded with, and the requests that follow from it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask

API = "orders-api"
SECRET = "a-secret-of-the-peers-only"  # noqa: S105 - of databases that live for one run


@dataclass(frozen=True, slots=True)
class PeerFixtures:
    """Clients and tokens, each token with the client that got it; all have one secret."""

    clients: Sequence[str]
    tokens: Sequence[str]
    scope: str


def basic(name: str, secret: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def fetch_tokens(app: Flask, clients: Sequence[str], count: int, scope: str = "") -> PeerFixtures:
    """Get ``count`` tokens by the application's own token endpoint."""
    caller = app.test_client()
    tokens = []
    for number in range(count):
        answer = caller.post(
            "/oauth/token",
            data={"grant_type": "client_credentials", "scope": scope},
            headers={"Authorization": basic(clients[number % len(clients)], SECRET)},
        )
        tokens.append(answer.get_json()["access_token"])
    return PeerFixtures(clients, tokens, scope)
