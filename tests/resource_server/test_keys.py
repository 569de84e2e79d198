"""The server's keys: floods of unknown ids, stale and hostile sets, rotation, and a server that is away."""

import pytest

from resource_server.kit.signing import SigningKey
from tests.resource_server.conftest import refused, unavailable

S = 30


@pytest.fixture
def verifier(issuer, verifier_of):
    issuer.staleness = S
    issuer.jwks_max_age = 300
    return verifier_of(mode="leased", max_staleness=S)


def fetches(server):
    return server.counts["/.well-known/jwks.json"]


def test_T_139_a_flood_of_unknown_ids_costs_one_fetch_in_30_s(server, issuer, verifier, clock):
    good = issuer.mint()
    verifier.verify(good)
    stranger = SigningKey()
    for number in range(1000):
        text = stranger.jws(issuer.header(kid=f"unknown-{number}"), issuer.claims())
        assert refused(verifier, text) == "unknown_key"
    assert fetches(server) == 1
    clock.move(30)
    for number in range(100):
        refused(verifier, stranger.jws(issuer.header(kid=f"again-{number}"), issuer.claims()))
    assert fetches(server) == 2
    verifier.verify(good)


def test_T_139_also_when_the_set_is_empty(server, issuer, verifier):
    key = issuer.keys.pop(issuer.active.kid)
    for _ in range(50):
        assert refused(verifier, key.jws(issuer.header(), issuer.claims())) == "unknown_key"
    assert fetches(server) == 1


def test_a_new_key_is_found(server, issuer, verifier, clock):
    verifier.verify(issuer.mint())
    issuer.activate(issuer.announce("EdDSA"))
    clock.move(30)
    verifier.verify(issuer.mint())
    assert fetches(server) == 2


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA"])
def test_each_algorithm(issuer, verifier, alg):
    issuer.activate(issuer.announce(alg))
    verifier.verify(issuer.mint())


def test_max_age_is_honoured(server, issuer, verifier, clock):
    verifier.verify(issuer.mint())
    clock.move(300 * 0.8 - 1)
    verifier.verify(issuer.mint())
    assert fetches(server) == 1
    clock.move(300 * 0.2 + 1)
    verifier.verify(issuer.mint())
    assert fetches(server) == 2


def test_an_unchanged_set_leaves_verified_tokens_verified(server, issuer, verifier, clock):
    text = issuer.mint()
    verifier.verify(text)
    before = verifier._state.keys.key_set.keys
    clock.move(301)
    verifier.verify(text)
    assert fetches(server) == 2
    assert verifier._state.keys.key_set.keys is before


def test_a_withdrawn_key_is_gone_with_the_next_fetch(issuer, verifier, clock):
    text = issuer.mint()
    verifier.verify(text)
    old = issuer.active.kid
    issuer.activate(issuer.announce())
    issuer.keys.pop(old)
    clock.move(301)
    assert refused(verifier, text) == "unknown_key"


def test_while_the_server_is_away_keys_are_used_for_a_bounded_time(server, issuer, verifier_of, clock):
    issuer.staleness = 3600
    issuer.jwks_max_age = 300
    verifier = verifier_of(mode="leased", max_staleness=3600, keys_stale=200)
    text = issuer.mint(exp=issuer.now + 7200)
    verifier.verify(text)
    server.outage = "close"
    clock.move(499)
    verifier.verify(text)
    clock.move(1)
    assert unavailable(verifier, text) in {"keys_unavailable", "unreachable"}
    server.outage = None
    clock.move(61)
    verifier.verify(text)


def test_the_server_that_is_away_is_not_asked_for_each_call(server, issuer, verifier, clock):
    verifier.verify(issuer.mint())
    server.outage = 503
    clock.move(301)
    for _ in range(100):
        unavailable(verifier, issuer.mint())
    assert fetches(server) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda keys: keys[0].update(d="AAAA"),
        lambda keys: keys.append({"kty": "oct", "k": "AAAA", "kid": "x"}),
        lambda keys: keys.append(dict(keys[0])),
        lambda keys: keys[0].update(alg="RS256"),
        lambda keys: keys[0].update(crv="P-384"),
        lambda keys: keys[0].update(x="AAAA"),
        lambda keys: keys.append(SigningKey("RS256", bits=1024).jwk),
        lambda keys: keys.append({**SigningKey("RS256").jwk, "e": "Aw"}),
        lambda keys: keys.extend([{"kid": str(number)} for number in range(101)]),
        lambda keys: keys.append("x"),
    ],
    ids=["private", "symmetric", "twice", "wrong kty", "wrong curve", "off curve", "1024 bit", "e=3", "101", "text"],
)
def test_T_017_a_hostile_set_is_refused_as_a_whole(issuer, verifier, change):
    told = issuer.jwks()
    told["keys"] = [dict(key) for key in told["keys"]]
    change(told["keys"])
    issuer.jwks = lambda: told
    assert unavailable(verifier, issuer.mint()) == "bad_key_set"


def test_keys_of_other_kinds_are_left_out(issuer, verifier):
    told = issuer.jwks()
    told["keys"] += [
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AA"},
        {**SigningKey().jwk, "use": "enc"},
        {"kty": "EC"},
    ]
    issuer.jwks = lambda: told
    verifier.verify(issuer.mint())


def test_an_algorithm_that_was_not_allowed_is_refused(issuer, verifier_of):
    verifier = verifier_of(algorithms=("EdDSA",))
    assert refused(verifier, issuer.mint()) == "alg"
