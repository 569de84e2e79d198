"""States of keys, and what of them is published."""

import hashlib
import json

import joserfc.jwk
import joserfc.jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keys.keyring import PUBLISHED, USABLE, IllegalMove, KeyInfo, State, check_move, jwks
from keys.material import make, thumbprint, unseal
from tests.keys.support import MASTER, b64, sealed_as_ours

LEGAL = {
    ("staged", "active"),
    ("staged", "compromised"),
    ("active", "retired"),
    ("active", "compromised"),
    ("retired", "removed"),
    ("retired", "compromised"),
    ("removed", "compromised"),
}
STATES = ("staged", "active", "retired", "removed", "compromised")


def info(kid="k1", state="active", at=0, jwk=None, alg="ES256"):
    return KeyInfo(kid, alg, State(state), json.dumps(jwk or {"kty": "EC", "kid": kid}), at)


class TestKeyring:
    def test_a_key_has_one_of_five_states(self):
        assert tuple(State) == STATES

    @pytest.mark.parametrize("origin", STATES)
    @pytest.mark.parametrize("target", STATES)
    def test_a_key_moves_only_as_drawn(self, origin, target):
        if (origin, target) in LEGAL:
            check_move(info(state=origin), State(target))
        else:
            with pytest.raises(IllegalMove, match=f"key k1 is {origin}"):
                check_move(info(state=origin), State(target))

    def test_a_refused_move_names_the_states_it_can_be_done_from(self):
        with pytest.raises(IllegalMove, match="only a key that is active, removed, retired, staged can become comp"):
            check_move(info(state="compromised"), State.COMPROMISED)
        with pytest.raises(IllegalMove, match="only a key that is active can become retired"):
            check_move(info(state="staged"), State.RETIRED)

    def test_nothing_leads_back_to_staged_and_nothing_out_of_compromised(self):
        assert not {move for move in LEGAL if move[1] == "staged" or move[0] == "compromised"}
        for origin in STATES:
            with pytest.raises(IllegalMove):
                check_move(info(state=origin), State.STAGED)

    def test_published_are_staged_active_and_retired_keys(self):
        assert {"staged", "active", "retired"} == PUBLISHED

    def test_v_15_only_active_and_retired_keys_can_have_signed_a_live_token(self):
        assert {"active", "retired"} == USABLE


class TestJwks:
    @pytest.mark.parametrize(
        ("state", "shown"),
        [("staged", True), ("active", True), ("retired", True), ("removed", False), ("compromised", False)],
    )
    def test_inv_15_a_key_is_shown_while_it_may_be_trusted(self, state, shown):
        assert bool(json.loads(jwks([info(state=state)]))["keys"]) is shown

    def test_without_keys_it_is_an_empty_set(self):
        assert jwks([]) == b'{"keys":[]}'

    def test_keys_stand_in_their_age_and_then_their_name(self):
        shown = json.loads(jwks([info("c", at=2), info("b", at=1), info("d", at=1), info("a", at=3)]))
        assert [each["kid"] for each in shown["keys"]] == ["b", "d", "c", "a"]

    def test_k_02_no_private_member_is_shown_whatever_the_storage_holds(self, key):
        spoilt = {**key.jwk, "d": "x", "p": "x", "q": "x", "dp": "x", "dq": "x", "qi": "x", "oth": [], "k": "x"}
        spoilt["priv"] = spoilt["note"] = "x"
        assert json.loads(jwks([info(key.kid, jwk=spoilt)])) == {"keys": [key.jwk]}

    def test_k_02_a_new_key_shows_these_members_only(self, ring):
        assert {alg: set(key.jwk) for alg, key in ring.items()} == {
            "ES256": {"kty", "crv", "x", "y", "kid", "alg", "use"},
            "RS256": {"kty", "n", "e", "kid", "alg", "use"},
            "PS256": {"kty", "n", "e", "kid", "alg", "use"},
            "EdDSA": {"kty", "crv", "x", "kid", "alg", "use"},
        }

    def test_k_03_the_kid_is_the_rfc_7638_thumbprint(self, key):
        required = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
        pairs = ",".join(f'"{name}":"{key.jwk[name]}"' for name in required[key.jwk["kty"]])
        assert key.kid == key.jwk["kid"] == b64(hashlib.sha256(f"{{{pairs}}}".encode()).digest())
        assert joserfc.jwk.import_key(key.jwk).thumbprint() == key.kid

    def test_k_03_thumbprints_of_the_standards(self):
        # RFC 7638 §3.1
        n = (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
            "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
            "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
            "kEgU8awapJzKnqDKgw"
        )
        members = {"kty": "RSA", "n": n, "e": "AQAB"}
        assert thumbprint(members) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        # RFC 8037 appendix A.3
        members = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        assert thumbprint(members) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    def test_k_04_every_key_has_its_alg_and_use(self, ring):
        for alg, key in ring.items():
            assert (key.jwk["alg"], key.jwk["use"]) == (alg, "sig")

    def test_k_08_coordinates_keep_their_leading_zeros(self):
        """Of 600 small numbers as private keys, some have an x or y that begins with a zero byte."""
        short = 0
        for number in range(1, 600):
            private = ec.derive_private_key(number, ec.SECP256R1())
            point = private.public_key().public_numbers()
            if min(point.x, point.y) >= 2**248:
                continue
            short += 1
            kid, sealed = sealed_as_ours(private)
            assert unseal(kid, "ES256", sealed, MASTER)(b"x")
        assert short >= 2

    def test_inv_12_no_two_keys_share_a_kid(self):
        assert len({make("ES256", MASTER).kid for _ in range(50)}) == 50
