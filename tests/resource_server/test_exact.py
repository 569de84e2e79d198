"""Mode "exact" against the real server: each call is an introspection, and every end is known at once."""

import asyncio
import base64
import json

import httpx
import pytest

from resource_server import AsyncVerifier, InsufficientScope, InvalidToken, Unavailable, Verifier
from tests.resource_server.real import AUDIENCE, OTHER_AUDIENCE
from tests.support import async_calls


@pytest.fixture
def verifier(real):
    with Verifier(real.issuer, AUDIENCE, real.api) as made:
        yield made


def reason(verifier, token, **asked):
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token, **asked)
    return caught.value.reason


def test_a_live_token(real, verifier):
    token = verifier.verify(real.token(), roles=["reader"], method="GET", route="/things/{id}")
    assert token.roles == {"reader", "writer"}
    assert token.client_id == real.client[0]
    assert token.sub.startswith("usr_")
    assert token.secret_id
    assert token.epoch
    assert token.role_version >= 1
    assert verifier.counts() == {"keys_fetched": 1, "introspected": 1, "accepted": 1}


def test_each_call_asks_the_server(real, verifier):
    text = real.token()
    for _ in range(3):
        verifier.verify(text)
    assert verifier.counts()["introspected"] == 3


def test_a_role_subset(real, verifier):
    text = real.token(scope="reader")
    verifier.verify(text, roles=["reader"])
    with pytest.raises(InsufficientScope) as caught:  # T-147: the same token, warm, for another role
        verifier.verify(text, roles=["reader", "writer"])
    assert caught.value.roles == ("reader", "writer")
    assert caught.value.status == 403


def test_revoked(real, verifier):
    text = real.token()
    verifier.verify(text)
    real.revoke(text)
    assert reason(verifier, text) == "inactive"


def test_a_role_of_the_owner_changes(real, verifier):
    text = real.token(scope="reader")
    verifier.verify(text)
    real.flask("users", "revoke", "ada", "writer")
    try:
        assert reason(verifier, text) == "inactive"
    finally:
        real.flask("users", "grant", "ada", "writer")
    assert reason(verifier, text) == "inactive"


def test_a_token_for_another_api_is_refused_without_asking(real, verifier):
    assert reason(verifier, real.token(resource=OTHER_AUDIENCE)) == "aud"
    assert "introspected" not in verifier.counts()


def test_a_changed_token_is_refused_without_asking(real, verifier):
    head, body, sign = real.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["roles"] = claims["scope"] = "admin"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert reason(verifier, f"{head}.{forged}.{sign}") == "signature"
    assert "introspected" not in verifier.counts()


def test_wrong_credentials_are_unavailable_not_inactive(real):
    with (
        Verifier(real.issuer, AUDIENCE, (real.api[0], real.api[1][:-1])) as wrong,
        pytest.raises(Unavailable, match="client id or secret is wrong") as caught,
    ):
        wrong.verify(real.token())
    assert caught.value.reason == "http_401"


def test_INV_25_an_unreachable_server_denies_with_503(real):
    text = real.token()
    with (
        Verifier(real.issuer, AUDIENCE, real.api, introspection_endpoint="http://127.0.0.1:1/x") as cut,
        pytest.raises(Unavailable) as caught,
    ):
        cut.verify(text)
    assert (caught.value.status, caught.value.reason) == (503, "unreachable")


def test_asyncio(real):
    text = real.token()

    async def told():
        async with AsyncVerifier(real.issuer, AUDIENCE, real.api) as verifier:
            tokens = await asyncio.gather(*(verifier.verify(text) for _ in range(8)))
            return tokens, verifier.counts()

    tokens, counts = async_calls.run(told())
    assert len({token.jti for token in tokens}) == 1
    assert counts == {"keys_fetched": 1, "introspected": 8, "accepted": 8}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 200), (b"[]", 200), (b'{"active":"false"}', 200), (b'{"active":1}', 200), (b"", 200), (b"x", 500),
        (b'{"active":true}', 200), (b'{"active":true,"jti":"other"}', 200), (b'{"active":false}', 404),
        (b'{"active":true,"active":false}', 200), (b"", 302),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_neither_yes_nor_no(real, body, status):
    def answer(request):
        if request.method == "GET":
            return httpx.Response(200, content=real.server.get("/.well-known/jwks.json")[1])
        return httpx.Response(status, content=body, headers={"Location": "https://elsewhere.example.com/"})

    with (
        Verifier(real.issuer, AUDIENCE, real.api, transport=httpx.MockTransport(answer)) as verifier,
        pytest.raises(Unavailable),
    ):
        verifier.verify(real.token())


def test_a_server_that_gives_no_lease_is_asked_for_each_call(real):
    """S is 0 for an API unless its registration says otherwise; the verifier cannot take more than it is given."""
    text = real.token()
    with Verifier(real.issuer, AUDIENCE, real.api, mode="leased", max_staleness=30) as verifier:
        for _ in range(3):
            verifier.verify(text)
        assert verifier.counts()["introspected"] == 3
