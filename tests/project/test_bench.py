"""The benchmark starts every server, gets right answers from each, and tells what it measured. No time is judged."""

import json
import socket
import threading
import time
from functools import partial

import pytest
from sqlalchemy import func, select

from authserver.services.periodic_tasks import SWEEP_SECONDS
from authserver.store import tables
from bench import __main__ as bench
from bench import authserver_under_test, cases, console_pages, dataset, figures, scale, verifiers
from bench.load_generator import Burst, InPython, generator, whole
from bench.peers import documented, oidc_provider, same_job
from bench.peers.orm import VARIABLE
from bench.requests import fault, get, post
from bench.runner import Measured

OURS = (
    "token ES256",
    "token RS256",
    "introspect",
    "token ES256, key",
    "token ES256, DPoP",
    "token ES256, federation",
    "introspect, many live",
    "introspect, never seen",
    "introspect, half load",
    "introspect, garbage",
    "introspect, forged",
    "introspect, wrong secret",
    "introspect, unknown caller",
    "JWKS",
    "metadata",
)

PEERS = (
    "bare",
    "echo",
    *(f"{peer} {{}} {what}" for peer in ("documented", "same-job") for what in ("token", "introspect")),
)
"""Beside what database each is measured stands for the braces."""

NODE = ("oidc-provider introspect", "oidc-provider token ES256")

FILLED = (tables.credentials, tables.sessions, tables.audit)


def run(capsys, tmp_path, *more):
    report = tmp_path / "told.json"
    arguments = ["--rounds", "1", "--seconds", "1", "--connections", "2", "--load", "python", "--json", str(report)]
    assert bench.main([*arguments, *more]) == 0
    return json.loads(report.read_text()), capsys.readouterr().out


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(InPython, "SHARE", 0.05)
    for name in ("_FRESH", "_CLIENTS", "_PEER_TOKENS"):
        monkeypatch.setattr(bench, name, 8)
    monkeypatch.setattr(bench, "_SIGNED", 500)
    monkeypatch.setattr(bench, "_LIVE", {True: 8, False: 8})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "peers"), [("sqlite", PEERS), ("postgresql", ())], ids=["sqlite, with peers", "postgresql"]
)
def test_every_cell_gets_right_answers(database, peers, capsys, tmp_path):
    only = () if peers else ("--peers", "")  # a peer is the same program on both databases, see the next test
    report, printed = run(capsys, tmp_path, "--no-workers", "--databases", database, *only)
    measured = {cell["name"]: cell for cell in report["cells"]}
    names = [f"ours {database} {what}" for what in OURS] + [peer.format(database) for peer in peers]
    for name in names:
        assert measured[name]["bursts"][0]["answers"] > 0, name
        assert measured[name]["wrong"] == 0, name
        assert f"| {name} |" in printed
    known = {*names, "raw RS256 signature", *(NODE if peers and oidc_provider.program() else ())}
    for goal in (*figures.GOALS, *figures.NODE_GOALS):
        shown = f"| {goal.over} ÷ {goal.under} |" in printed
        assert shown == ({goal.over, goal.under} <= known), goal


@pytest.mark.parametrize("peer", [documented, same_job], ids=["documented", "same-job"])
def test_a_peer_introspects_what_it_issued(peer, database_url, monkeypatch):
    made = peer.seed(database_url, 2, 2)
    monkeypatch.setenv(VARIABLE, database_url)
    app = peer.wsgi()
    try:
        for case in cases.peer_cases("peer", made):
            for request in case.requests(0):
                head, _, body = request.decode().partition("\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
                answer = app.test_client().post(head.split()[1], data=body, headers=headers)
                assert fault(case.kind, answer.status_code, answer.data) == ""
    finally:
        with app.app_context():
            peer.db.engine.dispose()


def test_ended_sessions_are_swept(capsys, tmp_path):
    report, _ = run(capsys, tmp_path, "--sweep", "600")
    found = {figure["name"]: figure["value"] for figure in report["figures"]}
    for database in bench.DATABASES:
        assert found[f"ours {database}, rows swept by one process"] == 600 / SWEEP_SECONDS


def test_a_full_database_has_the_rows_and_clients_that_work(database_url):
    made = authserver_under_test.seed(database_url, 1, partial(scale.fill, sizes=scale.Sizes(30, 40, 50)))
    try:
        with made.engine.connect() as connection:
            rows = [connection.execute(select(func.count()).select_from(table)).scalar() for table in FILLED]
        assert rows[0] == 31
        assert rows[1] == 40
        assert rows[2] > 50
        assert len(made.tokens(2)) == 2
    finally:
        made.close()


def test_every_page_of_the_console_answers_over_a_crowd_whose_chain_holds(database_url):
    made = dataset.seed(database_url, dataset.Sizes(60, 60, 80))
    try:
        verdict = made.store.accounts.audit_verify()
        assert (verdict.records > 80, verdict.fault) == (True, "")
        assert made.store.token_reads.all(int(time.time())) == 5
    finally:
        made.close()
    measured = console_pages.measure(made, 1)
    assert {each.name for each in measured} >= {"own list", "inventory, reduced", "audit, last page"}
    assert all(each.statements and len(each.wall) == len(each.cost) == 1 for each in measured)
    printed = console_pages.table({"sqlite": measured, "postgresql": measured})
    assert printed.count("\n") == len(measured) + 1
    assert printed.startswith("| page | sqlite: cost, least ms |")


def test_whether_a_page_keeps_within_its_bound():
    def reached(*cost):
        return console_pages.PageTimings("page", cost=list(cost)).reached()

    assert [reached(1, 49), reached(1, 1, 50), reached(50, 60)] == ["yes", "median", "**no**"]


def test_the_sizes_of_a_full_database_follow_what_it_is_for():
    sizes = [(chosen.credentials, chosen.audit) for chosen in map(bench.options, (["--big"], ["--pages"]))]
    assert sizes == [(100_000, 1_000_000), (10_000, 1_000_000)]
    assert bench.options(["--pages", "--credentials", "7"]).credentials == 7


def test_only_some_cells():
    chosen = bench.options(["--only", "bare", "--databases", "sqlite", "--peers", "bare,echo"])
    assert (chosen.only, chosen.databases, chosen.peers) == (["bare"], ("sqlite",), ("bare", "echo"))


@pytest.mark.parametrize("wrong", [["--databases", "oracle"], ["--rounds", "0"], ["--load", "ab"]])
def test_a_wrong_option_names_the_right_ones(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.options(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "status", "body", "right"),
    [
        ("token", 200, b'{"access_token":"a","token_type":"Bearer"}', True),
        ("token", 401, b'{"error":"invalid_client"}', False),
        ("bound", 200, b'{"access_token":"a","token_type":"DPoP"}', True),
        ("bound", 200, b'{"access_token":"a","token_type":"Bearer"}', False),
        ("active", 200, b'{"active":true}', True),
        ("active", 200, b'{"active":false}', False),
        ("active", 200, b"<html>", False),
        ("keys", 200, b'{"keys":[{}]}', True),
        ("keys", 200, b'{"keys":[]}', False),
        ("keys", 500, b'{"keys":[{}]}', False),
        ("refused", 200, b'{"active":false}', True),
        ("refused", 401, b'{"error":"invalid_client"}', True),
        ("refused", 429, b'{"error":"invalid_client"}', True),
        ("refused", 200, b'{"active":true}', False),
        ("refused", 503, b'{"error":"temporarily_unavailable"}', False),
    ],
)
def test_what_is_a_right_answer(kind, status, body, right):
    assert (fault(kind, status, body) == "") is right


def test_requests_are_whole():
    assert get("/x") == b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head, _, body = post("/x", {"a": "b c"}, "Basic YTpi").partition(b"\r\n\r\n")
    assert body == b"a=b+c"
    assert b"Content-Length: 5" in head


@pytest.mark.parametrize(
    ("got", "length"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", 40),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 38),
        (b"HTTP/1.1 200 OK\r\nconte", None),
    ],
)
def test_where_an_answer_ends(got, length):
    assert whole(got) == length


def test_the_generator_in_python_counts_refusals_and_broken_lines():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for answer in (b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", b""):
                line, _ = server.accept()
                with line:
                    line.recv(1000)
                    line.sendall(answer)
                    line.recv(1000)

        threading.Thread(target=serve, daemon=True).start()
        burst = InPython().burst(server.getsockname()[1], [get("/")], connections=1, seconds=5)
    assert burst.refused == 1
    assert burst.broken >= 1


def test_a_generator_by_name():
    assert generator("python").name == "python"


def test_ratios_are_medians_of_rounds():
    def cell(name, *rates):
        return Measured(name, [Burst(rate, 0, 1.0, 1.0, 2.0, 0, 0) for rate in rates])

    measured = {"a": cell("a", 10, 20, 90), "b": cell("b", 10, 10, 10)}
    assert figures.ratio(measured, "a", "b") == 2
    assert figures.ratio(measured, "a", "c") is None
    figure = figures.Figure("p99", 12, 25, 10, least=False, unit="ms")
    assert figure.reached() == "first"
    assert "| p99 | 12 ms |  | ≤ 25 | ≤ 10 | first |" in figures.ratios_table([figure])


def test_the_package_is_measured_beside_introspection(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "_REVOCATIONS", {True: 2, False: 2})
    monkeypatch.setattr(verifiers, "_TOKENS", 4)
    report, _ = run(capsys, tmp_path, "--resource-server")
    found = {each["name"]: each["value"] for each in report["figures"]}
    assert len([name for name in found if "change to deny" in name]) == 3 * len(verifiers.MODES)
    assert found["exact, change to deny, highest"] == 0
    assert found["one thread, introspection"] > 0
    assert found["one thread, local check (feed) ÷ introspection of each call"] > 1


def test_what_a_refused_request_costs_is_told_beside_a_good_one():
    def cell(name, cost):
        return Measured(name, [Burst(10, 0, 1.0, 1.0, 8.0, 0, 0)], [cost])

    names = ("ours sqlite introspect", "ours sqlite introspect, garbage", "other, garbage")
    measured = {name: cell(name, cost) for name, cost in zip(names, (100.0, 80.0, 1.0), strict=True)}
    told = {figure.name: figure.value for figure in figures.figures(measured)}
    assert told["ours sqlite introspect, garbage ÷ a good one, processor time"] == 0.8
    assert told["ours sqlite introspect, p99 ÷ p50 at saturation"] == 8
    assert len(told) == 2
