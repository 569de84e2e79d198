"""node oidc-provider from npm, in memory: what a tuned server of another language does on the same core.

It is measured where Node and its package are present (``make clients``): it has no database, keeps secrets in plain
text, and introspects opaque tokens only, so what it is asked costs less than what we do.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.cases import Case
from bench.load_generator import BadLoad
from bench.peers.fixtures import SECRET, basic
from bench.requests import post
from bench.server_process import ROOT, Running, free_port

NAME = "oidc-provider"
RESOURCE = "urn:bench:api"
_MODULES = ROOT / "tests" / "oidc_js" / "node_modules"
_PROGRAM = Path(__file__).with_suffix(".mjs")


def program() -> str:
    """Where Node is; empty when it or the package is missing."""
    node = shutil.which("node")
    return node if node and (_MODULES / "oidc-provider").is_dir() else ""


def start(clients: int, *, log: Path, cores: Sequence[int]) -> Running:
    """Start it with so many clients."""
    port = free_port()
    command = [str(_PROGRAM), str(_MODULES), str(port), SECRET, *_names(clients)]
    return Running(NAME, command, port, log=log, cores=cores, env={"NODE_ENV": "production"}, program=program())


def cases(server: Running, clients: int, tokens: int) -> list[Case]:
    """What it is asked.

    Args:
        server: the running one; the tokens come from it.
        clients: with how many clients it was started.
        tokens: opaque tokens, introspected in turn by the client that got each.

    Raises:
        BadLoad: it gives no token.
    """
    names, form = _names(clients), {"grant_type": "client_credentials", "scope": "orders.read"}
    asked = []
    for number in range(tokens):
        name = names[number % clients]
        status, body, _ = server.ask(post("/token", form, basic(name, SECRET)))
        if status != 200:
            msg = f"{NAME}: no token, but {status} {body[:200]!r}"
            raise BadLoad(msg)
        token = json.loads(body)["access_token"]
        asked.append(post("/token/introspection", {"token": token}, basic(name, SECRET)))
    signed = [post("/token", {**form, "resource": RESOURCE}, basic(name, SECRET)) for name in names]
    return [
        Case(f"{NAME} token ES256", NAME, "token", lambda _round: signed),
        Case(f"{NAME} introspect", NAME, "active", lambda _round: asked),
    ]


def _names(clients: int) -> list[str]:
    return [f"client-{number}" for number in range(clients)]
