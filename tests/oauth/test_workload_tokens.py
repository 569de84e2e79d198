"""Tokens of other issuers instead of a secret: workload identity federation at the token and revocation endpoints."""

import json

import pytest
from sqlalchemy import update

from authserver.actions import credentials, general_settings
from authserver.actions.client_authentication import trusts as client_trusts
from authserver.actions.preconditions import workload_token
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.client_authentication.trust import made_trust
from authserver.store.tables import secrets
from tests.support import issuers
from tests.support.assertions import Signer, form, token
from tests.support.issuers import GITHUB, GITLAB, KUBERNETES, SPIRE, Issuer, Web
from tests.support.wsgi_client import BACKENDS, Tick, noted, opened, parts

OURS = "http://127.0.0.1:8000"


class Sites:
    """The issuers of this file and the web they publish in."""

    def __init__(self):
        self.github = Issuer(GITHUB, header={"typ": "JWT", "x5t": "h-1"})
        self.kubernetes = Issuer(KUBERNETES, header={})
        self.gitlab = Issuer(GITLAB)
        self.spire = Issuer(SPIRE, "ES256")
        self.evil = Issuer("https://evil.example.com")
        self.web = Web(self.github, self.kubernetes, self.gitlab, self.spire, self.evil)
        self.tick = Tick()


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    for world in opened(request.param, tmp_path_factory.mktemp("workloads")):
        general_settings.set_general(world.accounts, "max_credentials_per_user", "1000", **world.who)
        yield world


@pytest.fixture
def sites(world):
    """Every issuer answers, and nothing is known of any yet."""
    sites = Sites()
    world.services.remote_keys.__init__(get=sites.web.get, clock=sites.tick)
    return sites


def trusting(world, issuer, *conditions, client_id=None, audience=OURS, **more):
    """A credential without a secret that trusts an issuer; its client id."""
    client_id = client_id or world.credential()[0]
    client_trusts.add(world.accounts, client_id, made_trust(issuer, audience, conditions, **more), **world.who)
    return client_id


def refused(world, text, reason, **more):
    with noted(world) as notes:
        answer = token(world, text, **more)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), answer.text
    assert answer.json["error_description"] == (
        "Unknown client, wrong secret, or the credential is disabled or expired."
    )
    assert notes[-1]["reason"] == reason, notes
    return answer


def granted(world, text, owner, **more):
    answer = token(world, text, **more)
    assert answer.status_code == 200, answer.text
    assert parts(answer.json["access_token"])[1]["client_id"] == owner
    assert world.active(answer.json["access_token"])
    return answer.json["access_token"]


class TestShapesOfPlatforms:
    def test_github_actions(self, world, sites):
        client_id = trusting(world, GITHUB, ("sub", "repo:octo-org/octo-repo:environment:prod"))
        text = sites.github.sign(issuers.github(world.clock.at, aud=OURS))
        granted(world, text, client_id, client_id=client_id)
        other = issuers.github(world.clock.at, aud=OURS, sub="repo:octo-org/octo-repo:ref:refs/heads/x")
        refused(world, sites.github.sign(other), "workload_condition", client_id=client_id)
        refused(world, sites.github.sign(issuers.github(world.clock.at)), "workload_audience", client_id=client_id)

    def test_github_by_other_claims(self, world, sites):
        client_id = trusting(
            world, GITHUB, ("repository_owner_id", "65"), ("repository", "octo-org/*"), ("ref", "refs/heads/**")
        )
        granted(world, sites.github.sign(issuers.github(world.clock.at, aud=OURS)), client_id, client_id=client_id)
        for changed in ({"repository_owner_id": "66"}, {"repository": "octo-org-evil/x"}, {"ref": "refs/tags/v1"}):
            text = sites.github.sign(issuers.github(world.clock.at, aud=OURS, **changed))
            refused(world, text, "workload_condition", client_id=client_id)

    def test_kubernetes_with_pasted_keys_needs_no_network(self, world, sites):
        client_id = trusting(
            world,
            KUBERNETES,
            ("sub", "system:serviceaccount:payroll:export"),
            ("/kubernetes.io/namespace", "payroll"),
            ("/kubernetes.io/serviceaccount/uid", "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"),
            jwks=json.dumps(sites.kubernetes.jwks),
        )
        text = sites.kubernetes.sign(issuers.kubernetes(world.clock.at, aud=[OURS]))
        granted(world, text, client_id, client_id=client_id)
        granted(world, text, client_id, client_id=client_id)  # a pod reads its token from a file, again and again
        assert sites.web.asked == []
        claims = issuers.kubernetes(world.clock.at, aud=[OURS])
        claims["kubernetes.io"]["serviceaccount"]["uid"] = "another"
        refused(world, sites.kubernetes.sign(claims), "workload_condition", client_id=client_id)

    def test_gitlab(self, world, sites):
        client_id = trusting(world, GITLAB, ("project_path", "my-group/my-project"), ("runner_id", "1"))
        granted(world, sites.gitlab.sign(issuers.gitlab(world.clock.at, aud=OURS)), client_id, client_id=client_id)
        text = sites.gitlab.sign(issuers.gitlab(world.clock.at, aud=OURS, runner_id=True))
        refused(world, text, "workload_condition", client_id=client_id)

    def test_spiffe_with_the_keys_of_a_bundle(self, world, sites):
        svid = {**sites.spire.signer.jwk, "kid": "k1", "use": "jwt-svid"}
        bundle = {"keys": [svid, {"use": "x509-svid", "kty": "EC"}]}
        client_id = trusting(world, SPIRE, ("sub", "spiffe://example.org/ns/payroll/sa/*"), jwks=json.dumps(bundle))
        granted(world, sites.spire.sign(issuers.spiffe(world.clock.at, aud=[OURS])), client_id, client_id=client_id)
        text = sites.spire.sign(issuers.spiffe(world.clock.at, aud=[OURS], sub="spiffe://evil.org/ns/payroll/sa/x"))
        refused(world, text, "workload_condition", client_id=client_id)


def github_client(world, **more):
    return trusting(world, GITHUB, ("sub", "repo:octo-org/octo-repo:environment:prod"), **more)


def good(world, sites, **changed):
    return sites.github.sign(issuers.github(world.clock.at, **{"aud": OURS, **changed}))


APART = {"repository_owner_id": "9"}
"""What no trust of other tests in this file admits."""


class TestAlone:
    def test_the_one_credential_that_it_matches(self, world, sites):
        client_id = trusting(world, GITHUB, ("sub", "repo:alone/one:environment:prod"))
        granted(world, good(world, sites, **APART, sub="repo:alone/one:environment:prod"), client_id)

    def test_two_credentials_are_one_too_many(self, world, sites):
        for _ in range(2):
            client_id = trusting(world, GITHUB, ("sub", "repo:alone/two:environment:prod"))
        text = good(world, sites, **APART, sub="repo:alone/two:environment:prod")
        refused(world, text, "unknown_client")
        granted(world, text, client_id, client_id=client_id)
        credentials.delete(world.accounts, client_id, **world.who)
        assert token(world, text).status_code == 200

    def test_with_too_many_trusts_the_client_must_say_who_it_is(self, world, sites, monkeypatch):
        client_id = trusting(world, GITHUB, ("sub", "repo:alone/many:environment:prod"))
        text = good(world, sites, **APART, sub="repo:alone/many:environment:prod")
        monkeypatch.setattr(workload_token, "MOST_ALONE", 0)
        refused(world, text, "unknown_client")
        granted(world, text, client_id, client_id=client_id)
        monkeypatch.undo()
        granted(world, text, client_id)

    def test_nobody(self, world, sites):
        refused(world, good(world, sites, **APART, sub="repo:alone/nobody:environment:prod"), "unknown_client")
        refused(world, sites.evil.sign(issuers.github(world.clock.at, iss=sites.evil.url)), "unknown_client")
        assert not [each for each in sites.web.asked if "evil" in each]

    def test_a_forged_token_chooses_and_gets_nothing(self, world, sites):
        trusting(world, GITHUB, ("sub", "repo:alone/forged:environment:prod"))
        claims = issuers.github(world.clock.at, aud=OURS, **APART, sub="repo:alone/forged:environment:prod")
        refused(world, sites.evil.sign(claims), "workload_signature")


class TestIssuerConfusion:
    def test_the_keys_of_one_issuer_do_not_sign_for_another(self, world, sites):
        client_id = github_client(world)
        trusting(world, sites.evil.url, ("sub", "somebody:else"), client_id=client_id)
        forged = sites.evil.sign(issuers.github(world.clock.at, aud=OURS))
        refused(world, forged, "workload_signature", client_id=client_id)
        claims = issuers.github(world.clock.at, aud=OURS, iss=sites.evil.url)
        refused(world, sites.evil.sign(claims), "workload_condition", client_id=client_id)

    def test_pasted_keys_of_one_credential_are_no_keys_of_another(self, world, sites):
        victim = github_client(world)
        attacker = github_client(world, jwks=json.dumps(sites.evil.jwks))
        forged = sites.evil.sign(issuers.github(world.clock.at, aud=OURS))
        granted(world, forged, attacker, client_id=attacker)
        refused(world, forged, "workload_signature", client_id=victim)

    @pytest.mark.parametrize(
        "issuer", [f"{GITHUB}/", GITHUB.upper(), f"{GITHUB}/x", "https://evil.example.com#", f"{GITHUB}\0"]
    )
    def test_another_spelling_is_another_issuer(self, world, sites, issuer):
        client_id = github_client(world)
        refused(world, good(world, sites, iss=issuer), "workload_issuer", client_id=client_id)

    def test_discovery_must_be_of_the_issuer_itself(self, world, sites):
        client_id = github_client(world)
        sites.github.metadata = {"issuer": "https://evil.example.com"}
        answer = token(world, good(world, sites), client_id=client_id)
        assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")

    def test_what_a_header_names_is_never_fetched(self, world, sites):
        client_id = github_client(world)
        jwk = sites.evil.signer.jwk
        for header in ({"jku": "https://evil.example.com/jwks"}, {"x5u": "https://evil.example.com/x"}, {"jwk": jwk}):
            text = sites.evil.sign(issuers.github(world.clock.at, aud=OURS), **header)
            refused(world, text, "malformed_assertion", client_id=client_id)
        assert not [each for each in sites.web.asked if "evil" in each]

    def test_the_token_of_a_workload_is_nothing_at_introspection(self, world, sites):
        text = good(world, sites)
        answer = world.post("/oauth/introspect", {"token": world.access_token(), **form(text, client_id=world.api[0])})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "https://other.example.com"}, "workload_audience"),
        ({"aud": [OURS, "https://other.example.com"]}, "workload_audience"),
        ({"aud": []}, "workload_audience"),
        ({"aud": None}, "workload_audience"),
        ({"aud": OURS + "/"}, "workload_audience"),
        ({"sub": "repo:octo-org/octo-repo:environment:prod "}, "workload_condition"),
        ({"sub": None}, "workload_condition"),
        ({"sub": ["repo:octo-org/octo-repo:environment:prod"]}, "workload_condition"),
        ({"exp": None}, "workload_expiry"),
        ({"exp": "1900000000"}, "workload_expiry"),
        ({"exp": -1}, "workload_expired"),
        ({"exp": 0}, "workload_expired"),
        ({"exp": 90_000}, "workload_too_long"),
        ({"nbf": 100}, "workload_from_the_future"),
        ({"iat": 100}, "workload_from_the_future"),
        ({"iat": "x"}, "workload_from_the_future"),
    ],
)
def test_what_a_token_must_say(world, sites, changed, reason):
    client_id = github_client(world)
    moved = {
        name: world.clock.at + value if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in changed.items()
    }
    refused(world, good(world, sites, **moved), reason, client_id=client_id)


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "client-authentication+jwt"])
def test_other_kinds_of_jwt_of_the_same_issuer(world, sites, typ):
    client_id = github_client(world)
    text = sites.github.sign(issuers.github(world.clock.at, aud=OURS), typ=typ)
    refused(world, text, "workload_type", client_id=client_id)


class TestAlgorithms:
    @pytest.mark.parametrize("alg", ["none", "HS256", "PS256", "ES256", "RS512", "rs256", ""])
    def test_T_001_another_than_the_keys(self, world, sites, alg):
        client_id = github_client(world)
        text = sites.github.sign(issuers.github(world.clock.at, aud=OURS), alg=alg)
        refused(world, text, "workload_signature", client_id=client_id)

    def test_T_003_the_public_key_as_a_shared_secret(self, world, sites):
        client_id = github_client(world)
        header, claims, _ = good(world, sites).split(".")
        refused(world, f"{header}.{claims}.{'A' * 43}", "workload_signature", client_id=client_id)

    @pytest.mark.parametrize("alg", ["ES256", "EdDSA", "PS256", "ML-DSA-44"])
    def test_every_algorithm_that_is_offered(self, world, sites, alg):
        sites.github.signer = Signer(alg)
        client_id = github_client(world)
        granted(world, good(world, sites), client_id, client_id=client_id)


class TestKeys:
    def test_they_are_fetched_once(self, world, sites):
        client_id = github_client(world)
        for _ in range(5):
            granted(world, good(world, sites), client_id, client_id=client_id)
        assert sites.web.asked == [f"{GITHUB}/.well-known/openid-configuration", f"{GITHUB}/jwks"]

    def test_T_139_a_flood_of_unknown_names_asks_once_in_30_seconds(self, world, sites):
        client_id = github_client(world)
        granted(world, good(world, sites), client_id, client_id=client_id)
        sites.tick.at += 40
        for number in range(20):
            text = sites.evil.sign(issuers.github(world.clock.at, aud=OURS), kid=f"x{number}")
            refused(world, text, "workload_signature", client_id=client_id)
        assert len(sites.web.asked) == 4
        granted(world, good(world, sites), client_id, client_id=client_id)

    def test_a_key_that_is_new_is_found(self, world, sites):
        client_id = github_client(world)
        granted(world, good(world, sites), client_id, client_id=client_id)
        sites.github.signer, sites.github.kid = Signer("RS256"), "k2"
        refused(world, good(world, sites), "workload_signature", client_id=client_id)
        sites.tick.at += 31
        granted(world, good(world, sites), client_id, client_id=client_id)

    def test_a_key_that_was_withdrawn_is_forgotten(self, world, sites):
        client_id = github_client(world)
        old = good(world, sites)
        granted(world, old, client_id, client_id=client_id)
        sites.github.signer = Signer("RS256")
        sites.tick.at += 901
        refused(world, old, "workload_signature", client_id=client_id)

    def test_the_last_good_keys_count_while_the_issuer_is_away_and_not_for_ever(self, world, sites):
        client_id = github_client(world)
        granted(world, good(world, sites), client_id, client_id=client_id)
        sites.web.down = {f"{GITHUB}/.well-known/openid-configuration"}
        sites.tick.at += 3600
        granted(world, good(world, sites), client_id, client_id=client_id)
        sites.web.down, sites.web.documents = set(), {f"{GITHUB}/jwks": b'{"keys": []}'}
        sites.tick.at += 3600
        granted(world, good(world, sites), client_id, client_id=client_id)
        sites.tick.at += 24 * 3600
        assert token(world, good(world, sites), client_id=client_id).status_code == 503

    def test_without_any_keys_it_cannot_be_told(self, world, sites):
        client_id = github_client(world)
        sites.web.down = {f"{GITHUB}/jwks"}
        for _ in range(3):
            answer = token(world, good(world, sites), client_id=client_id)
            assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
            assert answer.headers["Retry-After"]
        assert len(sites.web.asked) == 2  # an address that failed is left alone for a while
        world.store.usage.flush()
        assert world.store.credential_reads.refusals(client_id, 0)["keys_unavailable"] == 3
        sites.web.down, sites.tick.at = set(), sites.tick.at + 400
        granted(world, good(world, sites), client_id, client_id=client_id)

    def test_at_an_address_of_their_own(self, world, sites):
        client_id = github_client(world, jwks_uri="https://keys.example.com/all")
        sites.web.documents["https://keys.example.com/all"] = json.dumps(sites.github.jwks).encode()
        granted(world, good(world, sites), client_id, client_id=client_id)
        assert sites.web.asked == ["https://keys.example.com/all"]


class TestLife:
    def test_a_token_dies_with_its_trust(self, world, sites):
        client_id = github_client(world)
        issued = granted(world, good(world, sites), client_id, client_id=client_id)
        (trust,) = world.accounts.credential(client_id).trusts
        client_trusts.remove(world.accounts, client_id, trust.id, **world.who)
        assert not world.active(issued)
        refused(world, good(world, sites), "trust_ended", client_id=client_id)
        with pytest.raises(NotFound):
            client_trusts.remove(world.accounts, client_id, trust.id, **world.who)

    def test_a_new_trust_counts_beside_one_that_was_removed(self, world, sites):
        client_id = github_client(world)
        (old,) = world.accounts.credential(client_id).trusts
        client_trusts.remove(world.accounts, client_id, old.id, **world.who)
        github_client(world, client_id=client_id)
        granted(world, good(world, sites), client_id, client_id=client_id)

    def test_its_use_is_recorded_and_audited(self, world, sites):
        client_id = github_client(world)
        granted(world, good(world, sites), client_id, client_id=client_id)
        world.store.usage.flush()
        (trust,) = world.accounts.credential(client_id).trusts
        assert trust.last_used_at == world.clock.at
        (record,) = world.accounts.audit_newest(1)
        assert (record.event, record.target) == ("credential.trust_added", client_id)
        assert json.loads(record.detail)["claims"] == {"sub": "repo:octo-org/octo-repo:environment:prod"}

    @pytest.mark.parametrize("change", [credentials.disable, credentials.delete])
    def test_T_045_it_stops_with_the_credential(self, world, sites, change):
        client_id = github_client(world)
        issued = granted(world, good(world, sites), client_id, client_id=client_id)
        change(world.accounts, client_id, **world.who)
        assert token(world, good(world, sites), client_id=client_id).status_code == 401
        assert not world.active(issued)

    def test_a_new_secret_does_not_end_a_trust_and_all_secrets_may_end(self, world, sites):
        client_id = github_client(world)
        issued = granted(world, good(world, sites), client_id, client_id=client_id)
        credentials.regenerate(world.accounts, client_id, 0, pepper=world.store.pepper, **world.who)
        credentials.end_secrets(world.accounts, client_id, **world.who)
        assert world.active(issued)
        granted(world, good(world, sites), client_id, client_id=client_id)

    def test_it_satisfies_a_policy_without_secrets(self, world, sites):
        client_id = github_client(world)
        general_settings.set_general(world.accounts, "client_secrets_allowed", "0", **world.who)
        try:
            granted(world, good(world, sites), client_id, client_id=client_id)
        finally:
            general_settings.set_general(world.accounts, "client_secrets_allowed", "1", **world.who)

    def test_its_client_may_revoke_with_it(self, world, sites):
        client_id = github_client(world)
        issued = granted(world, good(world, sites), client_id, client_id=client_id)
        answer = world.post("/oauth/revoke", {"token": issued, **form(good(world, sites), client_id=client_id)})
        assert answer.status_code == 200
        assert not world.active(issued)


class TestReplay:
    def test_once_is_once(self, world, sites):
        client_id = github_client(world, once=True)
        text = good(world, sites)
        granted(world, text, client_id, client_id=client_id)
        refused(world, text, "workload_replayed", client_id=client_id)
        granted(world, good(world, sites), client_id, client_id=client_id)

    def test_a_forger_burns_no_id(self, world, sites):
        client_id = github_client(world, once=True)
        claims = issuers.github(world.clock.at, aud=OURS)
        refused(world, sites.evil.sign(claims), "workload_signature", client_id=client_id)
        granted(world, sites.github.sign(claims), client_id, client_id=client_id)

    def test_an_id_is_used_up_for_one_credential(self, world, sites):
        first, second = github_client(world, once=True), github_client(world, once=True)
        text = good(world, sites)
        granted(world, text, first, client_id=first)
        granted(world, text, second, client_id=second)

    @pytest.mark.parametrize("jti", [None, "", 5, ["x"], "x" * 256])
    def test_once_needs_an_id(self, world, sites, jti):
        client_id = github_client(world, once=True)
        refused(world, good(world, sites, jti=jti), "workload_id", client_id=client_id)


class TestTrial:
    def test_it_names_the_condition_that_fails(self, world, sites):
        client_id = github_client(world)
        (only,) = world.accounts.credential(client_id).trusts
        client_trusts.remove(world.accounts, client_id, only.id, **world.who)
        trusting(world, GITHUB, ("sub", "repo:octo-org/**"), ("ref", "refs/heads/dev"), client_id=client_id)
        (trial,) = client_trusts.try_token(
            world.accounts, client_id, good(world, sites), world.services.remote_keys, now=world.clock.at
        )
        assert not trial.passes
        (failed,) = [each for each in trial.checks if each.reason]
        assert (failed.name, failed.wanted, failed.found) == ("ref", "refs/heads/dev", "refs/heads/main")
        assert trial.checks[0].name == "signature"

    def test_it_uses_nothing_up(self, world, sites):
        client_id = github_client(world, once=True)
        text = good(world, sites)
        (trial,) = client_trusts.try_token(
            world.accounts, client_id, text, world.services.remote_keys, now=world.clock.at
        )
        assert trial.passes
        granted(world, text, client_id, client_id=client_id)

    def test_keys_that_cannot_be_fetched_are_named(self, world, sites):
        client_id = github_client(world)
        sites.web.down = {f"{GITHUB}/jwks"}
        (trial,) = client_trusts.try_token(
            world.accounts, client_id, good(world, sites), world.services.remote_keys, now=world.clock.at
        )
        assert (trial.checks[0].found, trial.checks[0].reason) == ("unreachable", "keys_unavailable")

    def test_what_is_no_token(self, world, sites):
        client_id = github_client(world)
        for text in ("", "x", "a.b.c", "\0"):
            with pytest.raises(Invalid):
                client_trusts.try_token(world.accounts, client_id, text, world.services.remote_keys, now=world.clock.at)
        with pytest.raises(NotFound):
            client_trusts.try_token(
                world.accounts, world.client[0], "a", world.services.remote_keys, now=world.clock.at
            )


class TestWhatMayBeTrusted:
    @pytest.mark.parametrize(
        ("issuer", "conditions"),
        [
            (GITHUB, []),
            (GITHUB, [("ref", "refs/heads/main")]),
            (GITHUB, [("sub", "**")]),
            (GITHUB, [("sub", "repo:*/octo-repo")]),
            (GITHUB, [("sub", "repo:**")]),
            (GITHUB, [("sub", "repo:acme*")]),
            (GITHUB, [("sub", "repo:acme/**:x:**")]),
            (GITHUB, [("repository", "*/octo-repo")]),
            (GITHUB, [("sub", "a:b"), ("sub", "c:d")]),
            (GITHUB, [("sub", "a:b"), ("aud", "x")]),
            (GITHUB, [("sub", "")]),
            (GITHUB, [("", "x")]),
            (GITHUB, [("sub", "a\nb")]),
            ("http://issuer.example.com", [("sub", "a")]),
            ("https://user@issuer.example.com", [("sub", "a")]),
            ("https://issuer.example.com?x", [("sub", "a")]),
            ("file:///etc/passwd", [("sub", "a")]),
            ("issuer", [("sub", "a")]),
            ("https://" + "x" * 255, [("sub", "a")]),
            ("https://other.example.com", [("repository", "octo-org/octo-repo")]),
        ],
    )
    def test_what_would_let_others_in_is_refused(self, issuer, conditions):
        with pytest.raises(ValueError, match=r"[a-z]{3}"):
            made_trust(issuer, OURS, conditions)

    def test_keys(self, world, sites):
        with pytest.raises(ValueError, match="not both"):
            made_trust(GITHUB, OURS, [("sub", "a")], jwks="{}", jwks_uri="https://x.example.com")
        with pytest.raises(ValueError, match="https"):
            made_trust(GITHUB, OURS, [("sub", "a")], jwks_uri="http://x.example.com")
        private = {"keys": [{**sites.github.signer.jwk, "kid": "a", "d": "AQAB"}, *sites.github.jwks["keys"]]}
        for jwks in ("{}", "[]", "x", '{"keys": []}', '{"keys": [{}]}', json.dumps(private), '{"keys":[],"keys":[]}'):
            with pytest.raises(Invalid):
                github_client(world, jwks=jwks)

    def test_twice_and_too_many(self, world, sites):
        client_id = github_client(world)
        with pytest.raises(Conflict):
            github_client(world, client_id=client_id)
        for number in range(client_trusts.MOST_TRUSTS - 1):
            trusting(world, GITHUB, ("sub", f"repo:octo-org/octo-repo:environment:{number}"), client_id=client_id)
        with pytest.raises(Conflict):
            trusting(world, GITHUB, ("sub", "repo:octo-org/octo-repo:environment:more"), client_id=client_id)


def test_INV_24_a_trust_of_a_newer_version_lets_nobody_in(world, sites):
    client_id = github_client(world)
    (trust,) = world.accounts.credential(client_id).trusts
    newer = json.dumps({**json.loads(trust.text), "countries": ["DE"]})
    with world.store.engine.connect().execution_options(write=True) as connection:
        connection.execute(update(secrets).where(secrets.c.id == trust.id).values(trust=newer))
        connection.commit()
    refused(world, good(world, sites), "workload_issuer", client_id=client_id)
