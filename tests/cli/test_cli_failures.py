"""How commands fail: one sentence that names the fix, a documented exit code, never a traceback (PRODUCT.md §6)."""

import os

import pytest

from authserver.cli.command import CODES
from authserver.cli.reference import commands
from authserver.store.tables import token_requests
from tests.support.shell import Shell

FAILURES = {
    # what is typed: exit code, and a word the sentence must hold
    "users": (2, "Usage: "),
    "users lst": (2, "Did you mean 'list'?"),
    "usres list": (2, "'users'"),
    "users create": (2, "USERNAME"),
    "users create eve": (2, "--role"),
    "users create eve --rol reader": (2, "Did you mean '--role'?"),
    "users show": (2, "USERNAME"),
    "users show ada extra": (2, "extra"),
    "users show adda": (3, "did you mean 'ada'?"),
    "users grant ada raeder": (3, "did you mean 'reader'?"),
    "users grant ada x": (3, "there are builder, reader, writer"),
    "users create eve --role raeder": (3, "did you mean 'reader'?"),
    "users create eve --role builder": (6, "operational"),
    "users create Ada --role reader": (4, "already"),
    "users create e|ve --role reader": (6, "A-Z a-z"),
    "users grant ada reader": (4, "already"),
    "users revoke ada nobody": (3, "no role"),
    "users enable ada": (4, "already"),
    "users password ada": (2, "--password-stdin"),
    "users password ada --password-file /nowhere/at/all": (3, "/nowhere/at/all"),
    "users password ada --password-stdin --password-file x": (2, "not both"),
    "roles create x": (2, "--kind"),
    "roles create x --kind bulider": (2, "builder"),
    "roles create a,b --kind operational": (6, "A-Z a-z"),
    "roles create reader --kind operational": (4, "already"),
    "roles create x --kind builder --permission a|b": (6, "permission"),
    "roles show x": (3, "no role"),
    "roles delete reader": (2, "--yes"),
    "resource-servers create x": (2, "--audience"),
    "resource-servers create x --audience nope": (6, "absolute URI"),
    "resource-servers create y --audience https://api.example.com": (4, "already"),
    "resource-servers create api --audience urn:example:y": (4, "already"),
    "resource-servers create y --audience urn:example:y --token-alg HS256": (2, "ES256"),
    "resource-servers create y --audience urn:example:y --token-alg RS256": (4, "flask keys rotate --alg RS256"),
    "resource-servers show apii": (3, "did you mean 'api'?"),
    "resource-servers enable api": (4, "already"),
    "credentials create --owner ada --name n --role reader": (2, "--expires-in"),
    "credentials create --owner ada --name n --role reader --expires-in 90": (2, "90d"),
    "credentials create --owner ada --name n --role reader --expires-in 1d --expires-at 2027-09-09": (2, "not both"),
    "credentials create --owner ada --name n --role reader --expires-at 2027-13-01": (2, "2027-01-31"),
    "credentials create --owner ada --name n --role reader --expires-at 2027-02-01T12:00:00": (2, "zone"),
    "credentials create --owner ada --name n --role reader --expires-at 2020-01-01": (6, "future"),
    "credentials create --owner ada --name n --role reader --expires-in 9y": (6, "365 days"),
    "credentials create --owner ada --name n --role nothing --expires-in 1d": (6, "choose among"),
    "credentials create --owner ada --name n --role builder --expires-in 1d": (6, "operational"),
    "credentials create --owner adda --name n --role reader --expires-in 1d": (3, "did you mean 'ada'?"),
    "credentials show 00000000-0000-4000-8000-000000000000": (3, "flask credentials list"),
    "credentials edit CLIENT": (2, "--name"),
    "credentials regenerate CLIENT --overlap 2h": (2, "0, 1h, 24h or 7d"),
    "credentials enable CLIENT": (4, "already"),
    "credentials delete CLIENT": (2, "--yes"),
    "settings get idle_timeout_minute": (3, "did you mean 'idle_timeout_minutes'?"),
    "settings set nothing 1": (3, "idle_timeout_minutes"),
    "settings set idle_timeout_minutes 1441": (6, "1 to 1440"),
    "settings set idle_timeout_minutes -- -1": (6, "1 to 1440"),
    "settings set idle_timeout_minutes 15.5": (6, "whole number"),
    "settings set default_audience urn:example:nobody": (6, "https://api.example.com"),
    "resource-servers create y --audience urn:example:y --token-typ jwt": (2, "at+jwt"),
    "resource-servers edit api --token-typ at+jwt": (4, "already"),
    "resource-servers edit api --token-typ JWT --alg ES256": (2, "one of them"),
    "settings set token_alg HS256": (6, "ES256"),
    "keys generate --alg none": (2, "ES256"),
    "keys activate KID": (4, "staged"),
    "keys retire KID": (4, "flask keys rotate"),
    "keys remove KID": (4, "retired"),
    "keys show nothing": (3, "flask keys list"),
    "sessions list 00000000-0000-4000-8000-000000000000": (3, "flask credentials list"),
    "sessions end nothing": (3, "flask sessions list"),
    "audit list --limit 0": (2, "1<=x<=10000"),
    "audit list --after x": (2, "integer"),
    "db upgrade 9999": (6, "flask db history"),
    "db downgrade base": (2, "--yes"),
    "db restored": (2, "--yes"),
}


@pytest.fixture
def shell(world):
    return Shell(world.app)


def test_every_failure_has_its_code_and_names_its_fix(shell, world):
    before = world.accounts.audit_newest(1)[0].seq
    names = {"CLIENT": world.client[0], "KID": world.store.keys.ring()[0].kid}
    wrong = {}
    for typed, (code, word) in FAILURES.items():
        words = [names.get(each, each) for each in typed.split()]
        result = shell(*words)
        one_line = result.err.startswith("Error: ") and result.err.count("\n") == 1
        if result.code != code or word not in result.err or result.out or not (one_line or word == "Usage: "):
            wrong[typed] = result
    assert not wrong
    assert {code for code, _ in FAILURES.values()} < set(CODES)
    assert world.accounts.audit_newest(1)[0].seq == before


def test_with_json_a_failure_is_a_json_object_on_stderr(shell):
    result = shell("users", "show", "adda", "--json")
    assert result.out == ""
    assert result.error == {
        "error": "not_found",
        "message": "there is no user 'adda'; `flask users list` shows them; did you mean 'ada'?",
    }
    assert shell("users", "create", "eve", "--json").error["error"] == "usage"
    assert shell("users", "lst", "--json").error["error"] == "usage"
    assert shell("users", "enable", "ada", "--json").error["error"] == "conflict"
    assert shell("users", "create", "e ve", "--role", "reader", "--json").error["error"] == "invalid"


HOSTILE = {
    "NUL": "a\0b",
    "lone surrogate": os.fsdecode(b"a\xff"),
    "line feed": "a\nb",
    "escape sequence": "\x1b[31mred",
    "bidi override": "a\u202eb",
    "very long": "a" * 100_000,
    "empty": "",
    "look-alike": "re\u0430der",  # a Cyrillic a
    "markup": "[bold]x[/bold][",
    "SQL": "' OR 1=1 --",
    "percent": "%s%d%(x)s",
}


def test_hostile_names_are_refused_on_every_command(shell, world):
    """Never a crash, never "the backend is down", never a raw control character on the terminal."""
    before = len(world.accounts.audit_newest(1000))
    for name, text in HOSTILE.items():
        for command in naming(text):
            result = shell(*command)
            seen = (name, command[:2], result.code, result.err[:300])
            assert result.code in {2, 3, 6}, seen
            assert result.err.isascii() or name == "look-alike", seen
            assert not {"\x1b", "\0"} & set(result.err), seen
            assert result.err.count("\n") == 1, seen
            assert "Traceback" not in result.err, seen
    assert len(world.accounts.audit_newest(1000)) == before


def naming(text):
    return (
        ("roles", "create", text, "--kind", "operational"),
        ("users", "create", text, "--role", "reader"),
        ("users", "create", "eve", "--role", text),
        ("users", "show", text),
        ("users", "grant", "ada", text),
        ("roles", "show", text),
        ("roles", "delete", text, "--yes"),
        ("resource-servers", "create", "y", "--audience", text),
        ("resource-servers", "disable", text),
        ("credentials", "show", text),
        ("credentials", "create", "--owner", text, "--name", "n", "--expires-in", "1d", "--role", "reader"),
        ("credentials", "create", "--owner", "ada", "--name", "n", "--expires-in", "1d", "--role", text),
        ("credentials", "create", "--owner", "ada", "--name", "n", "--expires-in", text, "--role", "reader"),
        ("settings", "set", text, "1"),
        ("settings", "set", "idle_timeout_minutes", text),
        ("keys", "show", "--", text),
        ("keys", "compromise", "--", text),
        ("sessions", "end", text),
        ("sessions", "list", text),
    )


def test_hostile_display_names_are_refused(shell):
    for text in ("a\0b", os.fsdecode(b"a\xff"), "a\nb", "\x1b[31m", "a\u202eb", "", " ", "a" * 101):
        for command in (
            ("resource-servers", "create", text, "--audience", "urn:example:y"),
            ("credentials", "create", "--owner", "ada", "--name", text, "--expires-in", "1d", "--role", "reader"),
        ):
            result = shell(*command)
            assert result.code == 6, (text, result)


def test_names_in_any_script_are_shown_as_they_are(shell, world, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # as wide as a pipe is, whatever runs the tests
    client_id, name = world.client[0], "Überweisungen 支払い [bold]"
    shell.json("credentials", "edit", client_id, "--name", name)
    assert shell.json("credentials", "show", client_id)["name"] == name
    assert name in shell("credentials", "list").out


PASSWORDS = {
    "too short": b"elevenchars\n",
    "too long": b"x1y2" * 33,
    "well known": b"Password1234\n",
    "the name": b"the-lovelace-99\n",
    "not UTF-8": b"\xff\xfe violet otter",
    "empty": b"",
    "control": b"violet otter\x00 lamp",
}


def test_bad_passwords_are_refused_and_never_repeated(shell, tmp_path):
    shell("users", "create", "lovelace", "--role", "reader")
    file = tmp_path / "password"
    for name, typed in PASSWORDS.items():
        file.write_bytes(typed)
        for said in (
            shell("users", "password", "lovelace", "--password-stdin", stdin=typed),
            shell("users", "password", "lovelace", "--password-file", file),
            shell("users", "create", "lovelac", "--role", "reader", "--password-stdin", stdin=typed),
        ):
            assert said.code == 6, (name, said)
            assert not typed or typed.decode("latin-1").strip() not in said.err, name
    assert shell("users", "show", "lovelac").code == 3


def test_a_good_password_is_kept_as_argon2id_only(shell, world):
    shell.json("users", "create", "grace", "--role", "reader", "--password-stdin", stdin="violet otter lamp 9\r\n")
    with world.store.engine.connect() as connection:
        (kept,) = connection.exec_driver_sql("SELECT password_hash FROM users WHERE username = 'grace'").one()
    assert kept.startswith("$argon2id$")
    from argon2 import PasswordHasher

    assert PasswordHasher().verify(kept, "violet otter lamp 9")


def test_a_password_file_that_may_not_be_read(shell, tmp_path):
    if os.geteuid() == 0:
        result = shell("users", "password", "ada", "--password-file", tmp_path)  # root may read all but a folder
        assert (result.code, str(tmp_path) in result.err) == (1, True)
        return
    secret = tmp_path / "secret"
    secret.touch(mode=0)
    result = shell("users", "password", "ada", "--password-file", secret)
    assert (result.code, str(secret) in result.err) == (5, True)


def test_setting_what_is_set_already_succeeds_without_a_record(shell, world):
    before = world.accounts.audit_newest(1)[0].seq
    assert shell.json("settings", "set", "idle_timeout_minutes", "30") == {"idle_timeout_minutes": 30}
    assert shell.json("settings", "set", "default_audience", "") == {"default_audience": None}
    assert world.accounts.audit_newest(1)[0].seq == before


def test_a_fault_of_our_own_is_one_sentence_unless_asked_for(shell, world, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("acs_secret")

    monkeypatch.setattr(world.store.accounts, "users", broken)
    result = shell("users", "list")
    assert (result.code, "ZeroDivisionError" in result.err, "acs_secret" in result.err) == (1, True, False)
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        shell("users", "list")


def test_an_altered_record_is_named(shell, world):
    shell("users", "disable", "ada")
    shell("users", "enable", "ada")
    last = world.accounts.audit_newest(1)[0].seq
    with world.store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE audit SET actor = 'cli:nobody' WHERE seq = {last - 1}")  # noqa: S608 - a number
    result = shell("audit", "verify")
    assert result.code == 1
    assert f"audit record {last - 1}: was altered" in result.err
    verdict = shell("audit", "verify", "--json")
    assert verdict.code == 1
    assert verdict.json == {"ok": False, "records": last - 2, "first_bad": last - 1, "fault": "was altered"}
    assert shell("doctor").code == 1


def test_the_doctor_names_a_client_that_does_not_use_its_tokens(shell, world):
    day = 24 * 3600
    now = world.services.clock.now()
    values = {"client_id": world.client[0], "day": now - now % day - day, "outcome": "granted", "requests": 86_400}
    with world.store.engine.begin() as connection:
        connection.execute(token_requests.insert().values(**values))
    checks = shell("doctor", "--json").json["checks"]
    (found,) = (each for each in checks if each["check"] == "unused tokens")
    assert found["status"] == "warning"
    assert f"({world.client[0]})" in found["message"]
    assert "86,400 tokens yesterday, and 0 uses" in found["message"]
    assert "docs/clients.md" in found["fix"]


def test_no_command_takes_a_secret_as_an_argument():
    """A flag takes nothing: ``--no-secret`` is none of these."""
    values = [param for _, command in commands() for param in command.params if not getattr(param, "is_flag", False)]
    names = {name for param in values for name in (param.name, *param.opts)}
    assert not {name for name in names if name and ("secret" in name or name in {"password", "--password", "--token"})}


def test_doctor_warns_where_keys_do_not_rotate_by_themselves(shell):
    def found():
        [finding] = [each for each in shell("doctor", "--json").json["checks"] if each["check"] == "key rotation"]
        return finding

    assert found()["message"] == "every 90 days"  # of a new installation
    shell("settings", "set", "key_rotation_days", "0")
    assert found()["status"] == "warning"
    assert found()["fix"] == "flask settings set key_rotation_days 90"
