"""The documents tell the truth: tables match the code, links lead somewhere, shell blocks run as they stand."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from authserver.actions.general_settings import BOUNDS
from authserver.config import PREFIX, Config
from authserver.ports.general_settings import GeneralSettings
from authserver.rules.facts import Reason
from authserver.store.factory import DEFAULT_SETTINGS
from authserver.telemetry.metrics import GAUGES, Metrics

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md"))
    if "node_modules" not in path.parts
)
DEFAULT_URL = "http://127.0.0.1:8000"


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text):
    """The cells of the table rows in a text, without head and rule."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rules = [number for number, row in enumerate(cells) if all(re.fullmatch("-+", cell) for cell in row)]
    heads = {number - 1 for number in rules}
    return [row for number, row in enumerate(cells) if number not in {*rules, *heads}]


def section(name, mark):
    text = page(name)
    begin = text.index(f"<!-- {mark}:")
    return text[begin : text.index("<!-- end -->", begin)]


def blocks(name, language="sh"):
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)


# --- tables ---------------------------------------------------------------------------------


def test_every_process_setting_is_documented_as_it_is():
    expected = []
    for name, field in Config.model_fields.items():
        default = field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = str(int(default)) if isinstance(default, bool) else str(default)
        expected.append([f"`{PREFIX}{name.upper()}`", f"`{shown}`" if shown else "empty", field.description])
    assert rows(section("docs/settings.md", "process settings")) == expected


def test_every_general_setting_is_documented_with_bounds_and_default():
    values = {row[0].strip("`"): row for row in rows(section("docs/settings.md", "general settings"))}
    assert list(values) == [
        name for name in GeneralSettings.__dataclass_fields__ if name not in {"epoch", "used_since", "issued_since"}
    ]
    for name, row in values.items():
        assert row[2] == str(DEFAULT_SETTINGS.get(name, "empty"))
        if name in BOUNDS:
            assert row[1] == "{} to {}".format(*BOUNDS[name])


def test_every_metric_is_documented_with_kind_and_labels():
    collectors = Metrics(dict)._registry._names_to_collectors.values()
    expected = {
        (each._name + ("_total" if each._type == "counter" else ""), each._type, each._labelnames)
        for each in collectors
    } | {(name, "gauge", labels) for name, (_, labels) in GAUGES.items()}
    told = rows(section("docs/operations.md", "metrics"))
    shown = {(name.strip("`"), kind, tuple(re.findall("`(.*?)`", labels))) for name, kind, labels, _ in told}
    assert shown == expected
    assert len(told) == len(expected)


def test_alerts_name_metrics_that_exist():
    known = {row[0].strip("`") for row in rows(section("docs/operations.md", "metrics"))}
    alerts = page("docs/operations.md").partition("## What to alert on")[2]
    named = set(re.findall(r"`((?:oauth|http)_[a-z_]+)", alerts))
    assert len(named) > 5
    assert named <= known | {name.rpartition(" ")[0] for name in known if name.count(" ") > 2}  # nouns inside nouns


def test_every_reason_is_explained_in_the_order_of_the_questions():
    results = [row[0].strip("`") for row in rows(page("docs/how-it-dies.md")) if len(row) == 3]
    assert sorted(results) == sorted(Reason)
    verdicts = [Reason.KEY_COMPROMISED, Reason.OWNER_DISABLED, Reason.EPOCH, Reason.EXPIRED, Reason.ROLES_CHANGED]
    order = [results.index(reason) for reason in (*verdicts, Reason.IDLE, Reason.ENDED_BY_OPERATOR)]
    assert order == sorted(order)


def test_numbers_in_the_text_are_the_numbers_in_the_code():
    from authserver.oauth import throttle
    from authserver.rules.idle import USE_TOLERANCE
    from authserver.rules.liveness import CLOCK_SLACK
    from authserver.services.clocks import MAX_SKEW_SECONDS

    dies, threats = page("docs/how-it-dies.md"), page("docs/threat-model.md")
    assert f"The tolerance ε is {USE_TOLERANCE} seconds" in dies
    assert f"more than {CLOCK_SLACK} seconds" in dies
    assert f"on record for {DEFAULT_SETTINGS['session_retention_days']} days" in dies
    assert f"more than {MAX_SKEW_SECONDS} seconds" in threats
    assert f"{throttle.PER_CLIENT} failed authentications" in threats
    assert f"{throttle.PER_PEER:,} for a network address" in threats
    assert f"{throttle.PER_RESOURCE_SERVER:,} texts a minute" in threats


# --- the pages themselves --------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_holds_a_secret_or_a_token(path):
    # But the one that every rule for scanners lets pass (``test_scanners``).
    text = path.read_text(encoding="utf-8").replace("acs_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEDoNot3TkjB7", "")
    assert not re.search(r"\bac[suv]_[0-9A-Za-z]{46}\b", text)
    assert not re.search(r"\beyJ[\w-]{20,}\.[\w-]{20,}\.", text)


def test_every_setting_that_is_named_exists():
    known = {PREFIX + name.upper() for name in Config.model_fields}
    for path in PAGES:
        for name in re.findall(r"\bAUTHSERVER_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8")):
            assert name.removesuffix("_FILE") in known, (path.name, name)


def test_every_command_that_is_named_exists():
    from authserver.cli.reference import commands

    known = {name for name, _ in commands()}
    nouns = {name.split()[1] for name in known}
    named = set()
    for path in (ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/*.md")):
        for noun, verb in re.findall(r"\bflask ([a-z-]+)(?: ([a-z][a-z-]*))?", path.read_text(encoding="utf-8")):
            if noun in nouns:
                named.add(f"flask {noun} {verb}".strip())
    assert len(named) > 20
    known |= {name.rpartition(" ")[0] for name in known if name.count(" ") > 2}  # a noun inside a noun
    assert named <= known


def test_decisions_are_short_and_in_order():
    found = sorted((ROOT / "docs" / "adr").iterdir())
    assert [int(path.name[:4]) for path in found] == list(range(1, len(found) + 1))
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 40, path.name
        assert re.findall("^#+ .*", text, re.MULTILINE)[1:] == ["## Context", "## Decision", "## Consequences"]


def test_make_lists_every_target():
    helped = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    makefile = page("Makefile")
    listed = re.findall(r"^  make ([a-z]+) ", helped, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert sorted(listed) == sorted(set(phony[1].split()) - {"help"} | {"help"} & set(listed))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        for target in re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8")):
            assert target in listed, (path.name, target)


# --- what can be run is run ------------------------------------------------------------------------------


class Copy:
    """A copy of the program with a database of its own, and a free port."""

    def __init__(self, home):
        self.home = home
        for name in ("app.py", "Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
            shutil.copy2(ROOT / name, home)
        for name in ("authserver", "keys", "migrations"):
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        (home / ".venv").mkdir()
        for each in (ROOT / ".venv").iterdir():
            if not each.name.startswith("."):
                (home / ".venv" / each.name).symlink_to(each)
        (home / ".venv" / ".runtime-installed").touch()  # it is: the tests run in it
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.bind = f"127.0.0.1:{probe.getsockname()[1]}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.environment = {**kept, "AUTHSERVER_BIND": self.bind}

    def run(self, script, shell="bash"):
        return subprocess.run(
            [shell, "-e"] if shell == "bash" else [shell, "-e", "-o", "no_nomatch"],
            input=script.replace(DEFAULT_URL, f"http://{self.bind}"),
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def answers(self):
        host, _, port = self.bind.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def running(home):
    """The first block of the README, running; what it printed."""
    copy = Copy(home)
    first = blocks("README.md")[0]
    assert first == "make run\n"
    with (home / "out").open("w") as out, (home / "err").open("w") as err:
        server = subprocess.Popen(
            first.split(), cwd=home, env=copy.environment, stdout=out, stderr=err, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not (copy.answers() and "Listening" in (home / "out").read_text()):
            assert server.poll() is None, (home / "err").read_text()
            assert time.monotonic() < deadline, (home / "err").read_text()
            time.sleep(0.1)
        yield copy, (home / "out").read_text()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """One server for all that may find it used already."""
    with running(tmp_path_factory.mktemp("copy")) as both:
        yield both


@pytest.fixture
def untouched(tmp_path):
    """A server that nobody has spoken to yet."""
    with running(tmp_path) as both:
        yield both


def test_first_look(untouched):
    copy, printed = untouched
    shells = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]
    assert shells
    lines = printed.partition("Paste into another terminal")[2].splitlines()[1:]
    pasted = [line for line in lines if line and not line.startswith("#")]
    results = [line for line in pasted if not line.startswith(".venv/bin/flask")]
    assert len(results) == 3
    for shell in shells:
        done = subprocess.run(
            [shell],
            input="\n".join(results),
            cwd=copy.home,
            env=copy.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.stderr == "", (shell, done.stderr)
        token, introspection = (json.loads(line) for line in done.stdout.splitlines())
        assert done.stdout.endswith("\n")
        assert token["token_type"] == "Bearer"
        assert token["scope"] == "invoices.read reports.read"
        assert introspection["active"] is True
    # As the whole block is pasted, comments and all; then the second command again.
    done = copy.run("\n".join([*lines, results[2]]))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[1])["active"] is True
    assert done.stdout.splitlines()[-1] == '{"active":false}'
    again = copy.run("\n".join(results))
    assert json.loads(again.stdout.splitlines()[0])["scope"] == "reports.read"


def test_secrets_are_shown_once(started):
    copy, printed = started
    secrets = re.findall(r"\bac[sv]_[0-9A-Za-z]{46}\b", printed)
    assert len(secrets) == 2
    for path in copy.home.rglob("*"):
        if path.is_file() and path.name != "out" and ".venv" not in path.parts:
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path


def test_readme_runs_as_it_stands(started):
    copy, _ = started
    script = "\n".join(block for block in blocks("README.md")[2:])
    done = copy.run(script)
    assert done.returncode == 0, done.stdout + done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert documents[0]["scope"] == "orders.read"
    assert documents[1]["active"] is True
    assert documents[1]["aud"] == "https://orders.example.com"
    assert documents[2] == {"status": "ok"}
    assert "oauth_tokens_active" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", [str(path.relative_to(ROOT)) for path in PAGES if path.parent.name == "docs"])
def test_shell_blocks_of_the_docs_run(started, name):
    copy, _ = started
    for block in blocks(name):
        done = copy.run(block)
        assert done.returncode == 0, done.stdout + done.stderr
