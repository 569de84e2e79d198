"""Console and API are two ways to the same actions: neither can do what the other cannot."""

import ast

from tests.support.processes import ROOT

PEOPLE = {"sign_in", "identities"}
"""Signing in, and the identities one signs in with: a program has a token instead."""

MODULES = {"authserver.actions", "authserver.actions.preconditions", "authserver.actions.events"}
"""Packages whose modules are imported by name."""

CONSOLE_ONLY = {
    "mail.set_address",  # a person's own address; the command line sets anybody's
    "users.hash_password",  # a person's own password
    "users.set_password",
    "sessions.inspect_sessions_unchecked",  # the same as inspect_sessions, of a credential that was read already
}
API_ONLY = {
    "introspect.introspect",  # judges the token of a call
    "resource_servers.management_api",
    "resource_servers.management_api_secret",
    "sessions.inspect_sessions",
    "signing_keys.rehearse",  # changes nothing; people do it on the command line
}


def called(package):
    """The functions of ``authserver.actions`` that a package calls, as ``module.function``."""
    found = set()
    for path in (ROOT / "authserver" / package).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {}
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("authserver.actions"):
                continue
            for each in node.names:
                if node.module in MODULES:
                    modules[each.asname or each.name] = each.name
                else:
                    found.add(f"{node.module.rpartition('.')[2]}.{each.name}")
        found |= {
            f"{modules[node.value.id]}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        }
    functions = {each for each in found if each.rpartition(".")[2].islower()}
    return {each for each in functions if each.partition(".")[0] not in PEOPLE}


def test_neither_can_do_what_the_other_cannot():
    by_console, by_api = called("console"), called("api")
    assert len(by_console & by_api) > 25
    assert by_console - by_api == CONSOLE_ONLY
    assert by_api - by_console == API_ONLY
