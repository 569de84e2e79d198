"""Keys are made, announced, promoted, withdrawn and compromised."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update
from werkzeug.test import Client

from authserver.actions import general_settings, signing_keys
from authserver.ports.errors import Conflict, KeyGone
from authserver.store.engine.connections import writing
from authserver.store.tables import signing_keys as signing_key_rows
from keys import report
from keys.keyring import State
from keys.master import MasterKey
from keys.rotation import SKEW
from tests.keys.life.support import DAY, HOUR, JWKS, NEW, OLD, key_context, published, ring, services
from tests.support import servers
from tests.support.stores import migrate
from tests.support.wsgi_client import basic, parts, settled


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
