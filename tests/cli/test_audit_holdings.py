"""Who held what, rebuilt from an export alone, is what the database said at that instant."""

import json
import random
from contextlib import suppress

import pytest

from authserver.actions import client_keys, credentials, resource_servers, roles, sessions, signing_keys, users
from authserver.actions.client_authentication import trusts
from authserver.audit import Event
from authserver.audit_export.holdings import document, rebuild
from authserver.audit_export.lines import lines, read
from authserver.ports.errors import Invalid, Refusal
from authserver.rules.client_authentication.trust import Trust
from authserver.rules.facts import Reason
from keys.public_keys import registered
from tests.conftest import World
from tests.support import stores
from tests.support.assertions import Signer
from tests.support.shell import Shell

STEPS = 250


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(stores.migrated_url("sqlite", tmp_path_factory.mktemp("holdings")))
    yield world
    world.services.close()


def told_by_database(world):
    """What the database says now, in the words of ``holdings.document``."""
    at, accounts = world.clock.at, world.accounts

    def proofs(records, names):
        return sorted(
            (name, each.created_at, each.ends_at, each.ends_at is None or at < each.ends_at)
            for name, each in zip(names, records, strict=True)
        )

    return {
        "roles": sorted((each.id, each.name, each.kind, sorted(each.permissions)) for each in accounts.roles()),
        "users": sorted(
            (each.id, each.username, sorted(each.role_names), each.role_version, each.disabled_at is not None)
            for each in accounts.users()
        ),
        "credentials": sorted(
            (
                *(each.client_id, each.owner, each.name, sorted(each.roles), each.expires_at, each.created_at),
                *(each.disabled_at is not None, each.restrictions or None, at >= each.expires_at),
                proofs(each.secrets, [secret.id for secret in each.secrets]),
                proofs(each.keys, [registered(key.public_jwk).thumbprint for key in each.keys]),
                proofs(each.trusts, [trust.id for trust in each.trusts]),
                proofs(each.certificates, [condition.id for condition in each.certificates]),
            )
            for each in accounts.credentials()
        ),
        "resource_servers": sorted(
            (
                *(each.id, each.name, each.audience, each.disabled_at is not None),
                proofs(keys, [registered(key.public_jwk).thumbprint for key in keys]),
            )
            for each in accounts.resource_servers()
            for keys in [accounts.server_keys(each.client_id)]
        ),
        "signing_keys": sorted((each.kid, each.alg, each.state.value) for each in world.store.keys.ring()),
    }


def told_by_export(found):
    """A document of ``holdings`` in the same form."""

    def proofs(each):
        return sorted((one["id"], one["created_at"], one["ends_at"], one["works"]) for one in each)

    return {
        "roles": sorted(
            (each["id"], each["name"], each["kind"], sorted(each["permissions"])) for each in found["roles"]
        ),
        "users": sorted(
            tuple(each[name] for name in ("id", "username", "roles", "role_version", "disabled"))
            for each in found["users"]
        ),
        "credentials": sorted(
            (
                *(each[name] for name in ("client_id", "owner", "name", "roles", "expires_at", "created_at")),
                *(each["disabled"], each["restrictions"] or None, each["expired"]),
                *(proofs(each[kind]) for kind in ("secrets", "keys", "trusts", "certificates")),
            )
            for each in found["credentials"]
        ),
        "resource_servers": sorted(
            (each["id"], each["name"], each["audience"], each["disabled"], proofs(each["keys"]))
            for each in found["resource_servers"]
        ),
        "signing_keys": sorted((each["kid"], each["alg"], each["state"]) for each in found["signing_keys"]),
    }


def steps(world, chosen):
    """Changes that may be refused, in any order, on what there is."""
    accounts, who = world.accounts, world.who
    client = chosen.choice([each.client_id for each in accounts.credentials()] or ["none"])
    user = chosen.choice([each.username for each in accounts.users()])
    role = chosen.choice([each.name for each in accounts.roles()])
    server = chosen.choice([each.name for each in accounts.resource_servers()])
    number = chosen.randrange(6)
    pepper = world.store.pepper
    key = chosen.choice(SIGNERS).pem
    kids = [each.kid for each in world.store.keys.ring()]
    context = signing_keys.key_context(accounts, world.store.keys, world.services.key_store, world.store.jwks_fetchers)
    thumbprints = [
        registered(each.public_jwk).thumbprint
        for one in accounts.credentials()
        for each in one.keys
        if not each.ends_at
    ] or ["none"]
    of_credentials = [each.id for one in accounts.credentials() for each in one.trusts if not each.ends_at] or ["none"]
    of_server = [registered(each.public_jwk).thumbprint for each in accounts.server_keys(server)] or ["none"]
    yield lambda: roles.create_role(accounts, f"role{number}", chosen.choice(["operational", "builder"]), ["p"], **who)
    yield lambda: roles.delete_role(accounts, f"role{number}", **who)
    yield lambda: users.create_user(accounts, f"user{number}", ["reader", role], **who)
    yield lambda: users.grant(accounts, user, role, **who)
    yield lambda: users.grant(accounts, user, role, **who)
    yield lambda: users.revoke(accounts, user, role, **who)
    yield lambda: users.disable(accounts, user, **who)
    yield lambda: users.enable(accounts, user, **who)
    yield lambda: credentials.create(
        accounts, user, f"bot {number}", world.clock.at + 40 * (1 + number), ["reader", role], pepper=pepper, **who
    )
    yield lambda: credentials.edit(accounts, client, name=f"other {number}", expires_at=world.clock.at + 9, **who)
    yield lambda: credentials.regenerate(accounts, client, chosen.choice([0, 3600]), pepper=pepper, **who)
    yield lambda: credentials.regenerate(accounts, client, 3600, pepper=pepper, **who)
    yield lambda: credentials.move_old_secret(accounts, client, 0, **who)
    yield lambda: credentials.end_secrets(accounts, client, **who)
    yield lambda: credentials.disable(accounts, client, **who)
    yield lambda: credentials.enable(accounts, client, **who)
    yield lambda: credentials.delete(accounts, client, **who)
    yield lambda: client_keys.add(accounts, client, key, **who)
    yield lambda: client_keys.remove(accounts, client, chosen.choice(thumbprints), **who)
    yield lambda: credentials.create(
        accounts, user, "without", world.clock.at + 900, ["reader"], pepper=pepper, has_secret=False, **who
    )
    yield lambda: trusts.add(accounts, client, Trust(f"https://idp{number}.example", "urn:a", (("sub", "x"),)), **who)
    yield lambda: trusts.remove(accounts, client, chosen.choice(of_credentials), **who)
    yield lambda: sessions.end_all(accounts, client, Reason.REVOKED, **who)
    yield lambda: resource_servers.register_resource_server(
        accounts, f"api {number}", f"urn:{number}", pepper=pepper, **who
    )
    yield lambda: resource_servers.disable_resource_server(accounts, server, **who)
    yield lambda: resource_servers.enable_resource_server(accounts, server, **who)
    yield lambda: client_keys.add_to_server(accounts, server, key, **who)
    yield lambda: client_keys.remove_from_server(accounts, server, chosen.choice(of_server), **who)
    yield lambda: signing_keys.generate(context, "ES256", **who)
    yield lambda: signing_keys.rotate(context, "ES256", reason="drill", **who)
    yield lambda: signing_keys.retire(context, chosen.choice(kids), reason="drill", **who)
    yield lambda: signing_keys.compromise(context, chosen.choice(kids), reason="drill", **who)


SIGNERS = [Signer() for _ in range(3)]


def test_at_every_instant_it_is_what_the_database_said(world):
    chosen, told, done = random.Random(13), {}, 0
    for _ in range(STEPS):
        world.clock.at += chosen.choice([1, 1, 1, 60])
        with suppress(Refusal):
            chosen.choice(list(steps(world, chosen)))()
            done += 1
        if chosen.random() < 0.1:
            told[world.clock.at] = told_by_database(world)
    told[world.clock.at] = told_by_database(world)
    assert done > STEPS // 3
    export = list(lines(world.accounts.audit_records()))
    for at, expected in told.items():
        assert told_by_export(document(rebuild(read(export), at), at)) == expected
    events = {json.loads(line)["event"] for line in export}
    assert len(events) > 20, events


@pytest.fixture
def apart(tmp_path):
    """A world whose records may say what its database does not."""
    world = World(stores.migrated_url("sqlite", tmp_path))
    yield world
    world.services.close()


def test_a_leak_ends_the_secret_and_an_address_of_keys_comes_and_goes(apart):
    world, accounts, client_id = apart, apart.accounts, apart.client[0]
    (secret,) = accounts.credential(client_id).secrets
    told = []
    for name, detail in (
        ("credential.keys_published", {"jwks_uri": "https://client.example/jwks"}),
        ("credential.leak_reported", {"secret": secret.id, "ended": True}),
        ("credential.keys_withdrawn", {}),
    ):
        world.clock.at += 1
        with accounts.change(Event(name, "test", client_id, detail), world.clock.at):
            pass
        found = document(rebuild(accounts.audit_records(), world.clock.at), world.clock.at)
        mine = next(each for each in found["credentials"] if each["client_id"] == client_id)
        told.append((mine["jwks_uri"], mine["secrets"][0]["works"]))
    assert told == [("https://client.example/jwks", True), ("https://client.example/jwks", False), (None, False)]


def test_the_command_needs_the_file_alone(world, tmp_path):
    shell = Shell(world.app)
    file = tmp_path / "audit.csv"
    shell.json("audit", "export", "--format", "csv", "--output", file)
    assert told_by_export(shell.json("audit", "holdings", file, "--at", "2030-01-01T00:00:00Z"))["users"]
    assert "ada" in shell("audit", "holdings", file).out
    before_all = shell.json("audit", "holdings", file, "--at", "2020-01-01T00:00:00Z")
    assert (before_all["records"], before_all["users"]) == (0, [])


def test_a_part_or_a_gap_is_refused(world):
    export = list(lines(world.accounts.audit_records()))
    for part in (export[1:], export[:3] + export[4:]):
        with pytest.raises(Invalid, match="missing"):
            rebuild(read(part))
    with pytest.raises(Invalid, match="record 1 "):
        rebuild(read([export[0].replace(b'"event":"key.activated"', b'"event":"user.disabled"')]))
