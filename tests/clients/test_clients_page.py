"""Each example of docs/clients.md runs as it stands there, against a started server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
import requests

from authserver.actions.preconditions.client_keys import public_key
from tests.support import clients_js_plugin
from tests.support.assertions import Signer
from tests.support.client_server import ROLES

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
NOT_RUN = {"go", "powershell", "text"}
"""Not run here; Go is by test_recipes."""

FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r"^##+ (.+)$", re.MULTILINE)


def examples():
    """Language, the nearest title above and text of each fenced block."""
    text = PAGE.read_text()
    for found in FENCED.finditer(text):
        *_, title = TITLE.findall(text[: found.start()])
        yield found[1], title, found[2]


def asking(language):
    chosen = [(title, code) for kind, title, code in examples() if kind == language]
    return pytest.mark.parametrize(
        ("title", "code"), chosen, ids=[f"{number} {title}" for number, (title, _) in enumerate(chosen)]
    )


@pytest.fixture
def environ(site, tmp_path):
    api = site.apis["ES256"]
    signer = Signer()
    (tmp_path / "key.pem").write_text(signer.private_pem)
    return {
        **os.environ,
        "ISSUER": site.issuer,
        "CLIENT_ID": site.client_id,
        "CLIENT_SECRET": site.client_secret,
        "AUDIENCE": api.audience,
        "API_ID": api.id,
        "API_SECRET": api.secret,
        "TOKEN": site.token("ES256"),
        "KEY_CLIENT_ID": site.keyed(signer),
        "KEY_FILE": str(tmp_path / "key.pem"),
        "OAUTHLIB_INSECURE_TRANSPORT": "1",
    }


def run(words, environ):
    ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def check(site, title, environ, told):
    """What an example must have printed or done, by the part of the page it stands in."""
    api = site.apis["ES256"]
    introspected = requests.post(
        site.introspection_url, data={"token": environ["TOKEN"]}, auth=(api.id, api.secret), timeout=10
    ).json()
    if title == "End a token":
        assert introspected == {"active": False}
        return
    assert introspected["active"] is True
    if title == "With a key instead of a secret" and "PUBLIC KEY" in told:
        assert public_key(told).alg == "ES256"
    elif title in {"curl", "Python", "Node", "With a key instead of a secret", "A token that only its holder can use"}:
        fresh = re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", told)
        assert jwt.get_unverified_header(fresh[0])["typ"] == "at+jwt"
    elif title == "Introspection":
        assert "true" in told.lower() or str(list(ROLES)) in told
    else:
        assert title == "Local verification"
        assert all(role in told for role in ROLES)


def test_every_example_is_run_or_known_not_to_be():
    kinds = [kind for kind, _, _ in examples()]
    assert set(kinds) == {"bash", "python", "js"} | NOT_RUN
    assert len(kinds) == PAGE.read_text().count("```") / 2


@asking("bash")
def test_shell(site, environ, title, code):
    check(site, title, environ, run(["bash", "-euo", "pipefail", "-c", code], environ))


@asking("python")
def test_python(site, environ, title, code):
    check(site, title, environ, run([sys.executable, "-W", "error", "-c", code], environ))


@pytest.fixture
def folder(node, tmp_path):
    """Where JavaScript finds the packages."""
    (tmp_path / "node_modules").symlink_to(clients_js_plugin.HOME / "node_modules")
    return tmp_path


@asking("js")
def test_javascript(folder, site, environ, title, code):
    example = folder / "example.mjs"
    example.write_text(code)
    check(site, title, environ, run(["node", example], environ))
