"""``python -m resource_server``."""

import io
import json
import os
import subprocess
import sys

import pytest

from resource_server.__main__ import main
from tests.resource_server.real import AUDIENCE
from tests.support.processes import ROOT


@pytest.fixture
def told(monkeypatch, real):
    monkeypatch.setenv("RESOURCE_SERVER_CLIENT_SECRET", real.api[1])
    return ["--issuer", real.issuer, "--audience", AUDIENCE, "--client-id", real.api[0]]


def test_a_good_token(real, told, capsys):
    assert main(["check", real.token(), "--role", "reader", *told, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["good"] is True
    assert shown["roles"] == ["reader", "writer"]


def test_for_people(real, told, capsys):
    assert main(["check", real.token(), *told]) == 0
    assert "roles         reader writer\n" in capsys.readouterr().out


def test_from_standard_input(real, told, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(real.token() + "\n"))
    assert main(["check", "-", *told]) == 0


def test_a_refused_one(real, told, capsys):
    text = real.token()
    real.revoke(text)
    assert main(["check", text, *told, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "inactive"


def test_a_missing_role(real, told, capsys):
    assert main(["check", real.token(), "--role", "admin", *told, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "insufficient_scope"


def test_a_server_that_is_away(real, told, capsys):
    assert main(["check", real.token(), *told, "--issuer", "http://127.0.0.1:1"]) == 3
    assert "unreachable" in capsys.readouterr().out


def test_a_wrong_configuration(told, capsys):
    assert main(["check", "x", *told, "--mode", "leased"]) == 2
    assert "needs max_staleness" in capsys.readouterr().err


def test_metadata(capsys, monkeypatch):
    monkeypatch.delenv("RESOURCE_SERVER_CLIENT_SECRET", raising=False)
    words = [
        "metadata",
        "--issuer",
        "https://auth.example.com",
        "--audience",
        "https://api.example.com/v1",
        "--role",
        "a",
    ]
    assert main(words) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["scopes_supported"] == ["a"]
    assert "/.well-known/oauth-protected-resource/v1" in output.err


def test_as_a_module():
    words = [sys.executable, "-m", "resource_server", "check", "--help"]
    done = subprocess.run(words, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True)
    assert "Exit codes" in done.stdout
