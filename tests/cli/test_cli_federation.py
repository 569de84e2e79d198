"""``flask credentials trust``, ``trusts``, ``distrust`` and ``try-federation``: the whole way without any secret."""

import json

import pytest

from tests.support import issuers
from tests.support.assertions import token
from tests.support.issuers import KUBERNETES, Issuer
from tests.support.shell import Shell

OURS = "http://127.0.0.1:8000"
SUBJECT = "system:serviceaccount:payroll:export"


@pytest.fixture
def shell(world):
    return Shell(world.app)


@pytest.fixture
def site(tmp_path):
    site = Issuer(KUBERNETES, header={})
    (tmp_path / "jwks.json").write_text(json.dumps(site.jwks))
    return site


def test_from_nothing_to_a_token_without_any_secret(world, shell, site, tmp_path):
    made = shell.json(
        *("credentials", "create", "--owner", "ada", "--name", "Export", "--expires-in", "90d", "--role", "reader"),
        "--no-secret",
    )
    assert set(made) == {"client_id", "expires_at", "roles"}
    client_id = made["client_id"]
    trust = shell.json(
        *("credentials", "trust", client_id, "--issuer", KUBERNETES, "--subject", SUBJECT),
        *("--claim", "/kubernetes.io/namespace=payroll", "--jwks", tmp_path / "jwks.json"),
    )
    assert (trust["audience"], trust["keys"], trust["live"]) == (OURS, "pasted", True)
    assert trust["claims"] == {"sub": SUBJECT, "/kubernetes.io/namespace": "payroll"}
    text = site.sign(issuers.kubernetes(world.clock.at, aud=[OURS]))
    (tmp_path / "token").write_text(f"{text}\n")
    tried = shell.json("credentials", "try-federation", client_id, tmp_path / "token")
    assert tried["passes"] is True
    assert all(each["holds"] for each in tried["trusts"][0]["checks"])
    issued = token(world, text, client_id=client_id).json["access_token"]
    assert world.active(issued)
    assert [each["id"] for each in shell.json("credentials", "trusts", client_id)] == [trust["id"]]
    assert shell.json("credentials", "show", client_id)["trusts"][0]["id"] == trust["id"]
    assert trust["id"][:10] in shell("credentials", "show", client_id).out
    assert not [each for each in shell.json("credentials", "by-secret") if each["client_id"] == client_id]
    shell.json("credentials", "distrust", client_id, trust["id"], "--yes")
    assert not world.active(issued)


def test_the_trial_shows_the_condition_that_fails_and_never_the_token(world, shell, site, tmp_path):
    client_id = world.client[0]
    shell.json(
        *("credentials", "trust", client_id, "--issuer", KUBERNETES, "--subject", SUBJECT),
        *("--jwks", tmp_path / "jwks.json"),
    )
    text = site.sign(issuers.kubernetes(world.clock.at, aud=[OURS], sub="system:serviceaccount:other:export"))
    said = shell("credentials", "try-federation", client_id, "-", stdin=text)
    assert said.code == 1
    assert text not in said.out
    (line,) = [line for line in said.out.splitlines() if line.startswith("sub ")]
    assert "no" in line.split()
    assert "system:serviceaccount:other:" in line
    assert "meets no trust" in said.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--subject", "repo:*"), 6),
        (("--claim", "sub"), 2),
        ((), 6),
        (("--subject", "a", "--audience", "with blank"), 6),
        (("--subject", "a", "--jwks-uri", "http://example.com"), 6),
    ],
)
def test_what_would_let_others_in_is_refused(world, shell, words, code):
    said = shell("credentials", "trust", world.client[0], "--issuer", "https://ci.example.com", *words)
    assert said.code == code, said
    assert not world.accounts.credential(world.client[0]).trusts


def test_a_trial_needs_a_trust_and_a_token(world, shell):
    assert shell("credentials", "try-federation", world.client[0], "-", stdin="x").code == 3
    shell.json("credentials", "trust", world.client[0], "--issuer", "https://ci.example.com", "--subject", "a:b")
    assert shell("credentials", "try-federation", world.client[0], "-", stdin="x").code == 6
