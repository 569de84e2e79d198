"""The audit trail outside this server: exported, and read back without the database."""

import csv
import io
import json

import pytest

from authserver.audit import Event, Record
from authserver.audit_export.lines import csv_line, json_line, lines, read
from authserver.audit_export.vocabulary import EVENTS, EVERYWHERE
from authserver.ports.errors import Invalid
from tests.conftest import World
from tests.support import stores
from tests.support.shell import Shell

HOSTILE = ("=cmd()", "+1", "-1", "@x", "'quoted'", "'", 'a"b,c', "two\nlines", "two\r\nlines", "é\U0001f916", "\t", " ")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(stores.migrated_url("sqlite", tmp_path_factory.mktemp("export")))
    for text in HOSTILE:
        with world.accounts.change(Event("role.created", f"cli:{text}", text, {"name": text}), world.clock.at):
            pass
    yield world
    world.services.close()


@pytest.fixture
def shell(world):
    return Shell(world.app)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_what_is_exported_is_read_back_member_for_member(world, shell, tmp_path, form):
    records = list(world.accounts.audit_records())
    file = tmp_path / f"audit.{form}"
    document = shell.json("audit", "export", "--format", form, "--output", file)
    assert document == {"records": len(records), "after": 0, "last": records[-1].seq}
    with file.open("rb") as export:
        assert list(read(export)) == records
    assert list(read(lines(iter(records), form))) == records
    rest = shell.json("audit", "export", "--format", form, "--after", 3, "--output", file)
    assert rest["records"] == len(records) - 3
    with file.open("rb") as export:
        assert list(read(export)) == records[3:]
    printed = b"".join(lines(records, form)).replace(b"\r\n", b"\n")  # as the runner of click reads it
    assert shell("audit", "export", "--format", form).out.encode() == printed


def test_no_cell_is_a_formula(world):
    text = "".join(csv_line(each) for each in world.accounts.audit_records())
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert len(cells) > len(HOSTILE) * 8
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_a_detail_has_the_members_of_the_vocabulary(world):
    named = {
        record.event: set(json.loads(record.detail)) - set(EVENTS[record.event].members) - set(EVERYWHERE)
        for record in world.accounts.audit_records()
    }
    assert len(named) >= 4
    assert not {event: more for event, more in named.items() if more}


GOOD = Record(1, 1_800_000_000, "cli:x", "role.created", "rol_1", "{}", "0" * 64, "1" * 64)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '"text"',
        "null",
        "[" * 100_000,
        json_line(GOOD).replace('"seq":1,', ""),
        json_line(GOOD).replace('"seq":1', '"seq":"1"'),
        json_line(GOOD).replace('"seq":1', '"seq":null'),
        json_line(GOOD).replace('"detail":{}', '"detail":NaN'),
        json_line(GOOD).replace("2027-01-15T08:00:00Z", "yesterday"),
        json_line(GOOD).replace("2027-01-15T08:00:00Z", "2027-01-15T08:00:00"),
        json_line(GOOD).replace('"cli:x"', "7"),
        "x" * 1_000_001,
        b"\xff\xfe",
        "seq,at,actor,event,target,detail,previous_hash,hash\r\n1,2",
        "seq,at,actor,event,target,detail,previous_hash,hash\r\n" + "x," * 7 + "x",
        'seq,at,actor,event,target,detail,previous_hash,hash\r\n"1"x,2',
    ],
)
def test_what_is_no_export_is_refused_with_the_number_of_its_line(line):
    given = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(Invalid, match=r"^line [12] "):
        list(read(given.splitlines(keepends=True)))


def test_an_empty_export_has_no_records():
    assert list(read([])) == list(read([b"\n"])) == list(read(lines([], "csv"))) == []
