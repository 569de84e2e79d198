"""``python -m bench``: measure the server, print ratios first. bench/README.md has measured ones."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from bench import (
    authserver_under_test,
    cases,
    console_pages,
    dataset,
    figures,
    machine,
    runner,
    scale,
    sweep,
    verifiers,
)
from bench.cases import BARE, Case
from bench.figures import Figure, ratio
from bench.fleet import report as fleet
from bench.load_generator import BadLoad, Burst, generator
from bench.peers import documented, oidc_provider, same_job
from bench.peers.orm import VARIABLE
from bench.server_process import Running, free_port
from keys.material import generate
from tests.support import databases

DATABASES = ("sqlite", "postgresql")
PEERS = ("bare", "echo", "documented", "same-job", oidc_provider.NAME)
_SEEDED: Mapping[str, Any] = {"documented": documented, "same-job": same_job}
_CLIENTS = 64
_LIVE = {True: 5_000, False: 100_000}
"""Live tokens that are introspected in a random order: quickly, and thoroughly."""
_PEER_TOKENS = 200
_REVOCATIONS = {True: 20, False: 60}
"""Tokens that are revoked under load, for each mode: quickly, and thoroughly."""
_NODE_WARM_SECONDS = 6
_SIGNED = 8_000
"""Token requests signed for each second of a burst."""

_FRESH = 6_000
"""Tokens that nobody has seen, for each second of load."""
_RAW_SIGNATURES = "raw RS256 signature"
_TWO_WORKERS = ", 2 workers"
_PAGE_ROUNDS = {True: 3, False: 10}
"""How often each page of the console is asked for: quickly, and thoroughly."""


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures the real server beside others on the same granian, in one run and in turn.",
        epilog="examples: python -m bench --quick; python -m bench --only '*sqlite introspect*' --only bare; "
        "python -m bench --big --databases sqlite --audit 10000000; python -m bench --pages --quick",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round: a minute, and rough")
    add("--rounds", type=_positive, help="rounds (default 5; quick 1)")
    add("--seconds", type=_positive, help="seconds per cell and round (default 2; quick 1)")
    add("--connections", type=_positive, default=32, help="keep-alive connections (default 32)")
    add("--databases", type=_some_of(DATABASES), default=DATABASES, help="sqlite,postgresql (default both)")
    add("--peers", type=_some_of(PEERS), default=PEERS, help=f"{','.join(PEERS)} (default all; '' none)")
    add("--only", action="append", metavar="PATTERN", help="only cells whose name is like this; may be repeated")
    add("--live", type=_positive, help="live tokens introspected at random (default 100000; quick 5000)")
    add("--load", choices=("wrk", "python"), help="the load generator (default wrk where it is installed)")
    add("--database-core", choices=("load", "server"), default="load", help="which core PostgreSQL runs on")
    add("--no-workers", action="store_true", help="leave out two workers against one")
    add("--big", action="store_true", help="compare a full database with an empty one, and nothing else")
    add("--pages", action="store_true", help="time every page of the console over a full database, and nothing else")
    add("--sweep", type=_positive, metavar="ROWS", help="delete so many ended sessions, and nothing else")
    add("--fleet", action="store_true", help="simulate 10,000 verifiers from measured costs, and nothing else")
    add("--resource-server", action="store_true", help="measure the package resource_server, and nothing else")
    add("--seed", type=int, default=1, help="with --fleet (default 1)")
    add("--credentials", type=_positive, help="with --big (default 100000) or --pages (default 10000)")
    add("--sessions", type=_positive, help="with --big (default 1000000) or --pages (default 100000)")
    add("--audit", type=_positive, help="with --big or --pages (default 1000000)")
    add("--json", metavar="FILE", help="also write everything as JSON; - prints it instead of the tables")
    chosen = parser.parse_args(argv)
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 5)
    chosen.seconds = chosen.seconds or (1 if chosen.quick else 2)
    chosen.live = chosen.live or _LIVE[chosen.quick]
    usual = dataset.Sizes() if chosen.pages else scale.Sizes(100_000, 1_000_000, 1_000_000)
    for name in ("credentials", "sessions", "audit"):
        if getattr(chosen, name) is None:
            setattr(chosen, name, getattr(usual, name))
    return chosen


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = "at least 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def _some_of(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        given = tuple(each for each in text.split(",") if each)
        unknown = [each for each in given if each not in names]
        if unknown:
            msg = f"{unknown[0]} is none of {', '.join(names)}"
            raise argparse.ArgumentTypeError(msg)
        return given

    return read


class Run:
    """Everything one run starts, and ends again."""

    def __init__(self, chosen: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self.chosen, self.folder, self._stack = chosen, folder, stack
        self.server_core, self.load_core = machine.cores()
        self.run_settings = runner.RunSettings(
            generator(chosen.load or ""), chosen.rounds, chosen.seconds, chosen.connections
        )
        self.servers: dict[str, Running] = {}

    def fresh_url(self, database: str) -> str:
        """A new, empty database."""
        if database == "sqlite":
            return databases.fresh_sqlite_url(self.folder)
        core = self.load_core if self.chosen.database_core == "load" else self.server_core
        with machine.only_on(core):
            url = databases.fresh_postgres_url()
        self._stack.callback(databases.drop, url)
        return url

    def seeded(
        self, database: str, fill: Callable[[authserver_under_test.AuthserverUnderTest], None] | None = None
    ) -> authserver_under_test.AuthserverUnderTest:
        """A database of this project's server."""
        made = authserver_under_test.seed(self.fresh_url(database), _CLIENTS, fill)
        self._stack.callback(made.close)
        return made

    def keep(self, name: str, server: Running) -> None:
        """Remember a started server, to be stopped in the end."""
        self._stack.callback(server.stop)
        self.servers[name] = server

    def start_authserver(self, name: str, made: authserver_under_test.AuthserverUnderTest, workers: int = 1) -> None:
        """Start the real server; several workers may use both cores."""
        where = (self.server_core,) if workers == 1 else (self.server_core, self.load_core)
        self.keep(name, made.start(workers=workers, cores=where, log=self.log(name)))

    def start_peer(self, name: str, module: str, url: str = "", workers: int = 1) -> None:
        """Start a peer; several workers may use both cores."""
        port = free_port()
        where = (self.server_core,) if workers == 1 else (self.server_core, self.load_core)
        command = ["-m", "bench.peers", module, str(port), str(workers)]
        env = {VARIABLE: url, "AUTHLIB_INSECURE_TRANSPORT": "1"}
        self.keep(name, Running(name, command, port, log=self.log(name), cores=where, env=env))

    def log(self, name: str) -> Path:
        """Where the server of this name writes its log."""
        return self.folder / f"{name.replace(' ', '-')}.log"

    def wanted(self, some: Iterable[Case]) -> list[Case]:
        """The cells ``--only`` leaves, with those their load follows."""
        patterns = self.chosen.only
        known = list(some)
        if not patterns:
            return known
        names = {case.name for case in known if any(fnmatch(case.name, pattern) for pattern in patterns)}
        names |= {case.below for case in known if case.name in names}
        return [case for case in known if case.name in names]


def compare(run: Run) -> tuple[dict[str, runner.Measured], list[Figure]]:
    """The comparison of this server with the peers."""
    chosen = run.chosen
    seeded = {database: run.seeded(database) for database in chosen.databases}
    some: list[Case] = []
    for database, made in seeded.items():
        name = f"ours {database}"
        run.start_authserver(name, made)
        live = made.tokens(chosen.live)
        fresh = made.tokens(_FRESH * chosen.seconds * (chosen.rounds + 1))
        some += cases.server_cases(name, made, live, fresh, chosen.rounds)
        some += cases.signed_cases(name, made, _SIGNED * chosen.seconds)
        for peer in ("documented", "same-job"):
            if peer in chosen.peers:
                url = run.fresh_url(database)
                some += cases.peer_cases(f"{peer} {database}", _SEEDED[peer].seed(url, _CLIENTS, _PEER_TOKENS))
                run.start_peer(f"{peer} {database}", peer.replace("-", "_"), url)
    sample = next(case.requests(0)[0] for case in some if case.name.endswith(" introspect"))
    for limit in cases.baseline_cases(sample):
        if limit.server in chosen.peers:
            run.start_peer(limit.server, limit.server)
            some.insert(0, limit)
    some += node_cases(run)
    before = {database: made.batches() for database, made in seeded.items()}
    began = time.monotonic()
    measured = runner.run(run.wanted(some), run.servers, run.run_settings)
    took = time.monotonic() - began
    measured[_RAW_SIGNATURES] = _raw_signatures(run)
    found = list(figures.figures(measured))
    for database, made in seeded.items():
        server = run.servers[f"ours {database}"]
        each = max(machine.pss_mb(pid) for pid in server.workers())
        found.append(Figure(f"ours {database}, memory of the worker (PSS)", each, 110, 90, least=False, unit="MB"))
        writes = (made.batches() - before[database]) / took
        found.append(
            Figure(
                f"ours {database}, durable transactions for uses, all tokens together",
                writes,
                cases.HOT,
                2.5,
                least=False,
                unit="per s",
            )
        )
    if not chosen.no_workers:
        if BARE in run.servers:
            run.start_peer(f"{BARE}{_TWO_WORKERS}", BARE, workers=2)
            found += two_workers(run, BARE, ("",), some, measured)
        for database, made in seeded.items():
            run.start_authserver(f"ours {database}{_TWO_WORKERS}", made, workers=2)
            found += two_workers(run, f"ours {database}", (" introspect", " token ES256"), some, measured)
    return measured, found


def node_cases(run: Run) -> list[Case]:
    """The cases of node oidc-provider; none where it is not asked for or not present."""
    if oidc_provider.NAME not in run.chosen.peers:
        return []
    if not oidc_provider.program():
        _print_error("Without node oidc-provider: Node or its package is missing (make clients).")
        return []
    server = oidc_provider.start(_CLIENTS, log=run.log(oidc_provider.NAME), cores=(run.server_core,))
    run.keep(oidc_provider.NAME, server)
    some = oidc_provider.cases(server, _CLIENTS, _PEER_TOKENS)
    for case in some:  # it compiles what is busy only after some seconds
        run.run_settings.generator.burst(
            server.port, case.requests(0), connections=run.run_settings.connections, seconds=_NODE_WARM_SECONDS
        )
    return some


def two_workers(
    run: Run, one: str, asked: Sequence[str], some: Sequence[Case], measured: dict[str, runner.Measured]
) -> Iterator[Figure]:
    """One worker and two in turn; stops the two.

    The load shares a core with the second worker, so the wall clock shows less than two cores give; processor
    time per answer shows whether a second worker makes the first one slower. What the bare server loses, which
    shares nothing between its workers, is the machine's.
    """
    two = one + _TWO_WORKERS
    pairs = []
    for what in asked:
        case = next(each for each in some if each.name == one + what)
        pairs.append(
            (
                Case(f"{one} again{what}", one, case.kind, case.requests),
                Case(f"{two}{what}", two, case.kind, case.requests),
            )
        )
    again = run.wanted([case for pair in pairs for case in pair])
    report = runner.run(again, run.servers, run.run_settings)
    measured |= report
    run.servers.pop(two).stop()
    for single, double in pairs:
        seen = ratio(report, double.name, single.name)
        if seen is None:
            continue
        cost = median(a / b for a, b in zip(report[single.name].cpu, report[double.name].cpu, strict=True))
        yield Figure(f"{double.name} ÷ 1 worker, load on the same two cores", seen, 0, float("inf"))
        first, then = (0.0, float("inf")) if one == BARE else (1.7, 1.9)
        yield Figure(f"{double.name} ÷ 1 worker, by processor time per answer", 2 * cost, first, then)


def full(run: Run) -> tuple[dict[str, runner.Measured], list[Figure]]:
    """The same server over an empty database and over a full one."""
    chosen = run.chosen
    sizes = scale.Sizes(chosen.credentials, chosen.sessions, chosen.audit)
    some: list[Case] = []
    for database in chosen.databases:
        for name, fill in (("empty", None), ("full", partial(scale.fill, sizes=sizes))):
            began = time.monotonic()
            made = run.seeded(database, fill)
            server = f"ours {database} {name}"
            run.start_authserver(server, made)
            _print_error(f"{server}: seeded in {time.monotonic() - began:.0f} s")
            live, fresh = (
                made.tokens(chosen.live),
                made.tokens(_FRESH * chosen.seconds * (chosen.rounds + 1)),
            )
            some += cases.server_cases(server, made, live, fresh, chosen.rounds)
    wanted = ("token ES256", "introspect", "introspect, many live", "introspect, never seen", "JWKS")
    in_turn = [case for what in wanted for case in some if case.name.endswith(f" {what}")]
    measured = runner.run(run.wanted(in_turn), run.servers, run.run_settings)
    found = []
    for database in chosen.databases:
        for what in wanted:
            empty, many = f"ours {database} empty {what}", f"ours {database} full {what}"
            slower = ratio(measured, empty, many)
            if slower is not None:
                cost = median(b / a for a, b in zip(measured[empty].cpu, measured[many].cpu, strict=True))
                found.append(Figure(f"{database}, {what}: empty ÷ full", slower, 1.3, 1.1, least=False, by_time=cost))
    return measured, found


def swept(run: Run) -> tuple[dict[str, runner.Measured], list[Figure]]:
    """Sessions that are deleted because they ended long ago."""
    chosen, found = run.chosen, list[Figure]()
    for database in chosen.databases:
        found += sweep.measure(f"ours {database}", run.seeded(database), chosen.sweep, chosen.rounds)
    return {}, found


def verified(run: Run) -> tuple[dict[str, runner.Measured], list[Figure]]:
    """What resource servers install, beside asking about each call."""
    made = run.seeded("sqlite")
    run.start_authserver("ours sqlite", made)
    chosen = run.chosen
    server = run.servers["ours sqlite"]
    return {}, verifiers.measure(made, server, chosen.rounds, chosen.seconds, _REVOCATIONS[chosen.quick])


def console(run: Run) -> dict[str, list[console_pages.PageTimings]]:
    """Every page of the console over a year of a large installation."""
    chosen = run.chosen
    measured = {}
    for database in chosen.databases:
        began = time.monotonic()
        sizes = dataset.Sizes(chosen.credentials, chosen.sessions, chosen.audit)
        with console_pages.logging_into(run.folder / f"console-{database}.log"):
            made = dataset.seed(run.fresh_url(database), sizes)
            made.close()
            _print_error(f"{database}: seeded in {time.monotonic() - began:.0f} s")
            measured[database] = console_pages.measure(made, _PAGE_ROUNDS[chosen.quick])
    return measured


def _raw_signatures(run: Run) -> runner.Measured:
    """How often this machine signs with the kind of RSA key we make, on the servers' core and with nothing around."""
    key = generate("RS256")
    if not isinstance(key, rsa.RSAPrivateKey):  # pragma: no cover - the type of what generate() makes
        raise TypeError
    measured = runner.Measured(_RAW_SIGNATURES)
    with machine.only_on(run.server_core):
        for _ in range(run.run_settings.rounds):
            count, began, used = 0, time.perf_counter(), time.process_time()
            while (took := time.perf_counter() - began) < run.run_settings.seconds / 2:
                key.sign(b"x" * 700, padding.PKCS1v15(), SHA256())
                count += 1
            each = 1000 * took / count
            measured.bursts.append(Burst(count, 0, took, each, each, 0, 0))
            measured.cpu.append(1e6 * (time.process_time() - used) / count)
    return measured


def _print_error(text: str) -> None:
    sys.stderr.write(text + "\n")


@contextmanager
def _loaded_on(core: int) -> Iterator[None]:
    """Pin this process, and the load generator that it starts, to a core."""
    with machine.only_on(core):
        yield


def _print_pages(
    measured: Mapping[str, Sequence[console_pages.PageTimings]], chosen: argparse.Namespace, busy: float, began: float
) -> int:
    about = {
        **machine.described(),
        "rows": f"{chosen.credentials} credentials, {chosen.sessions} sessions, {chosen.audit} audit records",
        "rounds": str(_PAGE_ROUNDS[chosen.quick]),
        **_run_description(busy, began),
    }
    report = {"about": about, "pages": {name: [asdict(each) for each in some] for name, some in measured.items()}}
    if chosen.json == "-":
        print(json.dumps(report, indent=1))
        return 0
    print(console_pages.table(measured) + "\n\n" + "; ".join(f"{name} {value}" for name, value in about.items()))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


def _run_description(busy: float, began: float) -> dict[str, str]:
    return {
        "load average": f"{busy:.1f} before, {machine.load_average():.1f} after",
        "took": f"{time.monotonic() - began:.0f} s",
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when an answer of any server was wrong."""
    chosen = options(argv)
    if chosen.fleet:
        return fleet.main(chosen.seed, chosen.json)
    busy = machine.load_average()
    if busy > 1:
        _print_error(
            f"The machine is busy (load average {busy:.1f}): believe ratios only, and rather not those of one round."
        )
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            run = Run(chosen, folder, stack)
            if chosen.pages:
                return _print_pages(console(run), chosen, busy, began)
            stack.enter_context(_loaded_on(run.load_core))
            compared = (
                verified if chosen.resource_server else swept if chosen.sweep else full if chosen.big else compare
            )
            measured, found = compared(run)
            load = run.run_settings.generator.name
    except (BadLoad, console_pages.UnexpectedResponse) as error:
        _print_error(f"Cannot measure: {error}")
        return 1
    about = {
        **machine.described(),
        "load": f"{load}, {chosen.connections} connections",
        "rounds": f"{chosen.rounds} of {chosen.seconds} s for each cell",
        "cores": "servers on one, load and PostgreSQL on another"
        if chosen.database_core == "load"
        else "servers and PostgreSQL on one, load on another",
        **_run_description(busy, began),
    }
    report = {
        "about": about,
        "figures": [{**asdict(each), "reached": each.reached()} for each in found],
        "cells": [asdict(each) for each in measured.values()],
    }
    if chosen.json == "-":
        print(json.dumps(report, indent=1))
    else:
        print(figures.ratios_table(found), *([figures.rates_table(measured)] if measured else ()), sep="\n\n")
        print("\n" + "; ".join(f"{name} {value}" for name, value in about.items()))
        if chosen.json:
            Path(chosen.json).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return int(any(each.wrong for each in measured.values()))


if __name__ == "__main__":
    os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")
    sys.exit(main())
