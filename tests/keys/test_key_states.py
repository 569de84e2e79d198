"""The life of signing keys in the running product: announced, waited for, rotated, rehearsed, killed, kept apart."""

import base64
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS
from sqlalchemy import make_url, update
from werkzeug.test import Client

from app import create_app
from authserver.actions import general_settings, signing_keys
from authserver.config import Config
from authserver.ports.errors import Conflict, KeyGone
from authserver.store.engine.connections import writing
from authserver.store.tables import db
from authserver.store.tables import signing_keys as signing_key_rows
from keys import report
from keys.keyring import State
from keys.master import MasterKey
from keys.rotation import SKEW
from tests.conftest import FixedClock
from tests.keys.test_key_stores import token as softhsm_token  # noqa: F401 - a fixture
from tests.support import databases, servers
from tests.support.shell import Shell
from tests.support.stores import migrate
from tests.support.wsgi_client import basic, parts, settled

HOUR, DAY = 3600, 86400
JWKS = "/.well-known/jwks.json"
PQ = "/.well-known/jwks-pq.json"
OLD, NEW = "A" * 43, "B" * 42 + "A"


@pytest.fixture
def shell(world):
    return Shell(world.app)


def ring(world, state=None, alg="ES256"):
    return [key.kid for key in world.store.keys.ring() if key.alg == alg and state in {None, key.state}]


def key_context(world):
    return signing_keys.key_context(
        world.accounts, world.store.keys, world.services.key_store, world.store.jwks_fetchers
    )


def published(world, path=JWKS, **headers):
    return {key["kid"] for key in world.http.get(path, headers=headers).json["keys"]}


# --- by the calendar --------------------------------------------------------------------------


def test_a_key_is_made_announced_promoted_and_withdrawn_by_the_calendar(world, shell):
    shell.json("settings", "set", "key_rotation_days", "30")
    (old,) = ring(world)
    ahead = shell.json("keys", "tick", "--dry-run")
    assert [step["step"] for step in ahead[:3]] == ["generate", "promote", "withdraw"]
    assert len([step for step in ahead if step["step"] == "promote"]) == 12
    began = world.clock.at

    def tick(at):
        world.clock.at = began + at
        return [step["step"] for step in shell.json("keys", "tick")["done"]]

    assert tick(29 * DAY - 1) == []
    assert tick(29 * DAY) == ["generate"]
    (new,) = ring(world, State.STAGED)
    assert published(world) == {old, new}
    assert tick(30 * DAY - 1) == []
    token = world.access_token()
    assert tick(30 * DAY) == ["promote"]
    assert parts(world.access_token())[0]["kid"] == new
    assert world.active(token)
    assert tick(30 * DAY + 12 * HOUR + SKEW - 1) == []
    assert published(world) == {old, new}
    assert tick(30 * DAY + 12 * HOUR + SKEW) == ["withdraw"]
    assert published(world) == {new}
    assert tick(30 * DAY + 12 * HOUR + SKEW) == []
    assert world.accounts.audit_verify().first_bad is None


def test_INV_16_eight_nodes_that_tick_in_the_same_second_do_each_step_once(world):
    general_settings.set_general(world.accounts, "key_rotation_days", "30", **world.who)
    began = world.clock.at
    service_containers = [services(world.url) for _ in range(8)]
    try:
        for at in (29 * DAY, 30 * DAY, 31 * DAY):
            for each in service_containers:
                each.clock_.at = began + at
            with ThreadPoolExecutor(8) as pool:
                done = list(pool.map(lambda each: each.tick(each.store()), service_containers))
            assert sum(map(len, done)) == 1, (at, done)
            world.clock.at = began + at
            assert len(ring(world, State.ACTIVE)) == 1
        assert len(ring(world)) == 2
        assert len(ring(world, State.REMOVED)) == 1
    finally:
        for each in service_containers:
            each.close()


def services(url, master=OLD, **more):
    """Another node; its clock stands still until told."""
    clock = FixedClock()
    settings = Config(database_url=url, master_key=master, issuer="http://127.0.0.1:8000", **more)
    made = create_app(settings, clock=clock, background=False).extensions["services"]
    made.clock_ = clock
    return made


def test_INV_16_eight_processes_on_an_empty_key_table_make_one_key(database_url):
    migrate(database_url)
    service_containers = [services(database_url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda each: each.store().keys.ring(), service_containers))
    assert len({tuple(key.kid for key in each) for each in rings}) == 1
    assert [key.state for key in rings[0]] == [State.ACTIVE]
    for each in service_containers:
        each.close()


def moved(store, kid, **instants):
    """Let what happened to a key have happened earlier."""
    with writing(store.engine) as connection:
        connection.execute(update(signing_key_rows).where(signing_key_rows.c.kid == kid).values(**instants))


def test_the_running_server_rotates_by_itself(database_url):
    """A key whose time has come is followed up by the server alone, with nobody at the keyboard."""
    key = MasterKey.fresh()
    node = services(database_url, key)
    node.clock_.at = int(time.time())
    node.migrate()
    store, now = node.store(), int(time.time())
    general_settings.set_general(store.accounts, "key_rotation_days", "30", actor="test", now=now)
    (old,) = store.keys.ring()
    moved(store, old.kid, activated_at=now - 29 * DAY - HOUR)
    with servers.start(database_url, key):
        for _ in settled(60):
            staged = [each for each in store.keys.ring() if each.state is State.STAGED]
            if staged:
                break
    assert [each.alg for each in staged] == ["ES256"]
    moved(store, staged[0].kid, created_at=now - 2 * DAY)
    moved(store, old.kid, activated_at=now - 31 * DAY)
    with servers.start(database_url, key):
        for _ in settled(60):
            if store.keys.get(staged[0].kid).state is State.ACTIVE:
                break
    assert {each.kid: each.state for each in store.keys.ring()} == {old.kid: State.RETIRED, staged[0].kid: State.ACTIVE}
    records = [each for each in store.accounts.audit_records() if each.event.startswith("key.")]
    assert [each.actor for each in records] == ["system"] * 3
    node.close()


# --- who must have seen a key -------------------------------------------------------------------


def fetched(world, server="api", *, by="basic", named=None):
    if by == "basic":
        answer = world.http.get(JWKS, headers={"Authorization": basic(*world.api)})
    else:
        answer = world.http.get(f"{JWKS}?jwks_client={named}")
    assert answer.status_code == 200
    world.store.jwks_fetchers.flush()


@pytest.mark.parametrize("by", ["basic", "name"])
def test_a_rotation_waits_for_a_known_verifier_until_the_deadline(world, shell, by):
    named = shell.json("resource-servers", "jwks-client", "api")["jwks_client"]
    fetched(world, by=by, named=named)
    shell.json("keys", "rotate")
    (new,) = ring(world, State.STAGED)
    world.clock.at += DAY
    result = shell("keys", "rotate")
    assert (result.code, "api has not fetched" in result.err, "--force" in result.err) == (4, True, True)
    shown = shell.json("keys", "readiness")
    assert (shown["kid"], shown["seen"], shown["known"], shown["ready"]) == (new, 0, 1, False)
    assert "0 of 1 have seen" in shell("keys", "readiness").out
    assert "api last fetched 24 hours ago" in shell("keys", "readiness").out
    fetched(world, by=by, named=named)
    shown = shell.json("keys", "readiness")
    assert (shown["seen"], shown["ready"]) == (1, True)
    assert shell.json("keys", "rotate")["kid"] == new
    # The next one, which it never fetches, waits for a week more and then goes on.
    shell.json("keys", "rotate")
    world.clock.at += DAY + 7 * DAY - 1
    assert shell("keys", "rotate").code == 4
    world.clock.at += 1
    assert shell.json("keys", "rotate")["state"] == "active"


def test_a_verifier_that_was_never_known_or_not_for_long_is_not_waited_for(world, shell):
    shell.json("keys", "rotate")
    world.clock.at += DAY
    assert shell.json("keys", "readiness")["verifiers"][0]["seen"] == "unknown"
    assert shell.json("keys", "rotate")["state"] == "active"
    fetched(world)
    world.clock.at += 31 * DAY
    shell.json("keys", "rotate")
    world.clock.at += DAY
    assert shell.json("keys", "rotate")["state"] == "active"


def test_fetches_are_written_in_batches_and_agents_are_bounded(world):
    from authserver.store.signing_keys.jwks_fetchers import MAX_AGENTS
    from tests.support.stores import Statements

    counted = Statements(world.store.engine)
    for number in range(3 * MAX_AGENTS):
        world.http.get(JWKS, headers={"User-Agent": f"robot/{number} (x; y)"})
    for _ in range(5):
        world.http.get(JWKS, headers={"User-Agent": "robot/0"})
    world.http.get(JWKS, headers={"User-Agent": "\x00é"})
    assert not [text for text in counted.texts if "jwks_verifiers" in text]
    world.store.jwks_fetchers.flush()
    for number in range(1000, 1000 + MAX_AGENTS):
        world.http.get(JWKS, headers={"User-Agent": f"robot/{number}"})
    world.store.jwks_fetchers.flush()
    known = world.store.jwks_fetchers.all()
    assert len(known) <= MAX_AGENTS + 1
    assert sum(each.fetches for each in known) == 4 * MAX_AGENTS + 6
    assert next(each.fetches for each in known if each.name == "robot/0") == 6


@pytest.mark.parametrize(
    "header", ["Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"a:b").decode(), "Basic " + "A" * 9000]
)
def test_whoever_says_a_wrong_name_gets_the_same_answer_and_counts_as_nobody(world, header):
    wrong = basic(world.api[0], world.api[1][:-1] + ("A" if world.api[1][-1] != "A" else "B"))
    bodies = {world.http.get(JWKS, headers={"Authorization": each}).data for each in (header, wrong)}
    bodies.add(world.http.get(JWKS).data)
    bodies |= {world.http.get(f"{JWKS}?jwks_client={each}").data for each in ("x", "A" * 22, "A" * 900, "%ff")}
    assert len(bodies) == 1
    world.store.jwks_fetchers.flush()
    assert {each.kind for each in world.store.jwks_fetchers.all()} == {"agent"}


# --- emergency ------------------------------------------------------------------------------------


def test_INV_15_a_compromised_key_is_dead_on_every_node_at_once(world, shell, tmp_path):
    """Also on a node that has it open and knows its tokens by heart; the staged key takes over."""
    other = services(world.url)
    http = Client(other.wsgi())
    (old,) = ring(world)
    staged = shell.json("keys", "generate")["kid"]
    token = world.access_token()

    def there(path, form, who):
        return http.post(path, data=form, headers={"Authorization": basic(*who)})

    assert there("/oauth/introspect", {"token": token}, world.api).json["active"]
    theirs = there("/oauth/token", {"grant_type": "client_credentials"}, world.client).json["access_token"]
    world.store.usage.flush()
    other.store().usage.flush()
    file = tmp_path / "report.json"
    document = shell.json("keys", "compromise", old, "--reason", "laptop stolen", "--report", str(file))
    assert (document["state"], document["tokens_probed"]) == ("compromised", 2)
    assert document["dead_after_ms"] >= document["acknowledged_after_ms"] > 0
    assert [(each["client_id"], each["tokens"]) for each in document["credentials"]] == [(world.client[0], 2)]
    for text in (token, theirs):
        assert there("/oauth/introspect", {"token": text}, world.api).json == {"active": False}
        assert not world.active(text)
    assert {key["kid"] for key in http.get(JWKS).json["keys"]} == {staged}
    fresh = there("/oauth/token", {"grant_type": "client_credentials"}, world.client).json["access_token"]
    assert parts(fresh)[0]["kid"] == staged
    other.keys().forget_retired()
    with pytest.raises(KeyGone):
        other.keys().sign(old, {})
    other.close()
    # The report holds without the server, by the key that took over and by no other.
    kid, claims = report.read(file.read_text(), report.trusted_by(world.http.get(JWKS).text))
    assert (kid, claims["kid"], claims["reason"], claims["event"]) == (staged, old, "laptop stolen", "compromise")
    assert shell("keys", "verify-report", str(file)).code == 0
    altered = json.loads(file.read_text())
    altered["report"] = altered["report"][:-4] + "AAAA"
    for text in (json.dumps(altered), "{}", "no report", json.dumps({"report": token, "key": altered["key"]})):
        file.write_text(text)
        assert shell("keys", "verify-report", str(file), "--json").json["ok"] is False
        assert report.main([str(file)]) == 1


def test_a_drill_tells_what_would_die_and_changes_nothing(world, shell, tmp_path):
    for _ in range(3):
        world.access_token()
    idle = world.access_token()
    world.introspect(idle)
    world.store.usage.flush()
    before = (world.store.keys.ring(), len(list(world.accounts.audit_records())))
    file = tmp_path / "drill.json"
    document = shell.json("keys", "drill", "--report", str(file))
    assert (document["live_tokens"], document["judged"], document["survivors"]) == (4, 4, 0)
    assert document["successor"] is None
    assert document["credentials"][0]["tokens"] == 4
    assert "would die" in shell("keys", "drill").out
    assert (world.store.keys.ring(), len(list(world.accounts.audit_records()))) == before
    staged = shell.json("keys", "generate")["kid"]
    document = shell.json("keys", "drill")
    assert (document["successor"], document["successor_before_its_time"]) == (staged, True)
    assert report.read(file.read_text())[1]["drill"] is True
    assert world.active(idle)
    assert shell("keys", "drill", "--report", str(file)).code != 0


def test_a_key_that_retired_under_a_request_is_followed_by_the_new_one(world):
    """The facts name a key, another node retires it, this node never had it open: no 503, a token of the new key."""
    other = services(world.url)
    http = Client(other.wsgi())
    real, turned = other.store().hot_path.issue_facts, []
    endpoint = http.application._table["/oauth/token"].endpoint

    class Late:
        def issue_facts(self, *asked):
            facts = real(*asked)
            if not turned:
                turned.append(signing_keys.rotate(key_context(world), "ES256", **world.who, reason="now").kid)
            return facts

    endpoint._hot_path = Late()
    answer = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": basic(*world.client)}
    )
    assert answer.status_code == 200, answer.text
    assert parts(answer.json["access_token"])[0]["kid"] == turned[0]
    other.close()


# --- where keys live -------------------------------------------------------------------------------


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


def test_a_key_is_killed_also_while_the_token_is_away(database_url, softhsm_token):  # noqa: F811
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


# --- algorithms ---------------------------------------------------------------------------------------


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


# --- a database that is older than it should be -----------------------------------------------------


def copied(url, folder):
    """A backup of a database that nobody has open."""
    if url.startswith("sqlite"):
        target = databases.fresh_sqlite_url(folder)
        shutil.copy(make_url(url).database, target.removeprefix("sqlite:///"))
        return target
    return databases.fresh_postgres_url(make_url(url).database)


def test_INV_03_a_restored_backup_raises_the_epoch_by_itself(world, tmp_path):
    token = world.access_token()
    assert world.active(token)
    state = str(tmp_path / "state")
    node = services(world.url, state_directory=state)
    node.store()
    node._rollback_guard.record(count_at=1)
    node.close()
    world.services.close()
    backup = copied(world.url, tmp_path)
    # What was done behind the backup is lost with it: the owner has the role again.
    node = services(world.url, state_directory=state)
    from authserver.actions import users as user_actions

    user_actions.revoke(node.store().accounts, "ada", "writer", actor="test", now=node.clock_.at)
    node.close()
    unknowing = services(backup, state_directory=str(tmp_path / "elsewhere"))
    assert unknowing.store().accounts.general().epoch == 1
    unknowing.close()
    restored = [services(backup, state_directory=state) for _ in range(4)]
    for each in restored:
        each.clock_.at = node.clock_.at
    with ThreadPoolExecutor(4) as pool:
        epochs = {each.epoch for each in pool.map(lambda each: each.store().accounts.general(), restored)}
    assert epochs == {node.clock_.at}
    records = [each for each in restored[0].store().accounts.audit_records() if each.event == "database.restored"]
    assert len(records) == 1
    assert "audit records" in records[0].detail
    http = Client(restored[0].wsgi())
    answer = http.post("/oauth/introspect", data={"token": token}, headers={"Authorization": basic(*world.api)})
    assert answer.json == {"active": False}
    fresh = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": basic(*world.client)}
    ).json["access_token"]
    answer = http.post("/oauth/introspect", data={"token": fresh}, headers={"Authorization": basic(*world.api)})
    assert answer.json["active"] is True
    for each in restored:
        each.close()
    again = services(backup, state_directory=state)
    assert again.store().accounts.general().epoch in epochs
    again.close()


def test_a_database_that_is_as_new_as_it_was_is_left_alone(world, tmp_path):
    state = str(tmp_path / "state")
    for _ in range(3):
        node = services(world.url, state_directory=state)
        node.store()
        node._rollback_guard.record(count_at=1)
        general_settings.set_general(
            node.store().accounts, "idle_timeout_minutes", str(20 + _), actor="test", now=node.clock_.at
        )
        node.close()
    assert world.accounts.general().epoch == 1
    assert len(list(Path(state).glob("witness-*.json"))) == 1


def test_a_backup_is_noticed_by_the_count_where_no_change_was_recorded(world, tmp_path):
    state = str(tmp_path / "state")
    node = services(world.url, state_directory=state)
    node.store()
    node._rollback_guard.record(count_at=1)
    node.close()
    world.services.close()
    backup = copied(world.url, tmp_path)
    node = services(world.url, state_directory=state)
    node.store()
    node._rollback_guard.record(count_at=1)
    node.close()
    late = services(backup, state_directory=state)
    assert late.store().accounts.general().epoch > 1
    late.close()


# --- by force ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("keys rotate --force", 2),
        ("keys rotate --reason x", 2),
        ("keys activate KID --force", 2),
        ("keys retire KID --force", 2),
        ("keys readiness nothing", 3),
        ("keys drill nothing", 3),
        ("settings set key_announcement_hours 0", 6),
        ("settings set post_quantum 2", 6),
        ("keys generate --alg ML-DSA-87", 2),
    ],
)
def test_bad_input_names_the_fix_and_changes_nothing(world, shell, command, code):
    before, (kid,) = world.store.keys.ring(), ring(world)
    result = shell(*(kid if word == "KID" else word for word in command.split()))
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("Error: ")
    assert world.store.keys.ring() == before


def test_a_reason_is_one_line(world, shell):
    for reason in ("x" * 201, "a\nb", " "):
        assert shell("keys", "rotate", "--force", "--reason", reason).code == 6
    with pytest.raises(Conflict):
        world.store.keys.rotate("ES256", None, "test", world.clock.at)


def test_a_master_key_that_opens_nothing_is_refused_everywhere():
    two = MasterKey(NEW, OLD)
    sealed = MasterKey(OLD).seal("x", b"plain")
    assert two.open("x", sealed) == b"plain"
    assert not two.opens_alone("x", sealed)
    assert MasterKey(NEW).opens_alone("x", two.seal("x", b"plain"))


# --- the schema ---------------------------------------------------------------------------------------


def test_INV_24_the_program_before_works_on_this_schema_and_the_way_back_leads_here_again(database_url):
    node = services(database_url)
    node.migrate()
    (key,) = node.store().keys.ring()
    node.close()
    maintenance = node._app.extensions["maintenance"]
    with node._app.app_context():
        with writing(db.engine) as connection:
            # As a program of schema 0001 writes it: it knows no new column.
            connection.exec_driver_sql(
                "INSERT INTO signing_keys (kid, alg, state, public_jwk, created_at, token_life) "
                "SELECT 'old', alg, 'staged', public_jwk, created_at, 0 FROM signing_keys"
            )
        maintenance.downgrade("0001")
        assert maintenance.schema().state == "older"
        maintenance.upgrade()
        assert maintenance.differences() == ()
        db.engine.dispose()
    ring_now = {each.kid: (each.state, each.key_store) for each in node.store().keys.ring()}
    assert ring_now == {key.kid: (State.ACTIVE, "database"), "old": (State.STAGED, "database")}
    assert node.store().accounts.general().key_announcement_hours == 24
    node.close()


def test_every_general_setting_of_keys_is_read_as_it_was_set(world, shell):
    for name, value in (("key_rotation_days", 30), ("key_announcement_hours", 2), ("key_patience_hours", 0)):
        assert shell.json("settings", "set", name, str(value)) == {name: value}
    policy = key_context(world).policy
    assert (policy.period, policy.announcement, policy.patience) == (30 * DAY, 2 * HOUR, 0)
    assert shell.json("settings", "set", "key_rotation_days", "0") == {"key_rotation_days": 0}
    assert key_context(world).policy.period is None
