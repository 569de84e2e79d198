"""Webhooks by API, console and command line: each can do what the others can."""

import re
import shlex

import pytest

from tests.support.api_client import problem
from tests.support.console_browser import builder, signed_in
from tests.support.processes import ROOT
from tests.support.shell import Shell

HOOK = "https://hooks.example.com/auth"


@pytest.fixture
def shell(world):
    return Shell(world.app)


def made(world, **body):
    answer = world.root("POST", "/webhooks", {"url": HOOK, **body})
    assert answer.status_code == 201, answer.text
    return answer.json


def test_the_api_makes_edits_rotates_and_deletes_a_webhook(telling):
    world = telling.world
    first = world.root("POST", "/webhooks", {"url": HOOK, "events": ["secret.leaked"]}, Idempotency_Key="k1")
    again = world.root("POST", "/webhooks", {"url": HOOK, "events": ["secret.leaked"]}, Idempotency_Key="k1")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", first.json["secret"])
    assert again.json["secret"] is None
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(world.root.read("/webhooks")["items"]) == 1
    path = f"/webhooks/{first.json['id']}"
    assert "secret" not in world.root.read(path)
    stale = world.root.get(path).headers["ETag"]
    edited = world.root.edit("PATCH", path, {"events": [], "description": "Alarms"})
    assert (edited.json["events"], edited.json["description"]) == ([], "Alarms")
    problem(world.root("PATCH", path, {"url": HOOK + "/2"}, If_Match=stale), 412, "precondition_failed")
    rotated = world.root("POST", f"{path}/secrets", {"overlap_seconds": 3600})
    assert rotated.json["secret"] not in {None, first.json["secret"]}
    assert rotated.json["old_secret_ends_at"] is not None
    assert world.root.edit("POST", f"{path}/disable", of=path).json["disabled_at"] is not None
    problem(world.root("POST", f"{path}/test"), 409, "conflict")
    assert world.root.edit("POST", f"{path}/enable", of=path).json["disabled_at"] is None
    assert world.root.edit("DELETE", path).status_code == 204
    problem(world.root.get(path), 404, "not_found")


@pytest.mark.parametrize(
    "body",
    [{}, {"url": "http:"}, {"url": HOOK, "events": ["no.such"]}, {"url": HOOK, "more": 1}, {"url": 5},
     {"url": HOOK, "description": "a\nb"}, {"url": HOOK, "events": "secret.leaked"}, {"url": "https://x/\x00"}],
)  # fmt: skip
def test_what_cannot_be_is_a_400_and_makes_nothing(telling, body):
    answer = telling.world.root("POST", "/webhooks", body)
    assert answer.status_code == 400
    assert answer.json["type"].rpartition("/")[2] in {"invalid", "invalid_request"}
    assert telling.world.root.read("/webhooks")["items"] == []


def test_deliveries_are_listed_shown_and_replayed_by_the_api(telling):
    world = telling.world
    mine, _ = telling.webhook()
    path = f"/webhooks/{mine}"
    telling.receiver.status = 500
    for _ in range(3):
        assert world.root("POST", f"{path}/test").status_code == 202
    telling.round()
    first = world.root.read(f"{path}/deliveries", limit=2)
    rest = world.root.read(f"{path}/deliveries", limit=2, cursor=first["next_cursor"])
    listed = [*first["items"], *rest["items"]]
    assert [each["type"] for each in listed] == ["webhook.test"] * 3
    assert rest["next_cursor"] is None
    shown = world.root.read(f"{path}/deliveries/{listed[-1]['id']}")
    assert (shown["log"][0]["status"], shown["data"]) == (500, {"webhook_id": mine})
    problem(world.root("POST", f"{path}/replay"), 409, "conflict")
    telling.receiver.status = 204
    assert world.root("POST", f"{path}/deliveries/{shown['id']}/replay").json == {"deliveries": 1}
    assert shown["id"] in [each.id for each in telling.round()]
    assert world.root.read(f"{path}/deliveries", state="delivered")["items"]
    problem(world.root.get(f"{path}/deliveries/evt_none"), 404, "not_found")
    problem(world.root("POST", "/webhooks/wh_none/deliveries/evt_none/replay"), 404, "not_found")


def test_the_command_line_does_the_same(telling, shell):
    receiver = telling.receiver
    new = shell.json("webhooks", "create", receiver.url, "--event", "webhook.test", "--description", "Alarms")
    assert new["secret"].startswith("whsec_")
    assert "Alarms" in shell("webhooks", "show", new["id"]).out
    assert shell("webhooks", "list").code == 0
    assert [each["url"] for each in shell.json("webhooks", "list")] == [receiver.url]
    receiver.status = 500
    shell("webhooks", "test", new["id"])
    telling.round()
    (delivery,) = shell.json("webhooks", "deliveries", new["id"], "--state", "pending")
    assert delivery["last_error"] == "answered 500"
    one = shell.json("webhooks", "deliveries", new["id"], "--event", delivery["id"])
    assert one["log"][0]["status"] == 500
    receiver.status = 204
    assert shell.json("webhooks", "replay", new["id"], "--event", delivery["id"])["deliveries"] == 1
    assert [each.id for each in telling.round()] == [delivery["id"]]
    assert shell("webhooks", "replay", new["id"], "--dead").code == 4
    assert shell("webhooks", "replay", new["id"]).code == 2
    assert shell.json("webhooks", "edit", new["id"], "--all-events")["events"] == []
    assert shell("webhooks", "edit", new["id"], "--all-events", "--event", "secret.leaked").code == 2
    rotated = shell.json("webhooks", "rotate", new["id"], "--overlap", "1h")
    assert rotated["secret"] != new["secret"]
    assert shell("webhooks", "disable", new["id"]).code == 0
    assert shell("webhooks", "enable", new["id"]).code == 0
    assert shell.json("webhooks", "delete", new["id"])["deleted"]
    assert shell("webhooks", "show", new["id"]).code == 3
    assert shell("webhooks", "create", "ftp://x").code == 6
    assert "signing_key.compromised" in shell("webhooks", "events").out


@pytest.fixture(scope="module")
def officer(world):
    builder(world, "officer", ("security:view",))
    return signed_in(world, "officer")


def test_the_console_does_the_same(telling, officer):
    world, base = telling.world, "/console/security/webhooks"
    assert "No webhook yet" in officer.get(base).words
    form = officer.get(f"{base}/new")
    bad = form.send(url="ftp://x", description="", events=["secret.leaked"])
    assert bad.status == 400
    assert bad.value("url") == "ftp://x"
    revealed = form.send(url=telling.receiver.url, description="Alarms", events=["secret.leaked", "webhook.test"])
    assert re.search(r"whsec_[A-Za-z0-9+/]{43}=", revealed.words)
    (webhook,) = world.store.webhooks.all()
    assert webhook.events == ("secret.leaked",) or "webhook.test" in webhook.events
    one = f"{base}/{webhook.id}"
    telling.receiver.status = 500
    sent = officer.get(one).send(f"{one}/test")
    assert "is on its way" in sent.words
    telling.round()
    page = officer.get(one)
    assert "answered 500" in page.words
    delivery = telling.delivery(webhook.id)
    assert "webhook_id" in officer.get(f"{one}/deliveries/{delivery.id}").words
    telling.receiver.status = 204
    officer.get(f"{one}/deliveries/{delivery.id}").send(f"{one}/deliveries/{delivery.id}/replay")
    assert [each.id for each in telling.round()] == [delivery.id]
    officer.get(f"{one}/edit").send(url=telling.receiver.url, description="<b>", events=[])
    assert world.store.webhooks.find(webhook.id).events == ()
    assert "<b>" not in officer.get(base).text
    assert "whsec_" in officer.get(f"{one}/rotate").send(overlap="3600").words
    assert world.store.webhooks.find(webhook.id).generation == 2
    officer.get(one).send(f"{one}/disable")
    assert world.store.webhooks.find(webhook.id).disabled_at is not None
    officer.get(one).send(f"{one}/enable")
    officer.get(f"{one}/delete").send()
    assert world.store.webhooks.all() == ()
    assert officer.get(one).status == 404


def test_every_change_of_a_webhook_is_on_record(telling, shell):
    world = telling.world
    before = world.accounts.audit_newest(1)[0].seq
    path = f"/webhooks/{made(world)['id']}"
    world.root.edit("PATCH", path, {"description": "x"})
    world.root("POST", f"{path}/secrets", {})
    world.root("POST", f"{path}/test")
    world.root.edit("POST", f"{path}/disable", of=path)
    world.root.edit("POST", f"{path}/enable", of=path)
    world.root.edit("DELETE", path)
    records = list(world.accounts.audit_records(before))
    kinds = ("created", "edited", "secret_rotated", "tested", "disabled", "enabled", "deleted")
    assert [each.event for each in records] == [f"webhook.{kind}" for kind in kinds]
    assert all("whsec_" not in each.detail for each in records)


def test_the_commands_of_the_page_do_what_it_says(telling, shell):
    """Every command in docs/webhooks.md, also those in its sentences, with the id of a webhook that is there."""
    page = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    for line in lines:
        assert shell(*shlex.split(line)[1:]).code == 0, line
    webhook_id, _ = telling.webhook()
    inline = sorted(set(re.findall(r"`(flask webhooks [^`]+ ID[^`]*)`", page)))
    assert len(inline) >= 4
    nothing = {"flask webhooks replay ID --dead": 4}  # none was given up yet
    for each in inline:
        assert shell(*shlex.split(each.replace(" ID", f" {webhook_id}"))[1:]).code == nothing.get(each, 0), each
