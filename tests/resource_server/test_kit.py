"""The attack kit finds each bug that was planted in sample APIs, and none in good ones."""

import json
import os
import subprocess
import sys

import pytest

from resource_server import Verifier
from resource_server.kit import __main__ as command
from resource_server.kit.issuer import Issuer
from resource_server.kit.run import LIFECYCLE, TRANSPORT, Kit, names
from resource_server.kit.server import served
from resource_server.kit.target import CannotTest, Target
from tests.resource_server.sample_apis import BUGS, Sample, serving
from tests.support.processes import ROOT

GROUPS = {
    "dead": {"revoked", "leased", "dead-secret", "dead-credential", "disabled-owner", "expired-in-use", "replayed"},
    "rotated": {"compromised-key", "rotated-new-key", "rotated-old-key"},
}
"""Checks that tell their findings under several names."""


def group_of(name):
    return next((group for group, members in GROUPS.items() if name in members), name)


@pytest.fixture
def run():
    """Run the kit against a sample API."""

    def go(bug=None, only=None, mode="exact", staleness=0, **options):
        issuer = Issuer(staleness=staleness)
        with served(issuer) as server:
            verifier = Verifier(
                issuer.url, issuer.audience, issuer.api, mode=mode, max_staleness=staleness, report_interval=1
            )
            with verifier, serving(Sample(verifier, issuer, bug)) as url:
                target = Target(url)
                kit = Kit(
                    target, issuer.mint, server, f"{server.url}/steal/", staleness=staleness, idle=4,
                    is_selected=lambda name: only is None or name in only, **options,
                )  # fmt: skip
                try:
                    return kit.run()
                finally:
                    target.close()

    return go


@pytest.mark.parametrize("name", BUGS)
def test_each_planted_bug_is_found(run, name):
    bug, expected = BUGS[name]
    report = run(bug, {group_of(each) for each in expected})
    assert {finding.name for finding in report.findings} >= expected
    text = report.as_text()
    for finding in report.findings:
        assert finding.fix in text
        assert finding.law in text


@pytest.mark.parametrize(("mode", "staleness"), [("exact", 0), ("leased", 2), ("feed", 2)])
def test_nothing_is_found_in_a_good_api(run, mode, staleness):
    left_out = {"not-issued"} if mode == "feed" else set()
    report = run(mode=mode, staleness=staleness, only=set(names()) - left_out)
    assert report.findings == []
    assert set(report.checks) == set(names()) - left_out
    assert report.as_text().endswith("nothing found.\n")


def test_there_are_about_sixty_bad_tokens():
    assert len(list(names())) - len(LIFECYCLE) - len(TRANSPORT) >= 60
    assert len(set(names())) == len(list(names()))


def test_an_api_that_serves_nobody_cannot_be_tested(run):
    def refuses(sample, environ):
        raise TypeError

    with pytest.raises(CannotTest, match="does not serve a good token"):
        run(refuses)


class TestCommand:
    def main(self, capsys, *words):
        code = command.main(words)
        output = capsys.readouterr()
        return code, output.out, output.err

    def test_list(self, capsys):
        code, out, _ = self.main(capsys, "--list")
        assert code == 0
        assert "alg-none" in out

    @pytest.mark.parametrize("words", [[], ["http://127.0.0.1:1/", "--only", "nothing"], ["--alg", "HS256"]])
    def test_wrong_words(self, capsys, words):
        with pytest.raises(SystemExit) as caught:
            command.main(words)
        assert caught.value.code == 2

    def test_an_api_that_is_not_there(self, capsys):
        code, _, err = self.main(capsys, "http://127.0.0.1:1/", "--start-seconds", "0.2")
        assert code == 2
        assert "RESOURCE_SERVER_ISSUER=" in err
        assert "does not serve a good token" in err

    def test_with_a_start_command_and_json(self, tmp_path):
        """As a developer runs it: the kit starts the API, which reads its settings from the environment."""
        from tests.support.servers import free_port

        port = free_port()
        app = tmp_path / "api.py"
        app.write_text(
            "import flask\n"
            "from resource_server import Verifier\n"
            "from resource_server.frameworks.flask import Guard\n"
            "app = flask.Flask('api')\n"
            "guard = Guard(Verifier.from_environment(), app)\n"
            "@app.get('/things')\n"
            "@guard.require_roles('reader')\n"
            "def things():\n"
            "    return {}\n"
            f"app.run(port={port}, threaded=True)\n"
        )
        words = [
            sys.executable, "-m", "resource_server.kit", f"http://127.0.0.1:{port}/things", "--json", "--idle", "4",
            "--start-command", f"{sys.executable} {app}", "--skip", "unreachable", "--skip", "idle",
        ]  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        document = json.loads(done.stdout)
        assert document["findings"] == []
        assert set(document["not_run"]) == {"unreachable", "idle"}

    def test_a_start_command_that_ends(self, capsys):
        code, _, err = self.main(
            capsys, "http://127.0.0.1:1/", "--start-command", f"{sys.executable} -c 'raise SystemExit(3)'"
        )
        assert code == 2
        assert "exit code 3" in err

    def test_with_tokens_of_another_issuer(self, capsys, issuer, server, verifier_of):
        """Only what needs no key of the issuer is sent."""
        text = issuer.mint()
        verifier = verifier_of()
        words = ["--token-command", f"echo {text}"]
        with serving(Sample(verifier, issuer)) as url:
            code, out, _ = self.main(capsys, url, *words)
            assert (code, "NOT RUN" in out) == (0, True)
        bug, _ = BUGS["no signature check"]
        with serving(Sample(verifier, issuer, bug)) as url:
            code, out, _ = self.main(capsys, url, *words, "--json")
            assert code == 1
            assert {"claims-altered", "signature-altered"} & {found["name"] for found in json.loads(out)["findings"]}

    def test_a_token_command_that_prints_none(self, capsys):
        code, _, err = self.main(capsys, "http://127.0.0.1:1/", "--token-command", "echo nothing")
        assert code == 2
        assert "must print one token" in err

    def test_the_settings_go_into_a_file_that_others_cannot_read(self, capsys, tmp_path):
        told = tmp_path / "settings"
        self.main(capsys, "http://127.0.0.1:1/", "--start-seconds", "0.1", "--settings-file", str(told))
        assert "RESOURCE_SERVER_CLIENT_SECRET=acv_" in told.read_text()
        assert told.stat().st_mode & 0o077 == 0
