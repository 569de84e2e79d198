"""The fleet that the benchmark simulates: from a seed, with costs counted on a real server."""

import json
from collections import Counter

import pytest

from bench import __main__ as bench
from bench.fleet import report
from bench.fleet.costs import Cost, measure
from bench.fleet.model import MODES, SCENARIOS, Fleet, simulate

SMALL = Fleet(
    verifiers=40, calls=4000, tokens=400, owners=200, changed=40, spread=10, simulated=20, seconds=60, event=20
)


@pytest.fixture(scope="module")
def costs():
    return measure()


def total(load):
    return sum(load, Counter())


def test_the_same_seed_is_the_same_load_and_another_is_another():
    assert simulate(SMALL, "leased", "steady") == simulate(SMALL, "leased", "steady")
    other = Fleet(**{name: getattr(SMALL, name) for name in Fleet.__dataclass_fields__} | {"seed": 2})
    assert simulate(SMALL, "leased", "steady") != simulate(other, "leased", "steady")


def test_exact_asks_for_every_call():
    load = simulate(SMALL, "exact", "steady")
    assert [second["introspection"] for second in load] == [SMALL.calls] * SMALL.seconds


def test_leased_asks_once_for_each_token_verifier_and_lease():
    load = simulate(SMALL, "leased", "steady")
    pairs = SMALL.tokens * SMALL.spread
    most = pairs * SMALL.seconds / SMALL.staleness
    assert most * 0.7 < total(load)["introspection"] <= most * 1.1
    reports = SMALL.verifiers * SMALL.seconds / SMALL.report_interval
    assert reports * 0.8 < total(load)["report"] < reports * 1.2


def test_feed_asks_for_nothing_but_the_feed_and_after_a_restart_for_old_tokens():
    steady, restarted = (total(simulate(SMALL, "feed", scenario)) for scenario in ("steady", "restart"))
    assert steady["introspection"] == steady["feed, whole"] == 0
    assert restarted["feed, whole"] == restarted["keys"] == SMALL.verifiers
    assert 0 < restarted["introspection"] < SMALL.tokens * SMALL.spread * 0.6


def test_after_a_role_change_each_dead_token_is_asked_for_anew():
    load = simulate(SMALL, "exact", "role change")
    assert total(load)["token request"] == SMALL.tokens * SMALL.changed / SMALL.owners
    assert not total(load[: SMALL.event])["token request"]
    delta = total(simulate(SMALL, "feed", "role change"))["feed, delta"]
    assert delta == SMALL.verifiers


def test_the_costs_are_those_of_a_server(costs):
    """A poll and a question are one statement; only reports write before they are answered."""
    assert (costs["introspection"].statements, costs["feed, unchanged"].statements) == (1, 1)
    assert costs["introspection"].commits == costs["feed, unchanged"].commits == 0
    for number in (1, 100, 10_000):  # of 100 tokens
        assert (costs[f"report of {number}"].statements, costs[f"report of {number}"].commits) == (8, 1)
    assert costs["report of 10000"].bytes_in > 1_000_000
    assert costs["feed, delta"].bytes_out > costs["feed, whole"].bytes_out


def test_a_second_is_summed_up_by_the_costs():
    costs = {
        **dict.fromkeys(("feed, whole", "feed, delta"), Cost(8, 1, 100, 1000)),
        "report of 1": Cost(12, 3, 400, 100),
        "report of 100": Cost(111, 3, 10_300, 100),
        "introspection": Cost(1, 0, 1000, 500),
    }
    second = {"introspection": 10, "report": 2, "use in a report": 20}
    assert report.totals(second, costs, SMALL) == (12, pytest.approx(0.018), 10 + 24 + 20, 6)


def test_on_the_command_line(monkeypatch, capsys, tmp_path, costs):
    few = {"verifiers": 20, "calls": 200, "tokens": 40, "simulated": 10}
    monkeypatch.setattr(report, "Fleet", lambda seed: Fleet(**few, seed=seed))
    monkeypatch.setattr(report, "measure", lambda: costs)
    told = tmp_path / "told.json"
    assert bench.main(["--fleet", "--seed", "7", "--json", str(told)]) == 0
    found = json.loads(told.read_text())
    assert found["fleet"]["seed"] == 7
    assert [(row["mode"], row["scenario"]) for row in found["rows"]] == [(m, s) for m in MODES for s in SCENARIOS]
    assert "| leased | restart |" in capsys.readouterr().out
