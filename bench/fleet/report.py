"""Requests, bytes and statements that reach the server, from a load and the measured costs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.fleet.costs import ENTRIES, Cost, measure
from bench.fleet.model import MODES, SCENARIOS, Fleet, Load, simulate


@dataclass(frozen=True, slots=True)
class Row:
    """One mode in one scenario: the mean of all seconds, and the worst second."""

    mode: str
    scenario: str
    requests: tuple[float, float]
    megabytes: tuple[float, float]
    statements: tuple[float, float]
    transactions: tuple[float, float]


def totals(second: Mapping[str, float], costs: Mapping[str, Cost], fleet: Fleet) -> tuple[float, float, float, float]:
    """Requests, megabytes, statements and transactions of one second.

    A report of n uses costs what a report of one costs, and n times a hundredth of what one of a hundred costs more; a
    delta so much for each entry.
    """
    one, hundred = costs["report of 1"], costs["report of 100"]
    whole, delta = costs["feed, whole"], costs["feed, delta"]
    requests = data = statements = commits = 0.0
    for kind, number in second.items():
        if kind == "use in a report":
            size = hundred.bytes_in + hundred.bytes_out - one.bytes_in - one.bytes_out
            data += number * size / 99
            statements += number * (hundred.statements - one.statements) / 99
            continue
        cost = one if kind == "report" else costs[kind]
        size = cost.bytes_in + cost.bytes_out
        if kind == "feed, delta":
            size = whole.bytes_out + (delta.bytes_out - whole.bytes_out) / ENTRIES * fleet.changed
        requests += number
        data += number * size
        statements += number * cost.statements
        commits += number * cost.commits
    return requests, data / 1e6, statements, commits


def row(mode: str, scenario: str, load: Load, costs: Mapping[str, Cost], fleet: Fleet) -> Row:
    """Sum a load up."""
    seconds = [totals(second, costs, fleet) for second in load]
    pairs = [(sum(column) / len(column), max(column)) for column in zip(*seconds, strict=True)]
    return Row(mode, scenario, *pairs)


def run(fleet: Fleet) -> dict[str, Any]:
    """Measure the costs and simulate every mode in every scenario."""
    costs = measure()
    rows = [
        row(mode, scenario, simulate(fleet, mode, scenario), costs, fleet) for mode in MODES for scenario in SCENARIOS
    ]
    return {
        "fleet": asdict(fleet),
        "costs": {name: asdict(cost) for name, cost in costs.items()},
        "rows": [asdict(each) for each in rows],
    }


def tables(told: Mapping[str, Any]) -> str:
    """The same as two tables of Markdown."""
    lines = ["| one request | statements | transactions | bytes in | bytes out |", "|---|---|---|---|---|"]
    for name, cost in told["costs"].items():
        numbers = (cost[each] for each in ("statements", "commits", "bytes_in", "bytes_out"))
        lines.append(f"| {name} | " + " | ".join(f"{number:,.0f}" for number in numbers) + " |")
    lines += ["", "| mode | scenario | requests/s | MB/s | statements/s | transactions/s |"]
    lines.append("|---|---|---|---|---|---|")
    for each in told["rows"]:
        numbers = (each[name] for name in ("requests", "megabytes", "statements", "transactions"))
        cells = " | ".join(f"{mean:,.0f} (worst {worst:,.0f})" for mean, worst in numbers)
        lines.append(f"| {each['mode']} | {each['scenario']} | {cells} |")
    return "\n".join(lines)


def main(seed: int, file: str | None) -> int:
    """Print the tables, or with ``-`` the same as JSON; a file gets the JSON besides."""
    result = run(Fleet(seed=seed))
    text = json.dumps(result, indent=1)
    print(text if file == "-" else tables(result))
    if file and file != "-":
        Path(file).write_text(text, encoding="utf-8")
    return 0
