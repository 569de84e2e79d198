"""POST /leaks: a report of a secret that was found, as GitHub's secret scanning sends it."""

import base64
import hashlib
import json
import os
import re
import shlex
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import event

from authserver.actions import credentials
from authserver.actions.events import leaks
from authserver.ports.errors import Conflict, Invalid
from tests.resource_server.sample_apis import serving
from tests.support.deadlines import SECONDS
from tests.support.processes import ROOT
from tests.support.shell import Shell
from tests.support.wsgi_client import forged, parts

KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key=KEY):
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def signed(body, key=KEY):
    return base64.b64encode(key.sign(body, ec.ECDSA(hashes.SHA256()))).decode()


@pytest.fixture
def reporting(telling):
    """Sends a report by a key that is known here."""
    world = telling.world
    leaks.add_reporter(world.accounts, "k1", "Scanner", pem(), **world.who)

    def send(tokens, *, body=None, key=KEY, identifier="k1", signature=None):
        listed = [
            each if isinstance(each, dict)
            else {"token": each, "type": "acs", "url": "https://github.com/x/y", "source": "content"}
            for each in tokens
        ]  # fmt: skip
        body = json.dumps(listed).encode() if body is None else body
        named = {
            "Github-Public-Key-Identifier": identifier,
            "Github-Public-Key-Signature": signed(body, key) if signature is None else signature,
        }
        kept = {name: value for name, value in named.items() if value}
        return world.http.post("/leaks", data=body, content_type="application/json", headers=kept)

    yield send
    leaks.remove_reporter(world.accounts, "k1", **world.who)


def newest(world):
    return world.accounts.audit_newest(1)[0]


def test_a_match_ends_the_secret_and_its_tokens_and_tells_everybody(telling, reporting):
    world = telling.world
    telling.webhook("secret.leaked")
    client_id, secret = telling.client
    token, other = world.access_token(telling.client), world.access_token(world.credential())
    answer = reporting([secret, "acs_nothing"])
    assert answer.status_code == 200
    digest = base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode()
    first, second = answer.json
    assert first == {"token_hash": digest, "token_type": "acs", "label": "true_positive"}
    assert second["label"] == "false_positive"
    assert secret not in answer.text
    assert not world.active(token)
    assert world.token(telling.client).status_code == 401
    assert world.active(other)
    # The refusal of the token request may have been recorded meanwhile.
    (record,) = [each for each in world.accounts.audit_newest(5) if each.event == "credential.leak_reported"]
    assert (record.actor, record.target) == ("leaks:k1", client_id)
    assert secret not in record.detail
    (came,) = telling.round()
    data = came.document["data"]
    assert (data["owner"], data["reporter"], data["url"]) == ("ada", "Scanner", "https://github.com/x/y")


def test_the_other_secret_of_an_overlap_lives_on(telling, reporting):
    world = telling.world
    client_id, old = telling.client
    new = credentials.regenerate(world.accounts, client_id, 3600, pepper=world.store.pepper, **world.who).secret
    token = world.access_token((client_id, new))
    assert reporting([old]).json[0]["label"] == "true_positive"
    assert world.active(token)
    assert world.token((client_id, old)).status_code == 401


def test_no_match_changes_and_tells_nothing(telling, reporting):
    world = telling.world
    telling.webhook()
    telling.round()
    before = newest(world).seq
    strange = forged(world)[:-8] + "AAAAAAAA"
    texts = ["acs_" + "0" * 46, "ghp_x", "", "acs_\ud800", strange, "eyJ.eyJ.x", "eyJ" + "x" * 9000]
    assert [each["label"] for each in reporting(texts).json] == ["false_positive"] * len(texts)
    assert newest(world).seq == before
    assert telling.round() == []


def test_a_token_of_ours_ends_alone_and_everybody_is_told(telling, reporting):
    world = telling.world
    telling.webhook("secret.leaked")
    token, other = world.access_token(telling.client), world.access_token(telling.client)
    used = world.access_token(telling.client)
    assert world.active(used)
    world.store.usage.flush()  # one that is on record, and one that is in the buffer yet
    place = f"https://github.com/x/y?t={token}"
    answer = reporting([{"token": each, "type": "jwt", "url": place, "source": "content"} for each in (token, used)])
    assert [each["label"] for each in answer.json] == ["true_positive"] * 2
    assert token not in answer.text
    assert not world.active(token)
    assert not world.active(used)
    assert world.active(other)
    assert world.token(telling.client).status_code == 200
    jtis = {parts(each)[1]["jti"] for each in (token, used)}
    came = telling.round()
    assert {each.document["data"]["token"] for each in came} == jtis
    assert all(each.document["data"]["owner"] == "ada" for each in came)
    assert token.split(".")[1] not in "".join(each.body.decode() for each in came)
    records = [each for each in world.accounts.audit_newest(9) if each.event == "credential.token_leak_reported"]
    assert {json.loads(each.detail)["token"] for each in records} == jtis
    assert {each.target for each in records} == {telling.client[0]}
    assert {json.loads(each.detail)["url"] for each in records} == {"https://github.com/x/y?t=[token]"}
    for jti in jtis:
        assert world.store.sessions.find(jti).end_reason == "leaked"
        assert "leaked" in str(Shell(world.app).json("sessions", "explain", jti))
    before = newest(world).seq
    assert [each["label"] for each in reporting([token]).json] == ["true_positive"]
    assert newest(world).seq == before


def test_a_token_that_is_over_is_known_by_its_signature_and_costs_no_statement(telling, reporting):
    world = telling.world
    token = world.access_token(telling.client)
    strange = token[:-8] + "AAAAAAAA"
    world.clock.at += 86400
    reporting(["x"])

    def statements(tokens):
        seen = []

        def count(_connection, _cursor, statement, *_):
            seen.append(statement)

        event.listen(world.store.engine, "before_cursor_execute", count)
        try:
            return [each["label"] for each in reporting(tokens).json], seen
        finally:
            event.remove(world.store.engine, "before_cursor_execute", count)

    _, nothing = statements(["x"])
    for text, label in ((token, "true_positive"), (strange, "false_positive")):
        assert statements([text] * 20) == ([label] * 20, nothing)


def test_the_same_report_again_is_answered_alike_and_changes_nothing(telling, reporting):
    first = reporting([telling.client[1]] * 2)
    before = newest(telling.world).seq
    assert reporting([telling.client[1]] * 2).json == first.json
    assert newest(telling.world).seq == before


@pytest.mark.parametrize(
    "wrong",
    [{"identifier": ""}, {"identifier": "k2"}, {"identifier": "k" * 500}, {"signature": ""}, {"signature": "AAAA"},
     {"signature": "%%"}, {"signature": "A" * 4000}, {"key": ec.generate_private_key(ec.SECP256R1())}],
)  # fmt: skip
def test_what_is_not_signed_by_a_known_key_is_refused_alike(telling, reporting, wrong):
    answer = reporting([telling.client[1]], **wrong)
    assert answer.status_code == 401
    assert answer.json["error"] == "invalid_client"
    assert answer.json == reporting(["x"], identifier="").json
    assert telling.world.token(telling.client).status_code == 200


def test_a_body_that_was_altered_is_refused(telling, reporting):
    body = json.dumps([{"token": telling.client[1]}]).encode()
    assert reporting([], body=body + b" ", signature=signed(body)).status_code == 401


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"[1]", b'[{"token":1}]', b"[" * 20_000, b"\xff", b'[{"url":"x"}]', b"null",
     json.dumps([{"token": "x"}] * 501).encode()],
)  # fmt: skip
def test_a_report_of_another_shape_is_a_400(reporting, body):
    answer = reporting([], body=body)
    assert answer.status_code == 400
    assert answer.json["error"] == "invalid_request"


def test_a_report_that_is_too_large_is_a_413(reporting):
    assert reporting([], body=b"[" + b" " * 70_000 + b"]").status_code == 413


def test_what_a_report_says_beside_the_token_is_kept_as_one_line_without_a_secret(telling, reporting):
    secret = telling.client[1]
    odd = {"token": secret, "type": 5, "url": f"https://x/{secret}\n\u2028" + "a" * 900, "source": {"a": 1}}
    assert reporting([odd]).json[0]["token_type"] == ""
    detail = json.loads(newest(telling.world).detail)
    assert detail["url"].startswith("https://x/[secret]?")
    assert (len(detail["url"]) <= 500, detail["source"]) == (True, "")


def test_keys_are_named_imported_and_removed_on_the_command_line(telling, tmp_path):
    shell = Shell(telling.world.app)
    file = tmp_path / "key.pem"
    file.write_text(pem(), encoding="ascii")
    assert shell.json("leaks", "add", "own", "--name", "Ours", "--key-file", file)["identifier"] == "own"
    assert shell("leaks", "add", "own", "--name", "Ours", "--key-file", file).code == 4
    listed = tmp_path / "meta.json"
    listed.write_text(
        json.dumps({"public_keys": [{"key_identifier": each, "key": pem()} for each in ("own", "g1")]}),
        encoding="utf-8",
    )
    assert [each["identifier"] for each in shell.json("leaks", "import", listed, "--name", "GitHub")] == ["g1"]
    assert {each["identifier"] for each in shell.json("leaks", "list")} == {"own", "g1"}
    listed.write_text("[]", encoding="utf-8")
    assert shell("leaks", "import", listed, "--name", "GitHub").code == 6
    for each in ("own", "g1"):
        assert shell("leaks", "remove", each).code == 0
    assert shell("leaks", "remove", "own").code == 3


def test_a_key_that_is_no_p256_key_is_refused(telling):
    world = telling.world
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for text in ("", "x", private.decode(), pem(ec.generate_private_key(ec.SECP384R1()))):
        with pytest.raises(Invalid):
            leaks.add_reporter(world.accounts, "k9", "x", text, **world.who)
    with pytest.raises(Invalid):
        leaks.add_reporter(world.accounts, "k 9", "x", pem(), **world.who)
    assert issubclass(Conflict, Exception)


def test_the_commands_of_the_page_do_what_it_says(telling, tmp_path, monkeypatch):
    """Every command in docs/leaks.md, in order: openssl makes the key and signs, curl sends to this server."""
    page = (ROOT / "docs" / "leaks.md").read_text(encoding="utf-8")
    world, shell = telling.world, Shell(telling.world.app)
    blocks = re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    meta = {"public_keys": [{"key_identifier": "g1", "key": pem()}]}
    (tmp_path / "secret_scanning.json").write_text(json.dumps(meta), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    answers, done = [], 0
    with serving(world.http.application) as url:
        issuer = url.removesuffix("/things")
        for line in lines:
            if line.startswith("flask "):
                assert shell(*shlex.split(line)[1:]).code == 0, line
            elif "api.github.com" not in line:  # which answers what stands in the file already
                command = line.replace("ISSUER", issuer)
                run = subprocess.run(
                    ["bash", "-euc", command], check=True, capture_output=True, text=True, timeout=SECONDS,
                    env={**os.environ, "FOUND": telling.client[1]},
                )  # fmt: skip
                answers += [run.stdout] if command.startswith("curl") else []
            done += 1
    assert done == len(lines) >= 7
    assert [each["label"] for each in json.loads(answers[-1])] == ["true_positive"]
    assert world.token(telling.client).status_code == 401
    for each in ("our-scanner", "g1"):
        assert shell("leaks", "remove", each).code == 0
