"""Verifiers, tokens and calls, second by second, from a seed.

A share of the verifiers is simulated and its numbers are multiplied: they do not influence each other, but for the
threads that long polls may hold. A token is called at ``spread`` verifiers, as clients of an API come to a few of its
processes; how often differs from token to token as a lognormal does.
"""

import math
import random
from collections import Counter
from dataclasses import dataclass

MODES = ("exact", "leased", "feed")
SCENARIOS = ("steady", "role change", "restart")


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is simulated; times in seconds."""

    verifiers: int = 10_000
    calls: int = 1_000_000
    """Calls of the APIs in a second, all together."""
    tokens: int = 100_000
    owners: int = 50_000
    changed: int = 10_000
    """Owners whose roles change at once."""
    spread: int = 10
    staleness: int = 30
    report_interval: int = 10
    poll: float = 0.9
    """From one poll of the feed to the next, where no thread is free to wait."""
    older: float = 0.5
    """Share of tokens whose last use a feed verifier must ask for when it starts anew."""
    simulated: int = 400
    seconds: int = 90
    event: int = 30
    """When the roles change, or all verifiers start anew."""
    seed: int = 1


Load = list[Counter[str]]
"""Requests of each kind that reach the server in each second, of the whole fleet."""


def simulate(fleet: Fleet, mode: str, scenario: str) -> Load:
    """What reaches the server in ``fleet.seconds``, after a time in which everything has settled."""
    dice = random.Random(f"{fleet.seed} {mode} {scenario}")
    warm = 2 * fleet.staleness
    load: Load = [Counter() for _ in range(warm + fleet.seconds)]
    happens = warm + fleet.event
    share = fleet.changed / fleet.owners if scenario == "role change" else 0.0
    if scenario == "role change":
        # Each client of a dead token asks for one new token when its next call is refused.
        rate = fleet.calls / fleet.tokens
        _clients(load, happens, round(fleet.tokens * share), rate, dice)
    if mode == "exact":
        for second in load:
            second["introspection"] += fleet.calls
        return load[warm:]
    for _ in range(fleet.simulated):
        verifier = _Verifier(fleet, mode, dice)
        for now, second in enumerate(load):
            sent: Counter[str] = Counter()
            if now == happens and scenario == "restart":
                verifier.restart(sent)
            elif now == happens and scenario == "role change":
                verifier.roles_changed(sent)
            verifier.serve(now, sent)
            for kind, number in sent.items():
                second[kind] += number * fleet.verifiers // fleet.simulated
    return load[warm:]


def _clients(load: Load, happens: int, number: int, rate: float, dice: random.Random) -> None:
    for _ in range(number):
        at = happens + int(dice.expovariate(rate))
        if at < len(load):
            load[at]["token request"] += 1


class _Verifier:
    """One verifier: until when it trusts what it knows of each token that comes to it."""

    def __init__(self, fleet: Fleet, mode: str, dice: random.Random) -> None:
        self._fleet, self._feed, self._dice = fleet, mode == "feed", dice
        pairs = round(fleet.tokens * fleet.spread / fleet.verifiers)
        weights = [dice.lognormvariate(0, 1.0) for _ in range(pairs)]
        rate = fleet.calls / fleet.verifiers / sum(weights)
        self._called = [1 - math.exp(-weight * rate) for weight in weights]  # at least once in a second
        self._until = [math.inf if self._feed else dice.uniform(0, fleet.staleness) for _ in weights]
        self._unreported: set[int] = set()
        self._next_report = dice.uniform(0, fleet.report_interval)
        self._next_poll = dice.uniform(0, fleet.poll) if self._feed else math.inf

    def restart(self, sent: Counter[str]) -> None:
        """Know nothing; of a token whose last use may be long ago a feed verifier asks the server."""
        sent["keys"] += 1
        self._unreported.clear()
        self._until = [0.0] * len(self._called)
        if self._feed:
            sent["feed, whole"] += 1
            self._until = [0.0 if self._dice.random() < self._fleet.older else math.inf for _ in self._called]

    def roles_changed(self, sent: Counter[str]) -> None:
        """Learn of it, and meet the new tokens, which it does not know."""
        if self._feed:
            sent["feed, delta"] += 1
            return
        share = self._fleet.changed / self._fleet.owners
        self._until = [0.0 if self._dice.random() < share else until for until in self._until]

    def serve(self, now: int, sent: Counter[str]) -> None:
        """One second of calls, reports and polls."""
        for pair, chance in enumerate(self._called):
            if self._dice.random() >= chance:
                continue
            if self._until[pair] <= now:
                sent["introspection"] += 1
                self._until[pair] = math.inf if self._feed else now + self._fleet.staleness
            else:
                self._unreported.add(pair)
        if now >= self._next_report:
            self._next_report = now + self._fleet.report_interval * self._dice.uniform(0.8, 1.2)
            if self._unreported:
                sent["report"] += 1
                sent["use in a report"] += len(self._unreported)
                self._unreported.clear()
        while self._next_poll <= now:
            sent["feed, unchanged"] += 1
            self._next_poll += self._fleet.poll * self._dice.uniform(0.9, 1.1)
