"""Which ways to get a token are allowed: in general, for one API, for one credential; the strictest holds."""

import pytest

from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.ports.errors import Conflict, Invalid
from tests.support.assertions import Signer, assertion, form, proof, registered
from tests.support.wsgi_client import BACKENDS, basic, opened

OTHER = "https://other.example.com"


@pytest.fixture(params=BACKENDS)
def world(request, tmp_path):
    for world in opened(request.param, tmp_path):
        resource_server_actions.register_resource_server(
            world.accounts, "other", OTHER, pepper=world.store.pepper, **world.who
        )
        yield world


@pytest.fixture
def signer(world):
    made = Signer()
    registered(world, world.client[0], made)
    return made


def by_secret(world, client=None, **more):
    headers = {"Authorization": basic(*(client or world.client))}
    if more.pop("bound", False):
        headers["DPoP"] = proof(world, Signer())
    return world.http.post("/oauth/token", data={"grant_type": "client_credentials", **more}, headers=headers)


def by_key(world, signer, **more):
    headers = {"DPoP": proof(world, Signer())} if more.pop("bound", False) else {}
    body = {"grant_type": "client_credentials", **form(assertion(world, world.client[0], signer)), **more}
    return world.http.post("/oauth/token", data=body, headers=headers)


def told(answer):
    return answer.status_code, answer.json.get("error")


GRANTED, NO_SECRET, NO_PROOF = (200, None), (400, "unauthorized_client"), (400, "invalid_dpop_proof")


def test_everything_is_allowed_until_somebody_says_otherwise(world, signer):
    assert [told(by_secret(world)), told(by_key(world, signer))] == [GRANTED, GRANTED]


def test_no_secrets_at_all(world, signer):
    before = world.access_token()
    general_settings.set_general(world.accounts, "client_secrets_allowed", "0", **world.who)
    assert told(by_secret(world)) == NO_SECRET
    assert "authenticate by a key" in by_secret(world).json["error_description"]
    assert told(by_secret(world, bound=True)) == NO_SECRET
    assert told(by_key(world, signer)) == GRANTED
    assert world.active(before), "it lives on to its end"
    world.store.usage.flush()
    assert world.store.credential_reads.refusals(world.client[0], 0)["unauthorized_client"] == 3
    general_settings.set_general(world.accounts, "client_secrets_allowed", "1", **world.who)
    assert told(by_secret(world)) == GRANTED


def test_a_wrong_secret_learns_nothing_of_the_policy(world, signer):
    general_settings.set_general(world.accounts, "client_secrets_allowed", "0", **world.who)
    assert told(by_secret(world, (world.client[0], world.credential()[1]))) == (401, "invalid_client")


def test_bound_tokens_only(world, signer):
    general_settings.set_general(world.accounts, "bound_tokens_required", "1", **world.who)
    assert [told(by_secret(world)), told(by_key(world, signer))] == [NO_PROOF, NO_PROOF]
    assert [told(by_secret(world, bound=True)), told(by_key(world, signer, bound=True))] == [GRANTED, GRANTED]


@pytest.mark.parametrize(
    ("requirements", "secret", "secret_bound", "key"),
    [
        (["key"], NO_SECRET, NO_SECRET, GRANTED),
        (["bound"], NO_PROOF, GRANTED, NO_PROOF),
        (["bound", "key"], NO_SECRET, NO_SECRET, NO_PROOF),
    ],
    ids=str,
)
def test_for_one_api_alone(world, signer, *, requirements, secret, secret_bound, key):
    resource_server_actions.require_of_tokens(world.accounts, "other", requirements, **world.who)
    assert told(by_secret(world, resource=OTHER)) == secret
    assert told(by_secret(world, resource=OTHER, bound=True)) == secret_bound
    assert told(by_key(world, signer, resource=OTHER)) == key
    assert told(by_key(world, signer, resource=OTHER, bound=True)) == GRANTED
    assert told(by_secret(world)) == GRANTED
    resource_server_actions.require_of_tokens(world.accounts, "other", [], **world.who)
    assert told(by_secret(world, resource=OTHER)) == GRANTED


def test_what_cannot_be_required(world):
    with pytest.raises(Invalid, match="a requirement is one of key, bound"):
        resource_server_actions.require_of_tokens(world.accounts, "other", ["moon"], **world.who)
    with pytest.raises(Conflict, match="already"):
        resource_server_actions.require_of_tokens(world.accounts, "other", [], **world.who)
    with pytest.raises(Invalid):
        general_settings.set_general(world.accounts, "client_secrets_allowed", "2", **world.who)


def test_the_report_counts_by_owner_and_by_api(world, signer):
    """``signer`` gave the first credential a key beside its secret; two others have one of these alone."""
    from tests.support.shell import Shell

    only_with_secret = world.credential()
    by_key_alone = world.credential()
    registered(world, by_key_alone[0], Signer())
    credentials.end_secrets(world.accounts, by_key_alone[0], **world.who)
    credentials.disable(world.accounts, world.credential()[0], **world.who)
    for client in (world.client, only_with_secret):
        assert world.active(world.access_token(client))
    world.introspect(by_secret(world, resource=OTHER).json["access_token"])  # refused: of another API, no use
    assert world.active(by_key(world, signer).json["access_token"])
    world.store.usage.flush()
    found = Shell(world.app).json("credentials", "shared-secrets")
    assert found == {
        "credentials": 3,
        "with_secret": 2,
        "only_secret": 1,
        "owners": [{"owner": "ada", "credentials": 2, "only_secret": 1}],
        "apis": [{"name": "api", "audience": "https://api.example.com", "credentials": 2}],
    }
    words = Shell(world.app)("credentials", "shared-secrets", "--limit", "1").out
    assert "only secret" in words
    assert "https://api.example.com" in words


def test_the_report_names_who_would_stop_first(world, signer):
    from tests.support.shell import Shell

    shell = Shell(world.app)
    only_with_secret, _ = world.credential()
    documents = shell.json("credentials", "by-secret")
    assert [(each["client_id"], each["has_key"]) for each in documents] == [
        (only_with_secret, False),
        (world.client[0], True),
    ]
    assert shell("resource-servers", "edit", "other", "--require", "key+bound").code == 0
    assert shell.json("resource-servers", "show", "other")["requires"] == ["key", "bound"]
