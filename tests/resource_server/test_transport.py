"""Connections are closed with the verifier, also by a request that is under way then."""

import threading
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from resource_server import Unavailable, Verifier

ISSUER, AUDIENCE = "https://issuer.example.com", "https://api.example.com"
SECONDS = 10


class SlowTransport(httpx.BaseTransport):
    """Connects only when told, and says whether it was closed while it still connected."""

    def __init__(self):
        self.connecting, self.go_on = threading.Event(), threading.Event()
        self.closed_while_connecting, self.closed = False, threading.Event()

    def handle_request(self, request):
        self.connecting.set()
        assert self.go_on.wait(SECONDS), "nobody let the request go on"
        self.closed_while_connecting = self.closed.is_set()
        raise httpx.ConnectError("refused", request=request)

    def close(self):
        self.closed.set()


def verify(verifier):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, "jti": "j", "sub": "ada", "client_id": "c"}
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Unavailable):
        verifier.verify(jwt.encode(claims, key, "ES256", {"typ": "at+jwt", "kid": "k"}))


def test_a_verifier_closed_while_a_request_connects_leaves_no_connection_open():
    transport = SlowTransport()
    verifier = Verifier(ISSUER, AUDIENCE, ("rs_1", "secret"), transport=transport)
    caller = threading.Thread(target=verify, args=(verifier,), daemon=True)
    caller.start()
    try:
        assert transport.connecting.wait(SECONDS), "no request was sent"
        verifier.close()
    finally:
        transport.go_on.set()
    assert transport.closed.wait(SECONDS), "the connections were not closed"
    caller.join(SECONDS)
    assert not transport.closed_while_connecting
