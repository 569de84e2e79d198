"""Signed checkpoints: taken in time, never over a broken chain, and what they prove to whoever kept one."""

import json
import re
import shlex
import threading

import pytest

from authserver.audit import Event
from authserver.audit_export.checkpoints import DUE_AFTER, TYP, fingerprint, take, take_if_due
from authserver.audit_export.lines import lines, read
from authserver.audit_export.offline import read_checkpoints, verify_export
from authserver.ports.errors import Invalid, Unavailable
from tests.conftest import World
from tests.support import stores
from tests.support.processes import ROOT
from tests.support.shell import Shell

ISSUER = "http://127.0.0.1:8000"


both = pytest.mark.parametrize("world", ["sqlite", "postgresql"], indirect=True)
"""For what the database itself decides; everything else is the same on both."""


@pytest.fixture
def world(request, tmp_path):
    world = World(stores.migrated_url(getattr(request, "param", "sqlite"), tmp_path))
    yield world
    world.services.close()


@pytest.fixture
def shell(world):
    return Shell(world.app)


def record(world, number=1):
    for _ in range(number):
        with world.accounts.change(Event("role.created", "test", "rol_1", {}), world.clock.at):
            pass


def due(world):
    return take_if_due(
        world.store.checkpoints, world.services.sign_checkpoint, issuer=ISSUER, now=world.clock.at, after=DUE_AFTER
    )


class Kept:
    """What an auditor took away: an export, checkpoints and the JWK set, as files."""

    def __init__(self, shell, folder):
        self.shell = shell
        self.export, self.checkpoints, self.jwks = (folder / each for each in ("a.jsonl", "c.json", "jwks.json"))
        self.export.write_text(shell("audit", "export").out)
        self.checkpoints.write_text(json.dumps(shell.json("audit", "checkpoints")))
        self.jwks.write_text(json.dumps(shell.json("audit", "jwks")))

    def verify(self, export=None):
        path = export or self.export
        return self.shell(
            *("audit", "verify", "--offline", path, "--checkpoint", self.checkpoints, "--jwks", self.jwks, "--json")
        )

    def without(self, *numbers):
        """The export without some of its lines, counted from 0."""
        kept = self.export.read_bytes().splitlines(keepends=True)
        part = self.export.with_name("part.jsonl")
        part.write_bytes(b"".join(line for number, line in enumerate(kept) if number not in numbers))
        return part


@both
def test_one_is_taken_an_hour_and_names_the_one_before(world):
    first = due(world)
    assert (first.number, first.seq) == (1, world.accounts.audit_newest(1)[0].seq)
    world.clock.at += DUE_AFTER - 1
    assert due(world) is None
    record(world, 2)
    world.clock.at += 1
    second = due(world)
    assert (second.number, second.seq, second.previous) == (2, first.seq + 2, fingerprint(first.jws))
    world.clock.at += DUE_AFTER
    third = due(world)  # nothing happened: it says so
    assert (third.seq, third.digest, third.previous) == (second.seq, second.digest, fingerprint(second.jws))


@both
def test_many_nodes_take_one(world):
    made, start = [], threading.Barrier(6)

    def node():
        start.wait(60)
        made.append(due(world))

    threads = [threading.Thread(target=node) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(made) == 6
    assert len([each for each in made if each]) == len(world.store.checkpoints.after(0, 100)) == 1


def test_a_long_trail_is_covered_by_several(world, monkeypatch):
    monkeypatch.setattr("authserver.audit_export.checkpoints.MOST_RECORDS", 5)
    numbers = []
    while (made := due(world)) is not None:
        numbers.append(made.seq)
    newest = world.accounts.audit_newest(1)[0].seq
    assert numbers == [*range(5, newest, 5), newest][: len(numbers)]
    assert newest - numbers[-1] < 5


def test_it_is_a_jws_of_its_own_kind_that_no_endpoint_takes_for_a_token(world):
    made = due(world)
    assert world.services.keys().read(made.jws, TYP) is not None
    assert world.services.keys().read(made.jws) is None
    assert not world.active(made.jws)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET target = 'x' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 2",
        "UPDATE audit_head SET seal = 'x'",
        "UPDATE audit_checkpoints SET seq = 1",
        "UPDATE audit_checkpoints SET digest = 'x'",
        "UPDATE audit_checkpoints SET jws = 'x'",
    ],
)
def test_nothing_is_signed_over_a_chain_that_does_not_hold(world, statement):
    if "checkpoints" in statement:
        assert due(world)
    world.clock.at += DUE_AFTER
    with world.store.engine.connect().execution_options(write=True) as connection:
        connection.exec_driver_sql(statement)
        connection.commit()
    with pytest.raises(Unavailable, match=r"does not hold|was altered"):
        due(world)
    assert len(world.store.checkpoints.after(0, 100)) == ("checkpoints" in statement)


def test_an_auditor_needs_the_files_alone(world, shell, tmp_path):
    shell.json("audit", "checkpoint")
    record(world, 3)
    world.clock.at += 5
    made = shell.json("audit", "checkpoint")
    record(world)
    kept = Kept(shell, tmp_path)
    said = kept.verify()
    assert said.code == 0, said
    assert (said.json["proven"], said.json["last"], said.json["checkpoints"]) == (
        made["records"],
        made["records"] + 1,
        2,
    )
    assert (
        "newer"
        in shell(
            *("audit", "verify", "--offline", kept.export, "--checkpoint", kept.checkpoints, "--jwks", kept.jwks)
        ).out
    )
    csv = tmp_path / "a.csv"
    shell.json("audit", "export", "--format", "csv", "--output", csv)
    assert kept.verify(csv).json == said.json
    behind = tmp_path / "behind.jsonl"
    shell.json("audit", "export", "--after", made["records"] - 3, "--output", behind)
    assert kept.verify(behind).json["proven"] == made["records"]
    text = shell("audit", "verify", "--offline", kept.export)
    assert (text.code, "--checkpoint proves" in text.out) == (0, True)


def test_a_cut_tail_shows_although_the_forger_has_the_key_of_the_chain(world, shell, tmp_path):
    made = shell.json("audit", "checkpoint")
    kept = Kept(shell, tmp_path)
    cut = kept.without(made["records"] - 1)
    said = kept.verify(cut)
    assert (said.code, said.json["first_bad"]) == (1, made["records"])
    assert "covers" in said.error["message"]
    assert shell("audit", "verify", "--offline", cut).code == 0  # it cannot show without a checkpoint


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"actor":"test"', b'"actor":"tess"'),
        (b'"username":"ada"', b'"username":"eve"'),
        (b'"kind":"builder"', b'"kind":"b"'),
    ],
)
def test_an_altered_record_shows(world, shell, tmp_path, before, after):
    shell.json("audit", "checkpoint")
    kept = Kept(shell, tmp_path)
    text = kept.export.read_bytes()
    assert before in text
    kept.export.write_bytes(text.replace(before, after, 1))
    assert kept.verify().code == 1


def test_a_record_that_is_missing_is_named(world, shell, tmp_path):
    shell.json("audit", "checkpoint")
    kept = Kept(shell, tmp_path)
    said = kept.verify(kept.without(3))
    assert (said.code, said.json["first_bad"]) == (1, 4)


def test_a_rewritten_history_does_not_follow_the_checkpoint_that_was_kept(world, shell, tmp_path):
    """The forger has the database and every key: only what was kept elsewhere contradicts."""
    first = due(world)
    kept = Kept(shell, tmp_path)
    with world.store.engine.connect().execution_options(write=True) as connection:
        connection.exec_driver_sql("DELETE FROM audit_checkpoints")
        connection.commit()
    record(world)
    other = take(world.store.checkpoints, world.services.sign_checkpoint, issuer=ISSUER, now=world.clock.at)
    both = json.dumps([first.jws, other.jws])
    with pytest.raises(Invalid, match="two checkpoints 1"):
        read_checkpoints(both, kept.jwks.read_text())


def test_checkpoints_outlive_the_key_that_signed_them(world, shell, tmp_path):
    shell.json("audit", "checkpoint")
    shell("keys", "rotate", "--force", "--reason", "drill")
    world.clock.at += DUE_AFTER
    shell.json("audit", "checkpoint")
    kept = Kept(shell, tmp_path)
    assert len({each["kid"] for each in json.loads(kept.checkpoints.read_text())}) == 2
    assert kept.verify().code == 0
    with pytest.raises(Invalid, match="not signed by any key"):
        read_checkpoints(kept.checkpoints.read_text(), '{"keys": []}')


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[1]", "x.y.z", '{"items": [{"jws": 3}]}', "{", '"' + "x" * 9000 + '"']
)
def test_what_is_no_checkpoint_is_refused(text):
    keys = json.dumps({"keys": []})
    with pytest.raises(Invalid):
        read_checkpoints(text, keys)


@pytest.mark.parametrize(
    "jwks", ["", "[]", "{}", '{"keys": 1}', '{"keys": [{}]}', '{"keys": [{"kid": "x", "kty": "oct"}]}']
)
def test_what_is_no_jwk_set_is_refused(jwks):
    with pytest.raises(Invalid):
        read_checkpoints("e30.e30.e30", jwks)


@pytest.mark.parametrize("name", ["audit-events.md", "security-team.md"])
def test_every_command_of_the_page_does_what_it_says(world, shell, tmp_path, monkeypatch, name):
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    page = page.replace("CLIENT_ID", world.client[0]).replace("USERNAME", "ada")
    blocks = re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("flask ")]
    assert len(commands) > 9
    monkeypatch.chdir(tmp_path)
    shell.json("audit", "checkpoint")
    world.clock.at += 1
    for each in commands:
        words, _, file = each.partition(" > ")
        said = shell(*shlex.split(words)[1:])
        assert said.code == 0, (each, said)
        if file:
            (tmp_path / file).write_text(said.out)


def test_one_a_line_or_as_the_api_answers_is_read_alike(world):
    first = due(world)
    world.clock.at += DUE_AFTER
    second = due(world)
    jwks = json.dumps({"keys": [json.loads(each.public_jwk) for each in world.store.keys.ring()]})
    spelt = [
        f"{second.jws}\n{first.jws}\n",
        json.dumps([first.jws, second.jws]),
        json.dumps({"items": [{"jws": first.jws}, {"jws": second.jws}], "next_cursor": None}),
        f'{{"jws": "{first.jws}"}}\n{{"jws": "{second.jws}"}}\n',
    ]
    for text in spelt:
        assert read_checkpoints(text, jwks) == (first, second)
    records = list(world.accounts.audit_records())
    assert verify_export(read(lines(records)), (first, second)).proven == second.seq
