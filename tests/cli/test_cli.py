"""What every command does: the shape of its JSON, and the one audit record of each change (PRODUCT.md §4, §2.14)."""

import ast
import re

import pytest

from authserver.cli.reference import commands
from tests.support.assertions import Signer, assertion, token
from tests.support.processes import ROOT
from tests.support.shell import Shell

INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECRET = re.compile(r"ac[sv]_[0-9A-Za-z]{46}")
PASSWORD = "violet otter lamp 9"


@pytest.fixture
def shell(world):
    return Shell(world.app)


def newest(world):
    return world.accounts.audit_newest(1)[0]


# --- the shapes that PRODUCT.md spells ------------------------------------------------


def test_roles_create(shell):
    made = shell.json("roles", "create", "auditor", "--kind", "builder", "--permission", "audit:read")
    assert made == {"id": made["id"], "name": "auditor", "kind": "builder"}
    assert made["id"].startswith("rol_")


def test_users_create_and_show(shell):
    made = shell.json("users", "create", "Grace", "--role", "writer", "--role", "reader")
    assert made == {"id": made["id"], "username": "Grace", "roles": ["reader", "writer"], "role_version": 1}
    assert made["id"].startswith("usr_")
    shown = shell.json("users", "show", "grace")
    assert {**shown, **made} == shown
    assert shown["disabled"] is False
    assert shown["disabled_at"] is None
    assert INSTANT.fullmatch(shown["created_at"])


def test_resource_servers_create(shell):
    made = shell.json("resource-servers", "create", "Ledger", "--audience", "https://ledger.example.com")
    assert set(made) == {"id", "client_id", "client_secret", "audience"}
    assert made["audience"] == "https://ledger.example.com"
    assert UUID.fullmatch(made["client_id"])
    assert SECRET.fullmatch(made["client_secret"])


def test_credentials_create_and_use(shell, world):
    made = shell.json(
        *("credentials", "create", "--owner", "ada", "--name", "Night", "--expires-in", "90d"),
        *("--role", "writer", "--role", "reader"),
    )
    assert set(made) == {"client_id", "client_secret", "expires_at", "roles"}
    assert made["expires_at"] == "2027-04-15T08:00:00Z"  # 90 days behind the world's clock
    assert made["roles"] == ["reader", "writer"]
    assert UUID.fullmatch(made["client_id"])
    assert world.active(world.access_token((made["client_id"], made["client_secret"])))


@pytest.mark.parametrize(
    ("typed", "instant"),
    [
        (("--expires-in", "12h"), "2027-01-15T20:00:00Z"),
        (("--expires-in", "2w"), "2027-01-29T08:00:00Z"),
        (("--expires-in", "1y"), "2028-01-15T08:00:00Z"),
        (("--expires-at", "2027-02-01"), "2027-02-01T23:59:59Z"),
        (("--expires-at", "2027-02-01T12:00:00Z"), "2027-02-01T12:00:00Z"),
        (("--expires-at", "2027-02-01T12:00:00+02:00"), "2027-02-01T10:00:00Z"),
    ],
)
def test_expiry_is_typed_in_many_ways(shell, typed, instant):
    made = shell.json("credentials", "create", "--owner", "ada", "--name", "n", "--role", "reader", *typed)
    assert made["expires_at"] == instant


def test_credentials_regenerate(shell, world):
    client_id, old = world.client
    made = shell.json("credentials", "regenerate", client_id, "--overlap", "24h")
    assert made == {"client_id": client_id, "client_secret": made["client_secret"]}
    assert world.token((client_id, old)).status_code == 200
    world.clock.at += 24 * 3600
    assert world.token((client_id, old)).status_code == 401
    assert world.token((client_id, made["client_secret"])).status_code == 200
    now = shell.json("credentials", "regenerate", client_id)
    assert world.token((client_id, made["client_secret"])).status_code == 401
    assert world.token((client_id, now["client_secret"])).status_code == 200


def test_settings(shell):
    found = shell.json("settings", "get")
    assert found["idle_timeout_minutes"] == 30
    assert shell.json("settings", "set", "idle_timeout_minutes", "15") == {"idle_timeout_minutes": 15}
    assert shell.json("settings", "get", "idle_timeout_minutes") == {"idle_timeout_minutes": 15}
    assert shell.json("settings", "list") == {**found, "idle_timeout_minutes": 15}


def test_keys_list(shell):
    (key,) = shell.json("keys", "list")
    instants = {"created_at", "activated_at", "retired_at", "ended_at", "may_sign_from"}
    assert set(key) == {"kid", "alg", "state", "store", *instants}
    assert (key["alg"], key["state"], key["retired_at"]) == ("ES256", "active", None)
    assert INSTANT.fullmatch(key["activated_at"])


def test_audit_list_and_verify(shell):
    shell("users", "revoke", "ada", "writer")
    (record,) = shell.json("audit", "list", "--limit", "1")
    assert set(record) == {"seq", "at", "actor", "event", "target", "detail", "hash"}
    assert (record["event"], record["detail"]["role"]) == ("user.role_revoked", "writer")
    assert record["actor"].startswith("cli:")
    assert shell.json("audit", "verify") == {"ok": True, "records": record["seq"], "first_bad": None, "fault": None}


# --- the other shapes ---------------------------------------------------------------------


def test_lists_are_arrays_of_what_show_shows(shell, world):
    client_id = world.client[0]
    assert shell.json("roles", "show", "reader")["users"] == ["ada"]
    assert [each["name"] for each in shell.json("roles", "list")] == ["builder", "reader", "writer"]
    assert shell.json("users", "list") == [shell.json("users", "show", "ada")]
    assert shell.json("users", "list", "--role", "nobody-has-it") == []
    assert shell.json("resource-servers", "list") == [shell.json("resource-servers", "show", "api")]
    assert shell.json("resource-servers", "show", world.api[0])["name"] == "api"
    assert shell.json("credentials", "list") == [shell.json("credentials", "show", client_id)]
    assert shell.json("credentials", "list", "--owner", "ada", "--state", "expired") == []
    (key,) = shell.json("keys", "list")
    shown = shell.json("keys", "show", key["kid"][:30])
    assert {**shown, **key} == shown
    assert set(shown["public_jwk"]) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_credentials_show_secrets_without_the_secret(shell, world):
    shell("credentials", "regenerate", world.client[0], "--overlap", "1h")
    shown = shell.json("credentials", "show", world.client[0])
    assert set(shown) == {
        *("client_id", "name", "owner", "roles", "state", "expires_at", "created_at", "disabled_at", "secrets"),
        *("keys", "jwks_uri", "trusts", "certificates", "restrictions"),
    }
    assert [each["live"] for each in shown["secrets"]] == [True, True]
    assert all(set(each) == {"hint", "live", "created_at", "ends_at", "last_used_at"} for each in shown["secrets"])
    world.clock.at += 3600
    assert sorted(each["live"] for each in shell.json("credentials", "show", world.client[0])["secrets"]) == [0, 1]


def test_credentials_keys(shell, world, tmp_path):
    client_id, signer = world.client[0], Signer("EdDSA")
    added = shell("credentials", "keys", "add", client_id, "-", "--json", stdin=signer.pem)
    assert added.code == 0, added
    assert (added.json["thumbprint"], added.json["alg"], added.json["live"]) == (signer.thumbprint, "EdDSA", True)
    assert token(world, assertion(world, client_id, signer)).status_code == 200
    assert [each["thumbprint"] for each in shell.json("credentials", "keys", "list", client_id)] == [signer.thumbprint]
    private = tmp_path / "private.pem"
    private.write_text(signer.private_pem)
    refused = shell("credentials", "keys", "add", client_id, str(private))
    assert refused.code == 6
    assert "private key" in refused.err
    assert signer.private_pem.splitlines()[1] not in refused.err
    removed = shell("credentials", "keys", "remove", client_id, signer.thumbprint, "--yes")
    assert removed.code == 0, removed
    assert token(world, assertion(world, client_id, signer)).status_code == 401
    assert shell("credentials", "keys", "remove", client_id, "nothing", "--yes").code == 3


def test_credentials_create_with_a_key_makes_no_secret(shell, world, tmp_path):
    signer, file = Signer("PS256"), tmp_path / "public.pem"
    file.write_text(signer.pem)
    asked = ("credentials", "create", "--owner", "ada", "--name", "k", "--expires-in", "1d", "--role", "reader")
    assert "PS256 or with RS256" in shell(*asked, "--key", str(file)).err
    made = shell.json(*asked, "--key", str(file), "--alg", "PS256")
    assert set(made) == {"client_id", "key", "alg", "expires_at", "roles"}
    assert shell.json("credentials", "show", made["client_id"])["secrets"] == []
    assert token(world, assertion(world, made["client_id"], signer)).status_code == 200


def test_credentials_edit_disable_enable_delete(shell, world):
    client_id = world.client[0]
    edited = shell.json("credentials", "edit", client_id, "--name", "Weekly", "--expires-in", "30d")
    assert (edited["name"], edited["expires_at"]) == ("Weekly", "2027-02-14T08:00:00Z")
    token = world.access_token()
    assert shell.json("credentials", "disable", client_id)["state"] == "disabled"
    assert not world.active(token)
    assert shell.json("credentials", "enable", client_id)["state"] == "live"
    assert not world.active(token)
    assert shell.json("credentials", "delete", client_id, "--yes") == {
        "client_id": client_id,
        "deleted_at": "2027-01-15T08:00:00Z",
    }
    assert shell("credentials", "show", client_id).code == 3


def test_a_token_dies_when_a_role_is_revoked(shell, world):
    token = world.access_token()
    assert world.active(token)
    changed = shell.json("users", "revoke", "ada", "writer")
    assert (changed["roles"], changed["role_version"]) == (["builder", "reader"], 2)
    assert not world.active(token)
    assert shell.json("users", "grant", "ada", "writer")["role_version"] == 3
    assert not world.active(token)


def test_users_disable_and_enable(shell, world):
    token = world.access_token()
    disabled = shell.json("users", "disable", "ada")
    assert (disabled["disabled"], disabled["disabled_at"]) == (True, "2027-01-15T08:00:00Z")
    assert not world.active(token)
    assert shell.json("users", "enable", "ada")["disabled"] is False
    assert not world.active(token)


def test_roles_delete_takes_it_from_all(shell, world):
    token = world.access_token()
    assert shell.json("roles", "delete", "writer", "--yes") == {"name": "writer", "holders": 1}
    assert not world.active(token)


def test_resource_servers_regenerate_disable_enable(shell, world):
    token = world.access_token()
    made = shell.json("resource-servers", "regenerate", "api")
    assert set(made) == {"client_id", "client_secret"}
    assert world.introspect(token).status_code == 401
    world.api = (made["client_id"], made["client_secret"])
    assert world.active(token)
    assert shell.json("resource-servers", "disable", "api")["disabled"] is True
    assert world.introspect(token).status_code == 401
    assert shell.json("resource-servers", "enable", "https://api.example.com")["disabled"] is False
    assert world.active(token)


def test_the_life_of_a_key(shell, world):
    (first,) = shell.json("keys", "list")
    staged = shell.json("keys", "generate")
    assert (staged["alg"], staged["state"]) == ("ES256", "staged")
    token = world.access_token()
    early = shell("keys", "activate", staged["kid"])
    assert (early.code, staged["may_sign_from"] in early.err) == (4, True)
    assert shell.json("keys", "activate", staged["kid"], "--force", "--reason", "a test")["state"] == "active"
    assert '"reason":"a test"' in newest(world).detail
    assert shell.json("keys", "show", first["kid"])["state"] == "retired"
    assert world.active(token)
    world.clock.at += 13 * 3600
    assert shell.json("keys", "remove", first["kid"])["state"] == "removed"
    announced = shell.json("keys", "rotate")
    assert (announced["state"], announced["alg"]) == ("staged", "ES256")
    world.clock.at += 24 * 3600 - 1
    early = shell("keys", "rotate")
    assert (early.code, announced["may_sign_from"] in early.err, "--force --reason" in early.err) == (4, True, True)
    world.clock.at += 1
    rotated = shell.json("keys", "rotate")
    assert (rotated["state"], rotated["alg"], rotated["kid"]) == ("active", "ES256", announced["kid"])
    next_one = shell.json("keys", "generate")
    assert shell("keys", "retire", rotated["kid"]).code == 4
    assert shell.json("keys", "retire", rotated["kid"], "--force", "--reason", "a test")["state"] == "retired"
    assert shell.json("keys", "show", next_one["kid"])["state"] == "active"
    token = world.access_token()
    assert shell.json("keys", "compromise", next_one["kid"])["state"] == "compromised"
    assert not world.active(token)
    assert world.active(world.access_token())


@pytest.mark.parametrize("alg", ["RS256", "EdDSA"])
def test_another_algorithm_is_chosen_once_its_key_is_there(shell, world, alg):
    refused = shell("settings", "set", "token_alg", alg)
    assert refused.code == 4
    assert f"flask keys rotate --alg {alg}" in refused.err
    shell.json("keys", "rotate", "--alg", alg)
    assert shell.json("settings", "set", "token_alg", alg) == {"token_alg": alg}
    assert world.active(world.access_token())


def test_an_id_that_begins_with_a_dash_is_no_option(shell):
    said = shell("keys", "show", "-abcdefghijklmnopqrstuvwxyz_0123456789ABCDEFGH")
    assert said.code == 3
    assert shell("keys", "show", "-ab").code == 3
    assert shell("sessions", "end", "--bcdefghijklmnopqrstuv", "--json").error["error"] == "not_found"
    assert shell("keys", "show", "--jsn").code == 2


def test_sessions_are_listed_with_how_they_ended(shell, world):
    client_id = world.client[0]
    tokens = [world.access_token() for _ in range(3)]
    world.active(tokens[0])
    world.store.usage.flush()
    world.clock.at += 20 * 60
    world.active(tokens[0])
    world.store.usage.flush()
    world.clock.at += 15 * 60
    found = shell.json("sessions", "list", client_id)
    assert set(found[0]) == {
        *("jti", "client_id", "audience", "roles", "state", "issued_at", "last_used_at"),
        *("idle_ends_at", "expires_at", "ended_at", "end_reason"),
    }
    assert sorted((each["state"], each["end_reason"], each["ended_at"]) for each in found) == [
        ("ended", "idle", "2027-01-15T08:30:00Z"),
        ("ended", "idle", "2027-01-15T08:30:00Z"),
        ("live", None, None),
    ]
    (live,) = shell.json("sessions", "list", client_id, "--live")
    assert (live["last_used_at"], live["idle_ends_at"]) == ("2027-01-15T08:20:00Z", "2027-01-15T08:50:00Z")
    world.clock.at += 16 * 60
    assert shell.json("sessions", "list", client_id, "--live") == []  # looking at it was not use


def test_sessions_end_one_leaves_the_others(shell, world):
    client_id = world.client[0]
    doomed, other = world.access_token(), world.access_token()
    jti = world.introspect(doomed).json["jti"]
    world.active(other)
    world.store.usage.flush()
    ended = shell.json("sessions", "end", jti)
    assert ended == {"jti": jti, "ended_at": "2027-01-15T08:00:00Z", "end_reason": "ended_by_operator"}
    assert not world.active(doomed)
    assert world.active(other)
    assert shell("sessions", "end", jti).code == 3
    reasons = {each["jti"]: each["end_reason"] for each in shell.json("sessions", "list", client_id)}
    assert reasons[jti] == "ended_by_operator"


def test_sessions_end_all_also_ends_what_is_not_on_record_yet(shell, world):
    recorded = world.access_token()
    world.active(recorded)
    world.store.usage.flush()
    unrecorded = world.access_token()
    assert shell.json("sessions", "end-all", world.client[0]) == {"client_id": world.client[0], "ended": 1}
    assert not world.active(recorded)
    assert not world.active(unrecorded)
    assert world.active(world.access_token())


def test_a_restored_database_trusts_no_token(shell, world):
    token = world.access_token()
    first = shell.json("db", "restored", "--yes")["epoch"]
    assert first >= world.clock.at
    assert not world.active(token)
    assert shell.json("db", "restored", "--yes")["epoch"] > first
    assert world.active(world.access_token())


def test_audit_list_is_filtered_and_paged(shell, world):
    for role in ("reader", "writer"):
        shell("users", "create", f"user-{role}", "--role", role)
    everything = shell.json("audit", "list", "--limit", "1000")
    assert [each["seq"] for each in everything] == list(range(1, len(everything) + 1))
    assert shell.json("audit", "list", "--limit", "2") == everything[-2:]
    assert shell.json("audit", "list", "--after", "2", "--limit", "3") == everything[2:5]
    assert shell.json("audit", "list", "--after", str(len(everything))) == []
    created = shell.json("audit", "list", "--event", "user.created")
    assert [each["detail"]["username"] for each in created] == ["ada", "user-reader", "user-writer"]
    assert shell.json("audit", "list", "--event", "user.created", "--actor", "test") == created[:1]
    assert shell.json("audit", "list", "--target", world.client[0])[0]["event"] == "credential.created"


# --- one record a change, none without ------------------------------------------------------

CHANGES = (
    ("roles create new --kind operational", "role.created"),
    ("users create new --role reader", "user.created"),
    ("users revoke ada writer", "user.role_revoked"),
    ("users grant ada writer", "user.role_granted"),
    ("users disable ada", "user.disabled"),
    ("users enable ada", "user.enabled"),
    ("users password ada --password-stdin", "user.password_set"),
    ("users login-link ada", "console.link_made"),
    ("resource-servers create new --audience urn:example:new", "resource_server.created"),
    ("resource-servers register-api", "resource_server.created"),
    ("resource-servers regenerate api", "resource_server.regenerated"),
    ("resource-servers jwks-client new", "resource_server.jwks_client_named"),
    ("resource-servers disable new", "resource_server.disabled"),
    ("resource-servers enable new", "resource_server.enabled"),
    ("credentials create --owner ada --name new --expires-in 1d --role reader", "credential.created"),
    ("credentials edit CLIENT --name new", "credential.edited"),
    ("credentials regenerate CLIENT", "credential.regenerated"),
    ("credentials keys add CLIENT PUBLIC", "credential.key_added"),
    ("credentials trust CLIENT --issuer https://ci.example.com --subject a:b", "credential.trust_added"),
    ("credentials distrust CLIENT TRUST --yes", "credential.trust_removed"),
    ("credentials certificates add CLIENT --subject-dn CN=payroll,O=Acme", "credential.certificate_added"),
    ("credentials certificates remove CLIENT CERTIFICATE --yes", "credential.certificate_removed"),
    ("credentials keys publish CLIENT https://client.example.com/jwks", "credential.keys_published"),
    ("credentials keys publish CLIENT --none", "credential.keys_withdrawn"),
    ("credentials end-secrets CLIENT --yes", "credential.secrets_ended"),
    ("credentials keys remove CLIENT THUMBPRINT --yes", "credential.key_removed"),
    ("credentials restrict CLIENT --network 192.0.2.0/24 --max-lifetime 10m --bound", "credential.restricted"),
    ("credentials restrict CLIENT --max-sessions 5 --end-oldest --rate 60", "credential.restricted"),
    ("credentials restrict CLIENT --none", "credential.restricted"),
    ("resource-servers keys add api PUBLIC", "resource_server.key_added"),
    ("resource-servers keys remove api THUMBPRINT --yes", "resource_server.key_removed"),
    ("credentials disable CLIENT", "credential.disabled"),
    ("credentials enable CLIENT", "credential.enabled"),
    ("sessions end JTI", "session.ended"),
    ("sessions end-all CLIENT", "credential.sessions_ended"),
    ("credentials delete CLIENT --yes", "credential.deleted"),
    ("settings set idle_timeout_minutes 5", "settings.changed"),
    ("settings set default_audience https://api.example.com", "settings.changed"),
    ("keys generate", "key.generated"),
    ("keys activate STAGED --force --reason test", "key.activated"),
    ("keys compromise KID", "key.compromised"),
    ("keys rotate", "key.generated"),
    ("keys rotate --force --reason test", "key.rotated"),
    ("keys rotate --alg EdDSA", "key.rotated"),
    ("resource-servers edit new --alg EdDSA", "resource_server.edited"),
    ("resource-servers edit new --alg general", "resource_server.edited"),
    ("resource-servers edit new --token-typ JWT", "resource_server.edited"),
    ("keys retire EDDSA", "key.retired"),
    ("roles delete writer --yes", "role.deleted"),
    ("db restored --yes", "database.restored"),
)


def test_each_change_leaves_exactly_one_record(shell, world, tmp_path):
    (key,) = world.store.keys.ring()
    jti = world.introspect(world.access_token()).json["jti"]
    world.store.usage.flush()
    names = {"CLIENT": world.client[0], "KID": key.kid, "JTI": jti, "PUBLIC": str(tmp_path / "public.pem")}
    signer = Signer()
    (tmp_path / "public.pem").write_text(signer.pem)
    names["THUMBPRINT"] = signer.thumbprint
    for command, event in CHANGES:
        before = newest(world).seq
        said = shell(*(names.get(word, word) for word in command.split()), "--json", stdin=PASSWORD)
        assert said.code == 0, (command, said)
        record = newest(world)
        assert (record.seq, record.event) == (before + 1, event), command
        assert record.actor.startswith("cli:")
        if command.startswith("credentials trust"):
            names["TRUST"] = said.json["id"]
        if command.startswith("credentials certificates add"):
            names["CERTIFICATE"] = said.json["id"]
        if command.startswith("keys"):
            names["EDDSA" if said.json["alg"] == "EdDSA" else "STAGED"] = said.json["kid"]
    assert not world.accounts.audit_verify().fault


def test_the_table_of_changes_names_every_command_that_changes_something():
    looking = {"list", "show", "get", "verify", "current", "history", "check", "doctor"}
    looking |= {"identities", "readiness", "drill", "verify-report", "explain", "state", "by-secret", "shared-secrets"}
    looking |= {"export", "checkpoint", "checkpoints", "jwks", "holdings", "follow"}  # of the audit trail
    looking |= {"trusts", "try-federation"}
    looking |= {"events", "deliveries", "unused"}
    of_the_files = {"flask db upgrade", "flask db downgrade", "flask db backup"}  # the book is inside what they touch
    changing = {path for path, _ in commands() if path.split()[-1] not in looking} - of_the_files
    written = {path for path, _ in commands() if any(f"flask {each} ".startswith(f"{path} ") for each, _ in CHANGES)}
    # See the life of a key, and tests/keys/life: these have something to do only later.
    # And tests/console/test_single_sign_on.py, tests/events/test_mail.py.
    written |= {"flask users link-identity", "flask users unlink-identity", "flask users email"}
    written |= {"flask apply"}  # of many changes: tests/cli/test_state.py
    # And tests/events, which looks at the records of each.
    written |= {path for path, _ in commands() if path.startswith(("flask webhooks ", "flask leaks "))} & changing
    # And tests/oauth/shared_signals.
    written |= {path for path, _ in commands() if path.startswith("flask resource-servers streams ")} & changing
    assert changing == written | {"flask keys remove", "flask keys tick", "flask keys import", "flask keys reseal"}


REFUSED = [
    ("users", "grant", "ada", "reader"),
    ("users", "revoke", "ada", "nothing"),
    ("roles", "create", "reader", "--kind", "operational"),
    ("users", "create", "ADA", "--role", "reader"),
    ("users", "create", "eve", "--role", "builder"),
    ("credentials", "create", "--owner", "ada", "--name", "n", "--expires-in", "9999d", "--role", "reader"),
    ("settings", "set", "idle_timeout_minutes", "0"),
    ("settings", "set", "idle_timeout_minutes", "30"),
    ("sessions", "end", "nothing"),
    ("keys", "retire", "KID"),
]


def test_texts_name_options_that_there_are():
    """Also hints and errors, which the reference does not show."""
    own = {option for _, each in commands() for param in each.params for option in param.opts}
    known = own | {"--help", "--version", "--debug"}  # of Flask
    for path in sorted((ROOT / "authserver" / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", node.value))
                assert named <= known, (path.name, node.lineno, named - known)


def test_what_changes_nothing_leaves_no_record(shell, world):
    before = newest(world).seq
    kid = world.store.keys.ring()[0].kid
    for command in REFUSED:
        said = shell(*(kid if word == "KID" else word for word in command))
        assert said.code in {0, 3, 4, 6}, (command, said)
        assert newest(world).seq == before, command


# --- secrets -------------------------------------------------------------------------------


def test_secrets_are_shown_once_and_kept_nowhere(shell, world):
    made = [
        shell.json("resource-servers", "create", "x", "--audience", "urn:x")["client_secret"],
        shell.json("resource-servers", "regenerate", "x")["client_secret"],
        shell.json(
            *("credentials", "create", "--owner", "ada", "--name", "x", "--expires-in", "1d", "--role", "reader")
        )["client_secret"],
        shell.json("credentials", "regenerate", world.client[0])["client_secret"],
        PASSWORD,
    ]
    shell.json("users", "password", "ada", "--password-stdin", stdin=PASSWORD)
    later = [
        shell(*command, *flags)
        for command in (
            *(("users", "list"), ("resource-servers", "list"), ("credentials", "list"), ("settings", "list")),
            *(("audit", "list", "--limit", "1000"), ("keys", "list"), ("credentials", "show", world.client[0])),
            *(("users", "show", "ada"), ("resource-servers", "show", "x"), ("doctor",)),
        )
        for flags in ((), ("--json",))
    ]
    told = "".join(said.out + said.err for said in later)
    assert len(told) > 1000
    for secret in made:
        assert secret not in told


def test_people_are_told_that_a_secret_is_shown_once_and_machines_are_not(shell):
    said = shell("resource-servers", "create", "x", "--audience", "urn:x")
    assert "shown this once" in said.err
    assert SECRET.search(said.out)
    assert "shown this once" not in shell("resource-servers", "regenerate", "x", "--json").err
