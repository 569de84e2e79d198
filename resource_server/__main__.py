"""``python -m resource_server``: check one token, or print the metadata of RFC 9728.

Exit codes of ``check``: 0 the token is good, 1 it is refused, 2 wrong configuration, 3 it cannot be known now.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from resource_server.errors import ConfigurationError, Refused, Unavailable
from resource_server.http import metadata, metadata_path
from resource_server.settings import ENVIRONMENT, Settings, from_environment
from resource_server.verifier import Verifier

_EPILOG = f"""\
What is not given as an option comes from {ENVIRONMENT}* variables: ISSUER, AUDIENCE, CLIENT_ID, CLIENT_SECRET (each
also as *_FILE), MODE, MAX_STALENESS and others. The secret comes only from there, for options can be seen by everybody.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m resource_server", description="Protect an API with access tokens.")
    commands = root.add_subparsers(dest="command", required=True)
    formats: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": _EPILOG}
    check = commands.add_parser(
        "check", help="check one token, as an API would", description="Check one token. " + _EXITS, **formats
    )
    check.add_argument("token", help="the token, or - to read it from standard input")
    check.add_argument("--role", action="append", default=[], help="a role that the token must have (may be repeated)")
    check.add_argument("--method", default="", help="HTTP method to report as use")
    check.add_argument("--route", default="", help="route to report as use")
    metadata_command = commands.add_parser(
        "metadata",
        help="print the protected-resource metadata",
        description="Print what RFC 9728 wants served.",
        **formats,
    )
    metadata_command.add_argument(
        "--role", action="append", default=[], help="a role to name in scopes_supported (may be repeated)"
    )
    for each in (check, metadata_command):
        each.add_argument("--issuer", help="issuer of the authorization server")
        each.add_argument("--audience", help="audience of this API")
        each.add_argument("--client-id", help="client id of the resource server")
        each.add_argument("--mode", choices=("exact", "leased", "feed"), help="default: exact")
        each.add_argument("--max-staleness", type=int, metavar="SECONDS", help="S, for leased and feed")
        each.add_argument("--resource", help="URL of this API as its clients write it (default: the audience)")
        each.add_argument("--json", action="store_true", help="print JSON (metadata always does)")
    return root


_EXITS = "Exit codes: 0 good, 1 refused, 2 wrong configuration, 3 it cannot be known now."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    args = parser().parse_args(arguments)
    try:
        values = _settings(args)
        if args.command == "metadata":
            if not values["credentials"][1]:
                values["credentials"] = ("unused", "unused")  # metadata has no secret in it
            settings = Settings(**values)
            sys.stdout.write(json.dumps(metadata(settings, args.role), indent=2) + "\n")
            sys.stderr.write(f"Serve it at {metadata_path(settings)}\n")
            return 0
        return _check(args, values)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    values = from_environment(os.environ)
    if args.client_id:
        values["credentials"] = (args.client_id, values["credentials"][1])
    for name in ("issuer", "audience", "mode", "max_staleness", "resource"):
        if getattr(args, name) is not None:
            values[name] = getattr(args, name)
    return values


def _check(args: argparse.Namespace, values: dict[str, Any]) -> int:
    text = args.token
    if text == "-":
        text = sys.stdin.read().strip()
    with Verifier(**values) as verifier:
        try:
            token = verifier.verify(text, roles=args.role, method=args.method, route=args.route)
        except Refused as refused:
            _print(args.json, {"good": False, "error": refused.error, "reason": refused.reason, "detail": str(refused)})
            return 3 if isinstance(refused, Unavailable) else 1
    good = {
        "good": True,
        "sub": token.sub,
        "client_id": token.client_id,
        "roles": sorted(token.roles),
        "role_version": token.role_version,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "jti": token.jti,
    }
    _print(args.json, good)
    return 0


def _print(as_json: bool, values: dict[str, Any]) -> None:  # noqa: FBT001 - the option itself
    if as_json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
        return
    for name, value in values.items():
        shown = " ".join(value) if isinstance(value, list) else value
        sys.stdout.write(f"{name:13} {shown}\n")


if __name__ == "__main__":
    sys.exit(main())
