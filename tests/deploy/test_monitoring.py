"""Dashboards and alert rules ask for metrics that exist, by labels that they have."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from authserver.telemetry.metrics import GAUGES, Metrics
from tests.support.processes import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARDS = sorted(FOLDER.glob("dashboard-*.json"))
RULES = FOLDER / "alerts.yaml"
OF_PROMETHEUS = {"instance", "job", "le"}


def known():
    """Name -> labels of everything the server exposes."""
    found = {name: set(labels) for name, (_, labels) in GAUGES.items()}
    for family in Metrics(dict)._registry._names_to_collectors.values():
        labels = set(family._labelnames)
        names = [f"{family._name}_total"] if family._type == "counter" else []
        if family._type == "histogram":
            names = [f"{family._name}_{part}" for part in ("bucket", "sum", "count")]
        found |= dict.fromkeys(names, labels)
    return found


def rules():
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions():
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]
    for rule in rules():
        yield rule["alert"], rule["expr"]


ALL = list(expressions())


@pytest.mark.parametrize(("where", "expr"), ALL, ids=[where for where, _ in ALL])
def test_each_expression_names_what_exists(where, expr):
    metrics = known()
    named = set(re.findall(r"\b(?:oauth|http)_[a-z_]+", expr))
    assert named or "up{" in expr
    assert named <= metrics.keys(), where
    labels = set(re.findall(r"[{,]\s*(\w+)\s*=~?", expr))
    labels |= {each.strip() for group in re.findall(r"by \(([^)]*)\)", expr) for each in group.split(",")}
    allowed = OF_PROMETHEUS.union(*(metrics[name] for name in named))
    assert labels <= allowed, where
    assert expr.count("(") == expr.count(")")
    for name in named & GAUGES.keys():
        # Each node says the same number: adding them up would count it once for each node.
        assert re.search(rf"max(?: by \([^)]*\))? ?\({name}\b", expr), f"{where}: {name} is a gauge of the database"
    for name in named - GAUGES.keys():
        assert re.search(rf"(?:rate|increase)\({name}\b", expr), f"{where}: {name} is a counter"


def test_what_a_label_is_compared_with_can_be():
    values = {"active": {"true", "false", "refused"}, "within": {"7d", "30d"}, "state": {"active"}}
    values |= {"reason": {"wrong_secret", "secret_ended"}, "job": {"authserver"}}
    values |= {"outcome": {"refused|delayed", "still_active"}}
    for where, expr in ALL:
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', expr):
            assert value in values[label], (where, label, value)


def test_alerts_say_what_it_is_and_whom_it_wakes():
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 10
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description"}
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in rule["expr"] or label in OF_PROMETHEUS, rule["alert"]


def test_dashboards_have_one_identity_each_and_panels_that_do_not_overlap():
    boards = [json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS]
    assert len({board["uid"] for board in boards}) == 2
    for board in boards:
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}
        assert len(places) == len(board["panels"]) == len({panel["id"] for panel in board["panels"]})
        assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool was not tested: it is not installed")
def test_promtool_takes_the_rules():
    subprocess.run(["promtool", "check", "rules", RULES], check=True, timeout=60)
