"""Tokens that are bound to a key (RFC 9449) at an API: in every mode with a proof of that key only."""

import base64
import hashlib
import itertools
import json
import time
import urllib.parse
import urllib.request

import pytest

from resource_server import InvalidProof, InvalidToken, Proof, UseNonce, Verifier
from resource_server.dpop import Nonces
from resource_server.http import challenge, refusal
from tests.resource_server.real import AUDIENCE
from tests.support.assertions import Signer

URL = "https://api.example.com/orders?page=2"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def api(real):
    real.flask("resource-servers", "edit", "api", "--max-staleness", "4")
    yield real
    real.flask("resource-servers", "edit", "api", "--max-staleness", "0")


@pytest.fixture(params=["exact", "leased", "feed"])
def verifier(api, request):
    options = {} if request.param == "exact" else {"max_staleness": 4, "report_interval": 0.2}
    with Verifier(api.issuer, AUDIENCE, api.api, mode=request.param, **options) as made:
        yield made


@pytest.fixture(params=["ES256", "EdDSA", "PS256"])
def signer(request):
    return Signer(request.param)


def proof(signer, *, header=None, **changed):
    made = {"iat": int(time.time()), "jti": f"r-{next(_numbers)}", **changed}
    return signer.jws({"typ": "dpop+jwt", "alg": signer.alg, "jwk": signer.jwk, **(header or {})}, made)


def bound(api, signer):
    """A token of the real server that is bound to the key."""
    url = f"{api.issuer}/oauth/token"
    body = urllib.parse.urlencode({"grant_type": "client_credentials", "resource": AUDIENCE}).encode()
    basic = base64.b64encode(":".join(api.client).encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "DPoP": proof(signer, htm="POST", htu=url)}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as answer:
        document = json.load(answer)
    assert document["token_type"] == "DPoP"
    return document["access_token"]


def of_call(signer, text, **changed):
    ath = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    made = {"htm": "GET", "htu": "https://api.example.com/orders", "ath": ath, **changed}
    return Proof(proof(signer, **made), "GET", URL)


def refused(verifier, text, given, kind=InvalidProof):
    with pytest.raises(kind) as caught:
        verifier.verify(text, proof=given)
    return caught.value


def test_P_06_with_its_proof_a_bound_token_is_good_and_without_it_dead(api, verifier, signer):
    text = bound(api, signer)
    for _ in range(3):
        assert verifier.verify(text, roles=["reader"], proof=of_call(signer, text)).jkt == signer.thumbprint
        assert refused(verifier, text, None, InvalidToken).reason == "bound"


def test_a_bearer_token_with_a_proof_is_refused(api, verifier):
    signer, text = Signer(), api.token()
    assert refused(verifier, text, of_call(signer, text), InvalidToken).reason == "not_bound"
    verifier.verify(text)
    assert refused(verifier, text, of_call(signer, text), InvalidToken).reason == "not_bound"


def test_a_proof_of_something_else(api, verifier):
    signer = Signer()
    text = bound(api, signer)
    now = int(time.time())
    for changed, reason in (
        ({"htm": "POST"}, "proof_method"),
        ({"htu": "https://api.example.com/other"}, "proof_uri"),
        ({"htu": "https://evil.example.com/orders"}, "proof_uri"),
        ({"htu": 1}, "proof_uri"),
        ({"iat": now - 120}, "proof_time"),
        ({"iat": now + 120}, "proof_time"),
        ({"iat": "now"}, "proof_time"),
        ({"ath": "x"}, "proof_token"),
        ({"ath": None}, "proof_token"),
        ({"jti": ""}, "proof_id"),
    ):
        assert refused(verifier, text, of_call(signer, text, **changed)).reason == reason
    other = bound(api, signer)
    assert refused(verifier, text, of_call(signer, other)).reason == "proof_token"
    assert refused(verifier, text, of_call(Signer(), text)).reason == "proof_key"


def test_a_proof_is_good_once(api, verifier):
    signer = Signer()
    text = bound(api, signer)
    given = of_call(signer, text)
    verifier.verify(text, proof=given)
    assert refused(verifier, text, given).reason == "proof_replayed"


def test_what_is_no_proof(api, verifier):
    signer = Signer()
    text = bound(api, signer)
    good = of_call(signer, text).text
    forged = Signer().jws(json.loads(base64.urlsafe_b64decode(good.split(".")[0] + "==")), {})
    for broken, reason in (
        ("", "malformed_proof"),
        ("x", "malformed_proof"),
        ("a.b.c", "malformed_proof"),
        (f"{good},{good}", "malformed_proof"),
        ("x" * 9000, "malformed_proof"),
        (text, "malformed_proof"),
        (forged, "proof_signature"),
        (good[:-4] + "AAAA", "proof_signature"),
        (proof(signer, header={"alg": "none"}), "proof_key"),
        (proof(signer, header={"alg": "HS256"}), "proof_key"),
        (proof(signer, header={"typ": "JWT"}), "malformed_proof"),
        (proof(signer, header={"crit": ["x"]}), "malformed_proof"),
        (proof(signer, header={"jwk": {"kty": "oct", "k": "AAAA"}}), "proof_key"),
        (proof(signer, header={"jwk": None}), "proof_key"),
    ):
        assert refused(verifier, text, Proof(broken, "GET", URL)).reason == reason, broken[:40]


def test_the_challenge_names_the_scheme_and_algorithms(api, verifier):
    said = challenge(verifier.settings, InvalidProof("proof_time"))
    assert said.startswith("DPoP ")
    assert 'error="invalid_dpop_proof"' in said
    assert 'algs="' in said


def test_P_04_an_api_may_ask_for_a_nonce_and_each_of_its_processes_takes_it(api):
    signer = Signer()
    text = bound(api, signer)
    with (
        Verifier(api.issuer, AUDIENCE, api.api, nonce_seconds=3600) as first,
        Verifier(api.issuer, AUDIENCE, api.api, nonce_seconds=3600) as second,
    ):
        told = refused(first, text, of_call(signer, text), UseNonce)
        assert first.verify(text, proof=of_call(signer, text, nonce=told.nonce)).jkt == signer.thumbprint
        assert second.verify(text, proof=of_call(signer, text, nonce=told.nonce)).jkt == signer.thumbprint
        for other in ("x", 1, "A" * 24):
            assert refused(second, text, of_call(signer, text, nonce=other), UseNonce).nonce == told.nonce
        answer = refusal(first.settings, told)
    assert answer.status == 401
    assert dict(answer.headers)["DPoP-Nonce"] == told.nonce
    assert 'error="use_dpop_nonce"' in dict(answer.headers)["WWW-Authenticate"]


def test_a_nonce_is_taken_for_two_windows():
    made = Nonces("secret", 60)
    with pytest.raises(UseNonce) as caught:
        made.check(None, 600.0)
    for now in (600.0, 659.9, 719.9):
        made.check(caught.value.nonce, now)
    for now in (599.9, 720.0):
        with pytest.raises(UseNonce):
            made.check(caught.value.nonce, now)
