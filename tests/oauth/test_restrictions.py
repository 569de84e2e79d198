"""What a credential is held to beside its roles: where from, for whom, how long, how many, how often, and a key."""

import ipaddress
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr
from werkzeug.test import Client

from app import create_app
from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.oauth.proxies.peer import ProxyTrust
from authserver.ports.errors import Conflict, Invalid
from authserver.rules.client_authentication.restrictions import NONE, Restrictions, restrictions, restrictions_of
from tests.support.assertions import Signer, assertion, form, proof, registered
from tests.support.wsgi_client import BACKENDS, basic, noted, opened, parts

API, OTHER = "https://api.example.com", "https://other.example.com"


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    for world in opened(request.param, tmp_path_factory.mktemp("restrictions")):
        general_settings.set_general(world.accounts, "max_credentials_per_user", "1000", **world.who)
        resource_server_actions.register_resource_server(
            world.accounts, "other", OTHER, pepper=world.store.pepper, **world.who
        )
        role_actions.create_role(world.accounts, "spare", "operational", (), **world.who)
        yield world


@pytest.fixture
def client(world):
    return world.credential()


def restrict(world, client, *networks, **more):
    credentials.restrict(world.accounts, client[0], restrictions(networks, **more), **world.who)


def asked(world, client, peer="127.0.0.1", headers=(), **more):
    return world.http.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", **more},
        headers=[("Authorization", basic(*client)), *headers],
        environ_overrides={"REMOTE_ADDR": peer, "wsgi.url_scheme": "https"},
    )


def at_once(world, client):
    """The answers to eight token requests at the same moment, at two nodes over one database."""
    config = Config(database_url=world.url, master_key=SecretStr("A" * 43), issuer=world.services.issuer)
    services = create_app(config, clock=world.clock, background=False).extensions["services"]
    try:
        nodes = [world.http, Client(services.wsgi())] * 4
        body, headers = {"grant_type": "client_credentials"}, {"Authorization": basic(*client)}
        with ThreadPoolExecutor(len(nodes)) as pool:
            return list(pool.map(lambda node: node.post("/oauth/token", data=body, headers=headers), nodes))
    finally:
        services.close()


class TestNetworks:
    @pytest.mark.parametrize(
        ("peer", "admitted"),
        [
            ("192.0.2.1", True),
            ("192.0.2.255", True),
            ("192.0.3.1", False),
            ("2001:db8::1", True),
            ("2001:DB8:0:0::1", True),
            ("2001:db9::1", False),
            ("::ffff:192.0.2.7", True),
            ("::ffff:c000:207", True),
            ("::ffff:198.51.100.1", False),
            ("127.0.0.1", False),
            ("::1", False),
            ("", False),
            ("unix:", False),
            ("192.0.2.1.evil", False),
        ],
    )
    def test_requests_come_from_there_only(self, world, client, peer, admitted):
        restrict(world, client, "192.0.2.0/24", "2001:db8::/32")
        with noted(world) as notes:
            answer = asked(world, client, peer)
        assert answer.status_code == (200 if admitted else 401), answer.text
        if not admitted:
            assert answer.json["error"] == "invalid_client"
            assert answer.json["error_description"].startswith("Unknown client, wrong secret")
            assert notes[-1]["reason"] == "network_not_allowed"
        world.store.usage.flush()
        assert ("network_not_allowed" in world.store.credential_reads.refusals(client[0], 0)) is not admitted

    def test_T_151_a_header_counts_only_from_a_trusted_proxy(self, world, client):
        restrict(world, client, "192.0.2.0/24")
        told = [("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-Proto", "https"), ("X-Real-Ip", "192.0.2.9")]
        told.append(("Forwarded", "for=192.0.2.9"))
        assert asked(world, client, "203.0.113.9", told).status_code == 401
        dispatcher = world.http.application
        before = dispatcher._transport
        dispatcher._transport = ProxyTrust([ipaddress.ip_network("203.0.113.0/24")])
        try:
            assert asked(world, client, "203.0.113.9", told).status_code == 200
            assert asked(world, client, "203.0.113.9", [("X-Forwarded-Proto", "https")]).status_code == 401
            elsewhere = [("X-Forwarded-For", "192.0.2.9, 198.51.100.7"), ("X-Forwarded-Proto", "https")]
            assert asked(world, client, "203.0.113.9", elsewhere).status_code == 401
        finally:
            dispatcher._transport = before

    def test_it_holds_for_keys_and_uses_no_assertion_up(self, world, client):
        signer = Signer()
        registered(world, client[0], signer)
        restrict(world, client, "192.0.2.0/24")
        body = {"grant_type": "client_credentials", **form(assertion(world, client[0], signer))}
        codes = [
            world.http.post(
                "/oauth/token", data=body, environ_overrides={"REMOTE_ADDR": peer, "wsgi.url_scheme": "https"}
            ).status_code
            for peer in ("198.51.100.1", "192.0.2.1", "192.0.2.1")
        ]
        assert codes == [401, 200, 401]

    def test_it_holds_for_revocation(self, world, client):
        text = asked(world, client).json["access_token"]
        restrict(world, client, "192.0.2.0/24")
        headers = {"Authorization": basic(*client)}
        for peer, code in (("198.51.100.1", 401), ("192.0.2.1", 200)):
            extra = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "https"}
            answer = world.http.post("/oauth/revoke", data={"token": text}, headers=headers, environ_overrides=extra)
            assert answer.status_code == code


class TestResourceServers:
    def test_a_token_is_for_the_chosen_ones(self, world, client):
        restrict(world, client, audiences=[OTHER])
        assert parts(asked(world, client, resource=OTHER).json["access_token"])[1]["aud"] == OTHER
        for more in ({"resource": API}, {}):
            answer = asked(world, client, **more)
            assert (answer.status_code, answer.json["error"]) == (400, "invalid_target")
        assert "its owner chose" in answer.json["error_description"]

    def test_only_registered_ones_can_be_chosen(self, world, client):
        with pytest.raises(Invalid, match="no resource server"):
            restrict(world, client, audiences=["https://nobody.example.com"])


class TestLifetime:
    @pytest.mark.parametrize("seconds", [60, 600])
    def test_tokens_end_sooner(self, world, client, seconds):
        restrict(world, client, lifetime=seconds)
        answer = asked(world, client)
        claims = parts(answer.json["access_token"])[1]
        assert (answer.json["expires_in"], claims["exp"] - claims["iat"]) == (seconds, seconds)

    def test_it_never_makes_them_longer(self, world, client):
        restrict(world, client, lifetime=24 * 3600)
        assert asked(world, client).json["expires_in"] == 720 * 60


class TestBound:
    def test_P_07_without_a_proof_there_is_no_token(self, world, client):
        restrict(world, client, bound=True)
        answer = asked(world, client)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")
        assert "send a DPoP proof" in answer.json["error_description"]
        answer = asked(world, client, headers=[("DPoP", proof(world, Signer()))])
        assert (answer.status_code, answer.json["token_type"]) == (200, "DPoP"), answer.text

    def test_P_07_whoever_is_not_the_client_learns_nothing_of_it(self, world, client):
        restrict(world, client, bound=True)
        answer = asked(world, (client[0], world.credential()[1]))
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


class TestSessions:
    def test_one_more_is_refused_until_one_has_ended(self, world, client):
        restrict(world, client, sessions=2)
        first, second = (asked(world, client).json["access_token"] for _ in range(2))
        with noted(world) as notes:
            answer = asked(world, client)
        assert (answer.status_code, answer.json["error"]) == (429, "temporarily_unavailable")
        assert (notes[-1]["outcome"], notes[-1]["reason"]) == ("throttled", "sessions_full")
        assert int(answer.headers["Retry-After"]) == 30 * 60  # the idle timeout: nobody has used one yet
        assert world.active(first)
        assert world.active(second)
        revoked = {"Authorization": basic(*client)}
        assert world.http.post("/oauth/revoke", data={"token": first}, headers=revoked).status_code == 200
        assert world.active(asked(world, client).json["access_token"])
        assert asked(world, client).status_code == 429
        world.store.usage.flush()
        assert world.store.credential_reads.refusals(client[0], 0)["sessions_full"] == 2

    def test_the_oldest_makes_way_where_it_may(self, world, client):
        restrict(world, client, sessions=2, end_oldest=True)
        issued = [asked(world, client).json["access_token"]]
        for _ in range(3):
            world.clock.at += 1
            issued.append(asked(world, client).json["access_token"])
        assert [world.active(each) for each in issued] == [False, False, True, True]
        ended = world.store.sessions.find(parts(issued[0])[1]["jti"])
        assert (ended.end_reason, ended.ended_at) == ("session_limit", world.clock.at - 1)
        world.store.usage.flush()
        assert [world.active(each) for each in issued] == [False, False, True, True]

    @pytest.mark.parametrize("end", ["idle", "expiry", "roles"])
    def test_dead_sessions_take_no_place(self, world, client, end):
        restrict(world, client, sessions=1, lifetime=60 if end == "expiry" else 0)
        asked(world, client)
        assert asked(world, client).status_code == 429
        if end == "roles":
            for change in (user_actions.grant, user_actions.revoke):
                change(world.accounts, "ada", "spare", **world.who)
        else:
            world.clock.at += 60 if end == "expiry" else 30 * 60 + 2
        assert asked(world, client).status_code == 200

    def test_no_two_requests_take_the_same_place(self, world, client):
        restrict(world, client, sessions=3)
        assert sorted(each.status_code for each in at_once(world, client)) == [200] * 3 + [429] * 5

    def test_of_many_at_once_as_many_live_as_may(self, world, client):
        restrict(world, client, sessions=3, end_oldest=True)
        issued = [each.json["access_token"] for each in at_once(world, client)]
        assert sum(world.active(each) for each in issued) == 3


class TestRate:
    def test_more_are_refused_with_when_to_ask_again(self, world, client):
        restrict(world, client, rate=3)
        assert [asked(world, client).status_code for _ in range(4)] == [200, 200, 200, 429]
        with noted(world) as notes:
            answer = asked(world, client)
        assert (answer.json["error"], answer.headers["Retry-After"]) == ("temporarily_unavailable", "20")
        assert (notes[-1]["outcome"], notes[-1]["reason"]) == ("throttled", "rate_limited")
        world.clock.at += 19
        assert asked(world, client).headers["Retry-After"] == "1"
        world.clock.at += 1
        assert [asked(world, client).status_code for _ in range(2)] == [200, 429]
        world.clock.at += 60
        assert [asked(world, client).status_code for _ in range(4)] == [200, 200, 200, 429]

    def test_it_holds_on_all_nodes_together(self, world, client):
        restrict(world, client, rate=3)
        assert sorted(each.status_code for each in at_once(world, client)) == [200] * 3 + [429] * 5

    def test_nobody_else_can_use_it_up(self, world, client):
        restrict(world, client, rate=1)
        for _ in range(3):
            assert asked(world, (client[0], world.credential()[1])).status_code == 401
        assert asked(world, client).status_code == 200

    def test_a_request_that_gets_nothing_counts_too(self, world, client):
        restrict(world, client, rate=1)
        assert asked(world, client, scope="nothing").json["error"] == "invalid_scope"
        assert asked(world, client).status_code == 429

    def test_a_clock_that_was_set_back_locks_nobody_out(self, world, client):
        restrict(world, client, rate=1)
        assert asked(world, client).status_code == 200
        world.clock.at -= 3600
        try:
            assert asked(world, client).status_code == 200
        finally:
            world.clock.at += 3600


class TestChange:
    def test_it_ends_the_tokens_from_before_and_is_audited(self, world, client):
        text = asked(world, client).json["access_token"]
        assert world.active(text)
        restrict(world, client, "192.0.2.0/24", lifetime=600)
        assert not world.active(text)
        record = world.accounts.audit_newest(1)[0]
        assert (record.event, record.target) == ("credential.restricted", client[0])
        assert "192.0.2.0/24" in record.detail
        with pytest.raises(Conflict, match="already"):
            restrict(world, client, "192.0.2.0/24", lifetime=600)
        credentials.restrict(world.accounts, client[0], NONE, **world.who)
        assert world.accounts.credential(client[0]).restrictions is None
        assert asked(world, client).status_code == 200
        assert not world.active(text)

    def test_what_a_newer_version_wrote_is_not_passed_over(self, world, client):
        for text in ('{"moon":"full"}', '{"networks":["x"]}', "[]", "x"):
            with world.accounts.change(_event(client[0]), world.clock.at) as tx:
                tx.update_credential(client[0], restrictions=text)
            assert asked(world, client).status_code == 503, text


def _event(target):
    from authserver.audit import Event

    return Event("test", "test", target)


class TestRules:
    @pytest.mark.parametrize(
        "wanted",
        [
            NONE,
            restrictions(["10.0.0.0/8", "::1/128", "10.0.0.0/8"]),
            restrictions(audiences=[API, OTHER], lifetime=60, bound=True),
            restrictions(sessions=1000, end_oldest=True, rate=6000),
        ],
    )
    def test_they_are_read_as_they_were_written(self, wanted):
        assert restrictions_of(wanted.text) == wanted

    @pytest.mark.parametrize(
        "network", ["", "x", "192.0.2.1/24", "192.0.2.0/33", "192.0.2", "::/129", "0x7f.1", "1.2.3.4/0.0.0.255.1"]
    )
    def test_what_is_no_network(self, network):
        with pytest.raises(ValueError, match="a network is written as"):
            restrictions([network])

    def test_what_else_cannot_be(self):
        with pytest.raises(ValueError, match="1 minute to 24 hours"):
            restrictions(lifetime=59)
        with pytest.raises(ValueError, match="at most"):
            restrictions([f"10.0.{number}.0/24" for number in range(51)])
        with pytest.raises(ValueError, match="audience"):
            restrictions(audiences=["not a uri"])
        for wrong in ({"sessions": 1001}, {"sessions": -1}, {"rate": 6001}, {"rate": -1}):
            with pytest.raises(ValueError, match="1 to 1000 live sessions"):
                restrictions(**wrong)
        with pytest.raises(ValueError, match="how many sessions"):
            restrictions(end_oldest=True)

    def test_an_address_of_its_own(self):
        assert Restrictions((ipaddress.ip_network("192.0.2.1/32"),)).admits("192.0.2.1")
        assert restrictions(["192.0.2.1"]).admits("192.0.2.1")
        assert NONE.admits("anything")
