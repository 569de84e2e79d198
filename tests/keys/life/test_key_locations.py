"""Where keys live, and which algorithms they are for."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from authserver.actions import signing_keys
from authserver.ports.errors import KeyGone
from authserver.store.tables import db
from keys.keyring import State
from tests.keys.life.support import DAY, NEW, OLD, published, services
from tests.support.shell import Shell
from tests.support.wsgi_client import parts

PQ = "/.well-known/jwks-pq.json"


@pytest.fixture(params=["pem", "pkcs11"])
def stored(request, database_url, tmp_path):
    """A server whose keys are kept outside its database, and a way to look for them there."""
    more = {"key_store": request.param, "state_directory": str(tmp_path / "state")}
    if request.param == "pkcs11":
        module = request.getfixturevalue("softhsm_token")
        more |= {"pkcs11_module": module, "pkcs11_token": "test", "pkcs11_pin": "1234"}
    made = services(database_url, **more)
    made.migrate()
    yield made
    made.close()


def test_keys_outside_the_database_sign_rotate_and_are_destroyed(stored, tmp_path):
    store = stored.store()
    (first,) = store.keys.ring()
    assert first.key_store == stored.config.key_store
    who = {"actor": "test", "now": stored.clock_.at}
    kid, alg = first.kid, first.alg
    signed = stored.keys().sign(kid, {"iat": 1})
    assert stored.keys().read(signed) == (kid, {"iat": 1})
    assert stored.ready() == {}
    made = signing_keys.key_context(store.accounts, store.keys, stored.key_store, store.jwks_fetchers)
    new = signing_keys.rotate(made, alg, **who, reason="test")
    assert new.state is State.ACTIVE
    with pytest.raises(KeyGone):
        store.keys.signer(kid)
    assert stored.keys().read(signed) == (kid, {"iat": 1})
    assert stored.keys().read(stored.keys().sign(new.kid, {"iat": 2})) == (new.kid, {"iat": 2})
    assert store.keys.destroy_spent() == 0
    if first.key_store == "pem":
        assert [path.stem for path in (tmp_path / "state" / "keys").iterdir()] == [new.kid]
    if first.key_store == "pkcs11":
        with pytest.raises(signing_keys.Invalid, match="EdDSA"):
            signing_keys.generate(made, "EdDSA", **who)


def test_a_key_is_killed_also_while_the_token_is_away(database_url, softhsm_token):
    more = {"key_store": "pkcs11", "pkcs11_module": softhsm_token, "pkcs11_pin": "1234"}
    before = services(database_url, pkcs11_token="test", **more)
    before.migrate()
    (key,) = before.store().keys.ring()
    before.close()
    away = services(database_url, pkcs11_token="away", **more)
    document = Shell(away._app).json("keys", "compromise", key.kid)
    assert document["state"] == "compromised"
    (active,) = [each for each in away.store().keys.ring() if each.state is State.ACTIVE]
    assert active.key_store == "database"
    assert away.keys().read(away.keys().sign(active.kid, {}))
    away.close()
    # Once it is back, what is left of the key is destroyed there.
    back = services(database_url, pkcs11_token="test", **more)
    assert back.store().keys.destroy_spent() == 1
    assert back.store().keys.destroy_spent() == 0
    back.close()


def test_a_ring_may_hold_keys_of_several_stores(database_url, tmp_path):
    """From the database into files, by an ordinary rotation."""
    before = services(database_url, state_directory=str(tmp_path))
    before.migrate()
    (old,) = before.store().keys.ring()
    before.close()
    after = services(database_url, state_directory=str(tmp_path), key_store="pem")
    store = after.store()
    made = signing_keys.key_context(store.accounts, store.keys, after.key_store, store.jwks_fetchers)
    assert after.keys().read(after.keys().sign(old.kid, {}))
    new = signing_keys.rotate(made, "ES256", actor="test", now=after.clock_.at, reason="test")
    assert (old.key_store, new.key_store) == ("database", "pem")
    assert after.keys().read(after.keys().sign(new.kid, {}))
    after.close()


@pytest.mark.parametrize("key_store", ["database", "pem"])
def test_one_master_key_follows_another_without_a_pause(database_url, tmp_path, key_store):
    more = {"key_store": key_store, "state_directory": str(tmp_path)}
    old = services(database_url, OLD, **more)
    old.migrate()
    pepper = old.store().pepper
    (key,) = old.store().keys.ring()
    # 1. Every node learns the new one; 2. every node seals with it; 3. all is sealed anew; 4. the old one goes.
    learning, moving = (
        services(database_url, OLD, other_master_key=NEW, **more),
        services(database_url, NEW, other_master_key=OLD, **more),
    )
    for node in (old, learning, moving):
        assert node.store().pepper == pepper
        assert node.keys().sign(key.kid, {})
    made = signing_keys.key_context(
        moving.store().accounts, moving.store().keys, moving.key_store, moving.store().jwks_fetchers
    )
    staged = signing_keys.generate(made, "ES256", actor="test", now=moving.clock_.at)
    assert learning.store().keys.signer(staged.kid)
    shell = Shell(moving._app)
    assert shell.json("keys", "reseal") == {"resealed": 3}
    assert shell.json("keys", "reseal") == {"resealed": 0}
    assert learning.store().keys.signer(key.kid)
    new = services(database_url, NEW, **more)
    assert new.store().pepper == pepper
    assert new.keys().sign(key.kid, {})
    assert new.store().accounts.audit_verify().first_bad is None
    from keys.master import WrongMasterKey

    late = services(database_url, OLD, **more)
    with pytest.raises(WrongMasterKey):
        late.store()
    with late._app.app_context():
        db.engine.dispose()
    for node in (old, learning, moving, new):
        node.close()


@pytest.mark.parametrize("alg", ["ML-DSA-44", "ML-DSA-65"])
def test_RFC_9964_tokens_after_opting_in_and_not_before(world, shell, alg):
    made = shell.json("keys", "rotate", "--alg", alg)
    assert made["state"] == "active"
    assert made["kid"] in published(world, PQ)
    assert made["kid"] not in published(world)
    metadata = world.http.get("/.well-known/oauth-authorization-server").json
    assert alg not in metadata["introspection_signing_alg_values_supported"]
    result = shell("resource-servers", "edit", "api", "--alg", alg)
    assert (result.code, "post_quantum 1" in result.err) == (4, True)
    shell.json("settings", "set", "post_quantum", "1")
    assert made["kid"] in published(world)
    assert shell.json("resource-servers", "edit", "api", "--alg", alg)["token_alg"] == alg
    assert shell("settings", "set", "post_quantum", "0").code == 4
    token = world.access_token()
    assert world.active(token)
    head, body, signature = token.split(".")
    assert not world.active(f"{head}.{body}.{'A' * len(signature)}")
    jwk = next(key for key in world.http.get(PQ).json["keys"] if key["kid"] == made["kid"])
    read = JWS()
    read.allowed_algs = [alg]
    read.deserialize(token, JWK(**jwk))
    assert json.loads(read.payload)["iss"] == "http://127.0.0.1:8000"


def test_a_resource_server_chooses_its_algorithm_and_the_others_do_not_notice(world, shell):
    shell.json("keys", "rotate", "--alg", "RS256")
    before = world.access_token()
    assert shell.json("resource-servers", "edit", "api", "--alg", "RS256")["token_alg"] == "RS256"
    assert shell("resource-servers", "edit", "api", "--alg", "RS256").code == 4
    after = world.access_token()
    assert (parts(before)[0]["alg"], parts(after)[0]["alg"]) == ("ES256", "RS256")
    assert world.active(before)
    assert world.active(after)
    shell.json("resource-servers", "edit", "api", "--alg", "general")
    assert parts(world.access_token())[0]["alg"] == "ES256"


def pem(private, password=None):
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def test_a_key_made_elsewhere_is_taken_in_and_has_the_same_life(world, shell, tmp_path):
    file, secret = tmp_path / "key.pem", tmp_path / "password"
    file.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"open"))
    secret.write_text("open\n")
    assert shell("keys", "import", file, "--alg", "ES256").code == 6
    made = shell.json("keys", "import", file, "--alg", "ES256", "--password-file", secret)
    assert made["state"] == "staged"
    assert shell("keys", "import", file, "--alg", "ES256", "--password-file", secret).code == 4
    assert shell("keys", "activate", made["kid"]).code == 4
    world.clock.at += DAY
    assert shell.json("keys", "activate", made["kid"])["state"] == "active"
    assert parts(world.access_token())[0]["kid"] == made["kid"]


def test_weak_keys_are_refused_and_nothing_is_kept(world, shell, tmp_path):
    before, file = world.store.keys.ring(), tmp_path / "key.pem"
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - the weak key to refuse
    odd = pem(ec.generate_private_key(ec.SECP384R1()))
    for data, alg in ((pem(weak), "RS256"), (odd, "ES256"), (b"no key", "ES256"), (b"x" * 70_000, "RS256")):
        file.write_bytes(data)
        result = shell("keys", "import", file, "--alg", alg)
        assert (result.code, result.out) == (6, "")
    assert shell("keys", "import", tmp_path / "nothing", "--alg", "RS256").code == 3
    file.write_bytes(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    assert shell.json("keys", "import", file, "--alg", "RS256")["state"] == "staged"
    assert len(world.store.keys.ring()) == len(before) + 1
