"""What token requests and introspections read."""

import threading

import pytest

from authserver.actions import general_settings
from authserver.actions import users as user_actions
from authserver.ports.hot_path import TokenKeys
from authserver.rules.facts import Reason
from keys.material import make
from tests.store.conformance.support import WHO, api, at_once, change, credential, made_secret, seed
from tests.support.stores import MASTER, NOW, start


class TestHotReads:
    def test_an_unknown_client_has_no_facts(self, store):
        assert store.hot_path.issue_facts("nobody", None) is None

    def test_the_facts_of_a_token_request(self, store):
        seed(store)
        server = api(store)
        store.keys.ensure_active(make("ES256", MASTER), "test", NOW)
        made = credential(store)
        user_actions.revoke(store.accounts, "ada", "writer", **WHO)
        facts = store.hot_path.issue_facts(made.client_id, None)
        assert (facts.now, facts.owner_id, facts.role_version) == (NOW, made.owner_id, 2)
        assert (facts.chosen, facts.held) == ({"reader", "writer"}, {"reader", "builder"})
        assert (facts.audience, facts.token_alg, facts.active_kid) == (
            server.audience,
            "ES256",
            store.keys.ring()[0].kid,
        )
        assert [secret.ends_at for secret in facts.secrets] == [None]
        assert (facts.max_lifetime, facts.idle_timeout, facts.epoch) == (720 * 60, 30 * 60, 1)

    @pytest.mark.parametrize(
        "resource", ["https://nobody.example.com", "\x00", "https://api.example.com\x00", "\ud800"]
    )
    def test_an_audience_nobody_has_is_no_audience(self, store, resource):
        seed(store)
        api(store)
        assert store.hot_path.issue_facts(credential(store).client_id, resource).audience is None

    def test_which_audience_a_token_is_for(self, store):
        seed(store)
        client_id = credential(store).client_id
        assert store.hot_path.issue_facts(client_id, None).audience is None
        first = api(store)
        assert store.hot_path.issue_facts(client_id, None).audience == first.audience
        second = api(store, "second")
        assert store.hot_path.issue_facts(client_id, None).audience is None
        assert store.hot_path.issue_facts(client_id, second.audience).audience == second.audience
        general_settings.set_general(store.accounts, "default_audience", first.audience, **WHO)
        assert store.hot_path.issue_facts(client_id, None).audience == first.audience
        with change(store) as tx:
            tx.update_resource_server(first.id, disabled_at=NOW)
        assert store.hot_path.issue_facts(client_id, None).audience is None

    def test_the_facts_of_an_introspection(self, store):
        seed(store)
        server, made, key = api(store), credential(store), make("ES256", MASTER)
        store.keys.ensure_active(key, "test", NOW)
        session = start(made.client_id, secret_id=made_secret(store, made), kid=key.kid)
        keys = TokenKeys(session.jti, made.client_id, session.secret_id, key.kid)
        facts = store.hot_path.introspection_facts(server.client_id, keys)
        assert (facts.caller.id, facts.caller.audience, facts.caller.disabled) == (server.id, server.audience, False)
        assert facts.standing.key_usable
        assert facts.standing.credential_expires_at == made.expires_at
        assert facts.recorded is None
        store.sessions.end(session, Reason.REVOKED, NOW)
        assert store.hot_path.introspection_facts(server.client_id, keys).recorded.ended is Reason.REVOKED
        stranger = store.hot_path.introspection_facts("nobody", None)
        assert (stranger.caller, stranger.standing, stranger.recorded) == (None, None, None)
        foreign = store.hot_path.introspection_facts(server.client_id, keys._replace(secret_id="sec_of_another"))
        assert foreign.standing is None

    def test_roles_and_their_version_are_of_one_instant(self, nodes):
        """INV-02: an even version always comes without the role, an odd one with it."""
        seed(nodes[0])
        client_id, stop, seen = credential(nodes[0]).client_id, threading.Event(), set()

        def flip():
            for _ in range(25):
                user_actions.revoke(nodes[0].accounts, "ada", "writer", **WHO)
                user_actions.grant(nodes[0].accounts, "ada", "writer", **WHO)
            stop.set()

        def look():
            while not stop.is_set():
                facts = nodes[1].hot_path.issue_facts(client_id, None)
                seen.add((facts.role_version % 2, "writer" in facts.held))
            nodes[1].thread_connections.drop()

        assert at_once(flip, look) == [None, None]
        assert seen == {(1, True), (0, False)}

    def test_an_end_a_newer_version_wrote_is_an_end(self, database):
        """INV-24: two adjacent versions run side by side."""
        store = database.open()
        seed(store)
        server, session = api(store), start()
        store.sessions.end(session, Reason.REVOKED, NOW)
        database.execute("UPDATE sessions SET end_reason = 'not_known_yet'")
        keys = TokenKeys(session.jti, "c1", "s1", "k1")
        assert store.hot_path.introspection_facts(server.client_id, keys).recorded.ended is not None
