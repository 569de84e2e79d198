"""``python -m resource_server.kit URL``: tests an API with bad tokens.

Exit codes: 0 nothing found, 1 something found, 2 the API could not be tested.
"""

import argparse
import contextlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from resource_server.kit.bad_claims import CLAIMS
from resource_server.kit.bad_signatures import SIGNATURES
from resource_server.kit.issuer import Issuer
from resource_server.kit.report import Report
from resource_server.kit.run import Kit, names
from resource_server.kit.server import IssuerServer, served
from resource_server.kit.target import CannotTest, Target, environment, started, wait_until_accepted

_COMMAND_SECONDS = 60
_TOKEN_SECONDS = 60.0
_EPILOG = """\
Point the API at the throw-away issuer in one of two ways:

  --start-command "flask run -p 5000"
      The kit starts the API, with RESOURCE_SERVER_ISSUER, _AUDIENCE, _CLIENT_ID and _CLIENT_SECRET in its environment,
      and ends it afterwards. Verifier.from_environment() reads them.

  without it
      The kit prints these settings (or writes them to --settings-file) and waits until the API serves a good token.

With --token-command nothing of the API is changed: the command prints a live token of its real issuer. Only what can be
made without the issuer's key is sent then. Never do this to somebody else's API without leave.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(
        prog="python -m resource_server.kit",
        description="Test an API with bad tokens. Exit codes: 0 nothing found, 1 something found, 2 could not test.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = root.add_argument
    add("url", nargs="?", help="a URL of the API that needs a token")
    add("--method", default="GET", help="HTTP method of the call (default: GET)")
    add("--role", default="reader", help="a role that the call needs, or '' for none (default: reader)")
    add("--staleness", type=int, default=0, metavar="S",
        help="seconds for which the API may serve a dead token: its max_staleness (default: 0)")  # fmt: skip
    add("--idle", type=int, default=6, metavar="SECONDS", help="idle timeout of the idle check (default: 6)")
    add("--offline", action="store_true",
        help="the API never asks the server about a token (mode feed): leave out what it cannot know")  # fmt: skip
    add("--start-command", metavar="COMMAND", help="starts the API with the issuer's settings in its environment")
    add("--start-seconds", type=float, default=60, help="how long to wait for the API (default: 60)")
    add(
        "--token-command",
        metavar="COMMAND",
        help="prints a live token of the API's real issuer; no throw-away issuer then",
    )
    add("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="where the issuer listens (default: any port)")
    add("--audience", default="https://api.kit.example", help="audience of the API")
    add("--alg", default="ES256", choices=("ES256", "RS256", "PS256", "EdDSA"), help="algorithm of the issuer's keys")
    add("--settings-file", type=Path, help="write the settings for the API here, readable by you alone")
    add("--only", action="append", default=[], metavar="NAME", help="make only these checks (may be repeated)")
    add("--skip", action="append", default=[], metavar="NAME", help="leave these checks out (may be repeated)")
    add("--list", action="store_true", help="list the checks and end")
    add("--json", action="store_true", help="print the report as JSON")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kit; returns the exit code."""
    args = parser().parse_args(arguments)
    if args.list:
        return _print_list()
    if not args.url:
        parser().error("give the URL of the API")
    unknown = {*args.only, *args.skip} - set(names())
    if unknown:
        parser().error(f"no such check: {', '.join(sorted(unknown))}; --list names them")
    try:
        report = _by_command(args) if args.token_command else _by_issuer(args)
    except CannotTest as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(report.as_json() + "\n" if args.json else report.as_text())
    return 1 if report.findings else 0


def _print_list() -> int:
    sent = {each.name: each.sent for each in (*SIGNATURES, *CLAIMS)}
    for name in names():
        sys.stdout.write(f"{name:24} {sent.get(name, '')}".rstrip() + "\n")
    return 0


def _selection(args: argparse.Namespace) -> Callable[[str], bool]:
    left_out = {*args.skip, *(["not-issued"] if args.offline else [])}
    return lambda name: (not args.only or name in args.only) and name not in left_out


def _by_issuer(args: argparse.Namespace) -> Report:
    host, _, port = args.listen.rpartition(":")
    issuer = Issuer(audience=args.audience, staleness=args.staleness, alg=args.alg)
    if args.role and args.role not in {"reader", "writer"}:
        issuer.roles = (args.role,)
    target = Target(args.url, args.method)
    with contextlib.ExitStack() as stack:
        stack.callback(target.close)
        try:
            server: IssuerServer = stack.enter_context(served(issuer, host.strip("[]"), int(port)))
        except (OSError, ValueError) as error:
            raise CannotTest(f"The issuer cannot listen on {args.listen}: {error}") from None
        process = stack.enter_context(started(args.start_command, issuer)) if args.start_command else None
        if process is None:
            _print_settings(args, issuer)
        wait_until_accepted(target, issuer, args.start_seconds, process)
        return Kit(
            target,
            issuer.mint,
            server,
            f"{server.url}/steal/",
            staleness=args.staleness,
            idle=args.idle,
            is_selected=_selection(args),
            role_checked=bool(args.role),
        ).run()


def _print_settings(args: argparse.Namespace, issuer: Issuer) -> None:
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment(issuer).items())
    if args.settings_file:
        args.settings_file.touch(mode=0o600)
        args.settings_file.write_text(lines, encoding="utf-8")
        lines = f"The settings are in {args.settings_file}\n"
    sys.stderr.write(f"Start the API with these settings:\n\n{lines}\nWaiting until it serves a good token …\n")


def _by_command(args: argparse.Namespace) -> Report:
    target = Target(args.url, args.method)
    last: list[tuple[float, str]] = []

    def good() -> str:
        if not last or time.monotonic() - last[0][0] > _TOKEN_SECONDS:
            last[:] = [(time.monotonic(), _command_output(args.token_command))]
        return last[0][1]

    with contextlib.closing(target):
        steal = "https://attacker.invalid/"
        return Kit(target, good, None, steal, is_selected=_selection(args), role_checked=False).run()


def _command_output(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command
            shlex.split(command), capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise CannotTest(f"--token-command cannot be run: {error}") from None
    token = done.stdout.strip()
    if done.returncode or token.count(".") != 2:  # noqa: PLR2004 - RFC 7515 §7.1
        raise CannotTest(
            "--token-command must print one token and nothing else;"
            f" it ended with {done.returncode}: {done.stderr.strip()}"
        )
    return token


if __name__ == "__main__":
    sys.exit(main())
