"""Records what many processes did and saw, and finds what must never happen (INVARIANTS, by interval rules).

Every operation is kept with the instants of its call and its return by one
monotonic clock. A rule only speaks where an acknowledged operation had returned
before another was called; what overlapped may have gone either way. Operations
without an answer are not acknowledged and prove nothing.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Op:
    """One acknowledged operation: what, when called, when returned, and its facts."""

    kind: str
    called: int
    returned: int
    facts: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name):
        return self.facts[name]


def violations(history, chosen, roles_at_start):
    """All violations found, as sentences.

    Args:
        history: operations in any order.
        chosen: client id -> the roles frozen into the credential.
        roles_at_start: user -> (role version, roles held).
    """
    ops = defaultdict(list)
    for op in sorted(history, key=lambda each: each.called):
        ops[op.kind].append(op)
    found = []
    for rule in (_inv_01, _inv_02, _inv_03, _inv_05, _inv_08, _inv_10, _inv_12, _revoked):
        found += [f"{rule.__name__}: {text}" for text in rule(ops, chosen, roles_at_start)]
    return found


def _newest_before(changes):
    """Acknowledged role versions by the instant of the acknowledgement, each with the newest so far."""
    times, newest = [], []
    for op in sorted(changes, key=lambda each: each.returned):
        times.append(op.returned)
        newest.append(max(op["rv"], newest[-1]) if newest else op["rv"])
    return times, newest


def _by_user(ops):
    users = defaultdict(list)
    for op in ops["roles"]:
        users[op["user"]].append(op)
    return users


def _inv_01(ops, _chosen, _start):
    for user, changes in _by_user(ops).items():
        times, newest = _newest_before(changes)
        for op in ops["introspect"]:
            if op["user"] == user and op["active"]:
                before = bisect_left(times, op.called)
                if before and op["rv"] < newest[before - 1]:
                    yield f"{op['jti']} with role version {op['rv']} active after {newest[before - 1]} was acknowledged"


def _inv_02(ops, chosen, start):
    held = {(user, rv): roles for user, (rv, roles) in start.items()}
    for op in ops["roles"]:
        held[op["user"], op["rv"]] = op["held"]
    for user, changes in _by_user(ops).items():
        times, newest = _newest_before(changes)
        for op in ops["token"]:
            if op["user"] == user:
                before = bisect_left(times, op.called)
                if before and op["rv"] < newest[before - 1]:
                    yield f"token with role version {op['rv']} minted after {newest[before - 1]} was acknowledged"
    for op in ops["token"]:
        known = held.get((op["user"], op["rv"]))
        if known is not None and set(op["roles"]) != set(chosen[op["client"]]) & set(known):
            yield f"token at role version {op['rv']} carries {op['roles']}, held were {sorted(known)}"


def _inv_03(ops, _chosen, _start):
    for user, changes in _by_user(ops).items():
        versions = [op["rv"] for op in changes]
        if len(set(versions)) != len(versions):
            yield f"a role version of {user} was used twice"
        times, newest = _newest_before(changes)
        for op in changes:
            before = bisect_left(times, op.called)
            if before and op["rv"] <= newest[before - 1]:
                yield f"role version of {user} went from {newest[before - 1]} to {op['rv']}"


def _inv_05(ops, _chosen, _start):
    dead = {}
    for op in ops["introspect"]:
        if not op["active"]:
            dead[op["jti"]] = min(op.returned, dead.get(op["jti"], op.returned))
    for op in ops["introspect"]:
        if op["active"] and op.called > dead.get(op["jti"], op.called):
            yield f"{op['jti']} was inactive and is active again"


def _inv_08(ops, _chosen, _start):
    switches = defaultdict(list)
    for op in ops["disable"] + ops["enable"]:
        switches[op["client"]].append(op)
    for client, changes in switches.items():
        changes.sort(key=lambda each: each.called)
        for number, off in enumerate(changes):
            if off.kind != "disable":
                continue
            on = next((each.called for each in changes[number + 1 :] if each.kind == "enable"), float("inf"))
            for op in ops["token"]:
                if op["client"] == client and off.returned < op.called and op.returned < on:
                    yield f"a token was issued while {client} was disabled"
            for op in ops["introspect"]:
                if op["client"] == client and op["active"] and op["minted"] < off.called and op.called > off.returned:
                    yield f"{op['jti']} from before the disabling of {client} is active behind it"


def _inv_10(ops, _chosen, _start):
    ended = {op["old"]: op.returned for op in ops["regenerate"]}
    for op in ops["token"]:
        if op.called > ended.get(op["secret"], op.called):
            yield f"an old secret of {op['client']} still authenticates"


def _inv_12(ops, _chosen, _start):
    ids = [op["jti"] for op in ops["token"]]
    if len(set(ids)) != len(ids):
        yield "a jti was used twice"


def _revoked(ops, _chosen, _start):
    ended = {op["jti"]: op.returned for op in ops["revoke"]}
    for op in ops["introspect"]:
        if op["active"] and op.called > ended.get(op["jti"], op.called):
            yield f"{op['jti']} is active behind its revocation"
