"""Token requests of clients that sign: by key, by the token of a platform, and with a proof (DPoP).

What they sign is good once and for a short time, so it is signed before each burst, and each request is sent once.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

from authserver.actions import client_keys, credentials
from authserver.actions.client_authentication import trusts
from authserver.rules.client_authentication.assertion import ASSERTION_TYPE
from authserver.rules.client_authentication.trust import made_trust
from bench.authserver_under_test import ISSUER, ROLES, AuthserverUnderTest
from bench.peers.fixtures import basic
from bench.requests import post

KEY, FEDERATION, DPOP = "key", "federation", "DPoP"
WAYS = (KEY, FEDERATION, DPOP)
_PLATFORM = "https://platform.example.com"
_OF_EACH = 8
_DAY = 86400
_SECONDS = 300


class SignedRequests:
    """Credentials of their own for each way, in a database that was seeded; so those with a secret stay as they are."""

    def __init__(self, authserver: AuthserverUnderTest) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._jwk: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._clients = {way: [self._made(authserver, way, number) for number in range(_OF_EACH)] for way in WAYS}

    def _made(self, authserver: AuthserverUnderTest, way: str, number: int) -> tuple[str, str]:
        store, now = authserver.store, int(time.time())
        accounts = store.accounts
        made = credentials.create(
            accounts,
            f"owner-{number}",
            f"{way} {number}",
            now + _DAY,
            ROLES[:2],
            pepper=store.pepper,
            actor="bench",
            now=now,
        )
        client_id = made.credential.client_id
        if way == KEY:
            pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            client_keys.add(accounts, client_id, pem, "", actor="bench", now=now)
        if way == FEDERATION:
            jwks = json.dumps({"keys": [self._jwk]})
            trust = made_trust(_PLATFORM, ISSUER, [("sub", client_id)], jwks=jwks)
            trusts.add(accounts, client_id, trust, actor="bench", now=now)
        return client_id, made.secret

    def make(self, way: str, audience: str, count: int) -> Sequence[bytes]:
        """Sign ``count`` token requests for an API."""
        clients = self._clients[way]
        return [self._request(way, audience, *clients[number % len(clients)]) for number in range(count)]

    def _request(self, way: str, audience: str, client_id: str, secret: str) -> bytes:
        form = {"grant_type": "client_credentials", "resource": audience}
        now, once = int(time.time()), str(uuid.uuid4())
        if way == DPOP:
            claims: dict[str, Any] = {"htm": "POST", "htu": f"{ISSUER}/oauth/token", "iat": now, "jti": once}
            proof = self._signed(claims, {"typ": "dpop+jwt", "jwk": self._jwk})
            return post("/oauth/token", form, basic(client_id, secret), {"DPoP": proof})
        issuer = client_id if way == KEY else _PLATFORM
        claims = {"iss": issuer, "sub": client_id, "aud": ISSUER, "iat": now, "exp": now + _SECONDS, "jti": once}
        signed = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._signed(claims, {})}
        return post("/oauth/token", {**form, "client_id": client_id, **signed})

    def _signed(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self._key, "ES256", dict(header))
