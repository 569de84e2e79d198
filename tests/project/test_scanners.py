"""The rules for secret scanners in ``docs/scanners`` find what the server mints, and nothing that looks like it."""

import json
import random
import re
import shutil
import subprocess
import tomllib

import pytest

from authserver.rules.secret_format import (
    ALPHABET,
    BODY_LENGTH,
    CREDENTIAL_PREFIX,
    LOGIN_LINK_PREFIX,
    RESOURCE_SERVER_PREFIX,
    mint,
    well_formed,
)
from tests.support.clients_js_plugin import LEFT_OUT
from tests.support.processes import ROOT

SCANNERS = ROOT / "docs" / "scanners"
PREFIXES = (CREDENTIAL_PREFIX, RESOURCE_SERVER_PREFIX, LOGIN_LINK_PREFIX)
EXAMPLE = "acs_" + "EXAMPLE" * 5 + "DoNot" + "3TkjB7"
WRITTEN = (
    "{}",
    'secret = "{}"',
    "CLIENT_SECRET={}",
    '{{"client_secret":"{}"}}',
    "client_secret={}&x=1",
    "  password: {}",
    "-u id:{}",
)


def minted(number=7, seed=1):
    dice = random.Random(seed)
    return [mint(prefix, dice.choice) for prefix in PREFIXES for _ in range(number)]


def patterns():
    """The regular expressions of every file, and of the guide, by where they stand."""
    document = tomllib.loads((SCANNERS / "gitleaks.toml").read_text(encoding="utf-8"))
    hog = (SCANNERS / "trufflehog.yaml").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return {
        "gitleaks": "|".join(rule["regex"] for rule in document["rules"]),
        "trufflehog": re.search(r"secret: '(.+)'", hog)[1],
        "github": rf"(?:\A|[^0-9A-Za-z]){re.search(r'`(ac.suv._.+?)`', guide)[1]}(?:\Z|[^0-9A-Za-z])",
    }


@pytest.mark.parametrize("where", ["gitleaks", "trufflehog", "github"])
def test_each_pattern_finds_every_secret_however_it_is_written(where):
    pattern = re.compile(patterns()[where])
    for number, secret in enumerate(minted()):
        assert pattern.search(WRITTEN[number % len(WRITTEN)].format(secret)), secret
        assert not pattern.search(secret[:-1])
        assert not pattern.search(secret + "0")
        assert not pattern.search(secret.replace(secret[:4], "abc_"))


def test_the_example_is_one_that_every_rule_lets_pass():
    assert well_formed(EXAMPLE)
    assert len(EXAMPLE) == len("acs_") + BODY_LENGTH + 6
    assert set(EXAMPLE) <= {*ALPHABET, "_"}
    document = tomllib.loads((SCANNERS / "gitleaks.toml").read_text(encoding="utf-8"))
    assert re.fullmatch(document["rules"][0]["allowlists"][0]["regexes"][0], EXAMPLE)
    hog = (SCANNERS / "trufflehog.yaml").read_text(encoding="utf-8")
    assert re.search(re.search(r"exclude_regexes_match: \['(.+)'\]", hog)[1], EXAMPLE)


def test_gitleaks_finds_them_and_passes_the_example_and_our_own_pages(tmp_path):
    if not shutil.which("gitleaks"):
        # Building it takes minutes, so also CI has it only where somebody installed it; its patterns are tried above.
        pytest.skip(
            f"gitleaks itself was{LEFT_OUT}it is not installed; go install github.com/zricethezav/gitleaks/v8@v8.30.1"
        )
    for number, secret in enumerate(minted()):
        (tmp_path / f"{number}.txt").write_text(WRITTEN[number % len(WRITTEN)].format(secret) + "\n")
    (tmp_path / "example.md").write_text(f"client_secret={EXAMPLE}\n")
    (tmp_path / "torn.md").write_text("".join(f"{secret[:-1]} {secret}0\n" for secret in minted(seed=2)))

    def found(folder):
        words = ("gitleaks", "dir", folder, "--config", SCANNERS / "gitleaks.toml", "--exit-code", "0", "--no-banner")
        report = tmp_path / "report"
        subprocess.run([*words, "-f", "json", "-r", report], check=True, capture_output=True, timeout=120)
        return [each["Secret"] for each in json.loads(report.read_text())]

    assert sorted(found(tmp_path)) == sorted(minted())
    assert found(ROOT / "docs") == []
    assert found(ROOT / "authserver") == []
