"""Medians, ratios within one run, and what they should reach."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.cases import BAD
from bench.runner import Measured
from bench.signed_requests import DPOP, FEDERATION, KEY


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its two stages; ``least`` says whether more is better."""

    name: str
    value: float
    first: float
    then: float
    least: bool = True
    unit: str = "x"
    by_time: float | None = None
    """The same ratio by processor time per answer, which other programs disturb less; None where there is none."""

    def reached(self) -> str:
        """``then``, ``first`` or ``no``."""
        for stage, bound in (("then", self.then), ("first", self.first)):
            if self.value >= bound if self.least else self.value <= bound:
                return stage
        return "no"


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of the rates of two cells, and its bounds."""

    over: str
    under: str
    first: float
    then: float


_NONE = float("inf")
GOALS = (
    Goal("ours sqlite introspect", "bare", 0.12, 0.5),
    Goal("ours sqlite introspect", "documented sqlite introspect", 5, _NONE),
    Goal("ours sqlite introspect", "same-job sqlite introspect", 0, 75),
    Goal("ours postgresql introspect", "same-job postgresql introspect", 8, _NONE),
    Goal("ours postgresql introspect", "bare", 0, 0.33),
    *(
        Goal(f"ours {database} introspect, {what}", f"ours {database} introspect", first, then)
        for database in ("sqlite", "postgresql")
        for what, first, then in (("many live", 0.8, 0.95), ("never seen", 0.6, 0.9))
    ),
    Goal("ours sqlite introspect, many live", "bare", 0.22, 0.4),
    Goal("ours postgresql introspect, many live", "bare", 0.2, 0.4),
    Goal("ours sqlite token ES256", "same-job sqlite token", 12, _NONE),
    Goal("ours postgresql token ES256", "same-job postgresql token", 12, _NONE),
    *(
        Goal(f"ours {database} token ES256, {way}", f"ours {database} token ES256", first, _NONE)
        for database in ("sqlite", "postgresql")
        for way, first in ((KEY, 0.6), (DPOP, 0.6), (FEDERATION, 0.5))
    ),
    Goal("ours sqlite token RS256", "raw RS256 signature", 0.5, 0.75),
    Goal("ours postgresql token RS256", "raw RS256 signature", 0.5, 0.75),
    Goal("ours sqlite JWKS", "echo", 1, _NONE),
    Goal("ours sqlite metadata", "echo", 1, _NONE),
    Goal("ours sqlite JWKS", "bare", 0.5, 0.9),
    Goal("ours sqlite metadata", "bare", 0.5, 0.9),
    Goal("ours postgresql JWKS", "echo", 1, _NONE),
)

NODE_GOALS = (
    Goal("ours sqlite introspect, many live", "oidc-provider introspect", 1.5, 3),
    Goal("ours postgresql introspect, many live", "oidc-provider introspect", 1.5, 3),
    Goal("ours sqlite token ES256", "oidc-provider token ES256", 2, 3),
    Goal("ours postgresql token ES256", "oidc-provider token ES256", 1.7, 3),
)
"""Against a peer that is measured only where Node is present."""


def ratio(measured: Mapping[str, Measured], over: str, under: str) -> float | None:
    """The median over the rounds of the ratio of two rates of one round; None when one was not measured."""
    if over not in measured or under not in measured:
        return None
    pairs = zip(measured[over].bursts, measured[under].bursts, strict=True)
    return median(a.rate / b.rate for a, b in pairs)


def figures(measured: Mapping[str, Measured]) -> Iterator[Figure]:
    """Every figure the measured cells tell."""
    for goal in (*GOALS, *NODE_GOALS):
        value = ratio(measured, goal.over, goal.under)
        if value is not None:
            spent = median(measured[goal.over].cpu)
            # The kernel counts in ticks: a burst too short for one has no figure by processor time.
            by_time = median(measured[goal.under].cpu) / spent if spent else None
            yield Figure(f"{goal.over} ÷ {goal.under}", value, goal.first, goal.then, by_time=by_time)
    for name, case in measured.items():
        if name.endswith("half load"):
            yield Figure(f"{name}, p99", median(each.p99 for each in case.bursts), 25, 10, least=False, unit="ms")
        if name.startswith("ours ") and name.endswith((" introspect", " token ES256")):
            spread = median(each.p99 / each.p50 for each in case.bursts if each.p50)
            yield Figure(f"{name}, p99 ÷ p50 at saturation", spread, 6, 4, least=False)
    yield from bad_input(measured)


def bad_input(measured: Mapping[str, Measured]) -> Iterator[Figure]:
    """How much more processor time a refused introspection takes than a good one."""
    for name, case in measured.items():
        good, _, what = name.rpartition(", ")
        if what in BAD and good in measured and median(measured[good].cpu):
            times = median(case.cpu) / median(measured[good].cpu)
            yield Figure(f"{name} ÷ a good one, processor time", times, 1.2, 1, least=False)


def _bound(figure: Figure, value: float) -> str:
    if value in {0, _NONE}:
        return "-"
    return f"{'≥' if figure.least else '≤'} {value:g}"


def ratios_table(shown: Sequence[Figure]) -> str:
    """Markdown: the figures and their bounds."""
    lines = ["| figure | measured | by processor time | first | then | reached |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {each.name} | {each.value:.3g} {each.unit} | {'' if each.by_time is None else f'{each.by_time:.3g} x'} "
        f"| {_bound(each, each.first)} | {_bound(each, each.then)} "
        f"| {each.reached()} |"
        for each in shown
    ]
    return "\n".join(lines)


def rates_table(measured: Mapping[str, Measured]) -> str:
    """Markdown: the cells themselves."""
    lines = [
        "| cell | per second | lowest to highest | p50 ms | p99 ms | server µs per answer | wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, case in measured.items():
        rates = sorted(burst.rate for burst in case.bursts)
        p50, p99 = (median(getattr(burst, at) for burst in case.bursts) for at in ("p50", "p99"))
        lines.append(
            f"| {name} | {median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} | {p50:.2f} | {p99:.2f} "
            f"| {median(case.cpu):.0f} | {case.wrong} |"
        )
    return "\n".join(lines)
