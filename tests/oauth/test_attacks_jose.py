"""Published attacks on JWT verification, against introspection: ATTACKS.md, JOSE part; each text is asked for twice."""

import base64
import hmac
import json
import socket
import zlib

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.wsgi_client import BACKENDS, active_key, b64, forged, opened, parts, signed, unb64

INACTIVE = b'{"active":false}'


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("jose"))


def dead(world, *texts):
    """Check that each text is inactive, before and after the real token was seen."""
    for text in texts:
        for _ in range(2):
            answer = world.introspect(text)
            assert (answer.status_code, answer.data) == (200, INACTIVE), text[:200]
    return True


def pieces(world):
    token = world.access_token()
    header, claims = parts(token)
    return token, header, claims, token.rpartition(".")[2]


def unsigned(header, claims):
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 0, [], "missing"])
def test_T_001_no_algorithm(world, alg):
    _, header, claims, signature = pieces(world)
    changed = {**header, "alg": alg}
    if alg == "missing":
        del changed["alg"]
    text = unsigned(changed, claims)
    assert dead(world, text, f"{text}.", f"{text}.{signature}")


def spellings(world):
    """Every text that a confused verifier might take for the public key of ES256."""
    jwk = active_key(world).public_jwk
    public = jwt.PyJWK(json.loads(jwk)).key
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    yield pem
    yield b"\xef\xbb\xbf" + pem
    yield b" " + pem
    yield pem + b" "
    yield pem.replace(b"\n", b"\r\n")
    yield pem.replace(b"\n", b"\r")
    yield b"\t" + pem
    yield pem.replace(b"\n", b"\n\n")
    yield jwk.encode()
    yield base64.b64decode(b"".join(pem.splitlines()[1:-1]))


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_T_003_T_005_hmac_with_what_everybody_knows(world, alg):
    _, header, claims, _ = pieces(world)
    text = unsigned({**header, "alg": alg}, claims)
    digest = alg.replace("HS", "sha")
    for secret in (*spellings(world), b"", b"\0", b" "):
        assert dead(world, f"{text}.{b64(hmac.digest(secret, text.encode(), digest))}")


def test_T_007_no_header_makes_us_call_anybody(world):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for name in ("jku", "x5u"):
            assert dead(world, forged(world, header={name: url}))
        assert dead(world, forged(world, header={"x5c": [url], "jwk": json.loads(active_key(world).public_jwk)}))
        assert dead(world, forged(world, header={"kid": url}), forged(world, iss=url))
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("name", ["typ", "alg", "kid"])
@pytest.mark.parametrize("value", [None, True, 0, -1, 1.5, [], {}, "", "x" * 3000, ["ES256"], {"a": {}}])
def test_T_009_header_members_of_every_type(world, name, value):
    assert dead(world, forged(world, header={name: value}))


def test_T_011_b64_false_and_detached(world):
    _, header, claims, signature = pieces(world)
    for extra in ({"b64": False}, {"b64": False, "crit": ["b64"]}, {"b64": True, "crit": ["b64"]}):
        assert dead(world, signed(world, {**header, **extra}, claims))
    text = b64(json.dumps(header).encode())
    assert dead(world, f"{text}..{signature}", f"{text}.{{}}.{signature}")


@pytest.mark.parametrize(
    "alg", ["es256", "ES256 ", "ES256\0", "PS256", "RS256", "ES256K", "ES384", "ES512", "EdDSA", "Ed25519"]
)
def test_T_013_the_header_does_not_choose(world, alg):
    assert dead(world, forged(world, header={"alg": alg}))


def test_T_015_one_token_has_one_spelling(world):
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for kill in (False, True):
        token, _, _, signature = pieces(world)
        text, raw = token.rpartition(".")[0], unb64(signature)
        mirrored = (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        variants = [
            f"{text}.{b64(raw[:32] + mirrored)}",
            f"{token}!!!!",
            f"{token}=",
            f"{token}==",
            f"{text}.{signature[:-1]}{alphabet[alphabet.index(signature[-1]) | 1]}",
            f"{text}.{base64.b64encode(raw).decode()}",
            f"{token[:20]}\n{token[20:]}",
            f"{token}\u200b",
        ]
        assert world.active(token)
        if kill:
            world.post("/oauth/revoke", {"token": token}, world.client)
            assert dead(world, token)
        assert dead(world, *variants)


def test_T_019_T_021_T_031_other_serializations(world):
    token, header, claims, signature = pieces(world)
    payload = b64(json.dumps(claims).encode())
    protected = b64(json.dumps(header).encode())
    compressed = b64(zlib.compress(b"\0" * 1_000_000))
    jwe = b64(json.dumps({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}).encode())
    assert dead(
        world,
        json.dumps({"payload": payload, "signatures": [{"protected": protected, "signature": signature}] * 2}),
        json.dumps({"payload": payload, "protected": protected, "signature": signature}),
        f"{jwe}..{b64(b'0' * 12)}.{compressed}.{b64(b'0' * 16)}",
        f"{jwe}.{b64(b'k')}.{b64(b'0' * 12)}.{compressed}.{b64(b'0' * 16)}",
        signed(world, {**header, "cty": "JWT"}, token.encode()),
        signed(world, header, json.dumps(token).encode()),
        f"{token}.{token}",
        token.rpartition(".")[0],
        f"{token}.x",
        f"{token}.x.y",
    )


def test_T_025_an_end_further_off_than_any_of_ours(world):
    assert dead(world, forged(world, exp=world.clock.at + 30 * 86400 + 1))
    assert dead(world, forged(world, exp=2**39))
    assert world.active(forged(world, exp=world.clock.at + 3600))


def test_T_025_the_maximum_lifetime_holds_for_live_tokens(world):
    from authserver.actions import general_settings

    token = forged(world, exp=world.clock.at + 86400)
    general_settings.set_general(world.accounts, "max_token_lifetime_minutes", "10", **world.who)
    try:
        world.clock.at += 599
        assert world.active(token)
        world.clock.at += 1
        assert dead(world, token)
    finally:
        general_settings.set_general(world.accounts, "max_token_lifetime_minutes", "720", **world.who)
    assert dead(world, token)


def test_T_027_only_the_exact_audience(world):
    ours = "https://api.example.com"
    for aud in ([], "", None, {}, [ours], [[ours]], {"a": ours}, f"{ours} ", ours.upper(), f"{ours}\0", True):
        assert dead(world, forged(world, aud=aud))
    assert dead(world, forged(world, aud=[ours, *("x" for _ in range(1000))]))


def test_T_029_a_forged_text_with_a_real_id(world):
    token, header, claims, signature = pieces(world)
    richer = {**claims, "scope": "builder reader writer", "roles": ["builder", "reader", "writer"]}
    assert dead(world, f"{unsigned(header, richer)}.{signature}")
    assert world.introspect(token).json["roles"] == ["reader", "writer"]


def test_T_033_ids_of_people_and_clients_never_meet(world):
    _, _, claims, _ = pieces(world)
    assert claims["sub"] != claims["client_id"]
    assert claims["sub"].startswith("usr_")
    assert not claims["client_id"].startswith("usr_")
    assert dead(world, forged(world, client_id=claims["sub"]), forged(world, sub=claims["client_id"] * 3))
