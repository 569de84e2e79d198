"""``flask credentials certificates``: one certificate, a name, and both removed."""

import pytest

from tests.support.certificates import self_signed
from tests.support.shell import Shell


@pytest.fixture
def shell(world):
    return Shell(world.app)


def test_from_nothing_to_a_certificate_and_back(world, shell, tmp_path):
    mine = self_signed()
    (tmp_path / "cert.pem").write_text(mine.pem)
    made = shell.json(
        *("credentials", "create", "--owner", "ada", "--name", "Export", "--expires-in", "90d", "--role", "reader"),
        "--no-secret",
    )
    client_id = made["client_id"]
    one = shell.json("credentials", "certificates", "add", client_id, tmp_path / "cert.pem")
    assert (one["method"], one["value"], one["live"]) == ("self_signed_tls_client_auth", mine.thumbprint, True)
    name = shell.json("credentials", "certificates", "add", client_id, "--san-dns", "Payroll.example.com")
    assert (name["method"], name["value"], name["valid_until"]) == ("tls_client_auth", "payroll.example.com", None)
    listed = shell.json("credentials", "certificates", "list", client_id)
    assert {each["id"] for each in listed} == {one["id"], name["id"]}
    assert {each["id"] for each in shell.json("credentials", "show", client_id)["certificates"]} == {
        one["id"], name["id"]
    }  # fmt: skip
    assert mine.thumbprint[:10] in shell("credentials", "show", client_id).out
    assert not [each for each in shell.json("credentials", "by-secret") if each["client_id"] == client_id]
    shell.json("credentials", "certificates", "remove", client_id, one["id"], "--yes")
    live = {each["id"]: each["live"] for each in shell.json("credentials", "certificates", "list", client_id)}
    assert live == {one["id"]: False, name["id"]: True}


@pytest.mark.parametrize(
    "words", [(), ("--san-dns", "a.b", "--san-uri", "x:y"), ("--subject-dn", "payroll"), ("--san-ip", "10.0.0.0/8")]
)
def test_one_certificate_or_one_name(world, shell, words):
    said = shell("credentials", "certificates", "add", world.client[0], *words)
    assert said.code
    assert not world.accounts.credential(world.client[0]).certificates
