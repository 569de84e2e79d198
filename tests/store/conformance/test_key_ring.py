"""The signing keys and their states."""

import pytest

from authserver.actions import general_settings
from authserver.ports.errors import Conflict, NotFound, Unavailable
from keys.keyring import State
from keys.rotation import SKEW
from tests.store.conformance.support import WHO, api, at_once, change, credential, key, seed, winners
from tests.support.stores import NOW, kills


def states(store):
    return {key.kid: str(key.state) for key in store.keys.ring()}


class TestSigningKeys:
    def test_the_first_key_is_made_once(self, database):
        nodes = [database.open() for _ in range(8)]
        made = at_once(*(lambda s=s: s.keys.ensure_active(key(), "system", NOW) for s in nodes))
        assert sorted(made) == [False] * 7 + [True]
        assert [str(each.state) for each in nodes[0].keys.ring()] == ["active"]
        assert [record.event for record in nodes[0].accounts.audit_records()] == ["key.activated"]

    def test_with_a_key_nothing_is_made_and_nothing_written(self, store):
        first, second, other = key(), key(), key("EdDSA")
        assert store.keys.ensure_active(first, "system", NOW)
        assert not store.keys.ensure_active(second, "system", NOW)
        assert store.keys.ensure_active(other, "system", NOW)
        assert states(store) == {first.kid: "active", other.kid: "active"}
        assert len(list(store.accounts.audit_records())) == 2

    def test_the_life_of_a_key(self, store):
        old, new = key(), key()
        store.keys.ensure_active(old, "test", NOW)
        assert store.keys.add(new, "test", NOW + 1).state is State.STAGED
        store.keys.activate(new.kid, "test", NOW + 2)
        assert states(store) == {old.kid: "retired", new.kid: "active"}
        assert [each.kid for each in store.keys.ring()] == [old.kid, new.kid]
        assert (store.keys.get(old.kid).retired_at, store.keys.get(new.kid).activated_at) == (NOW + 2, NOW + 2)

    def test_a_key_is_found_by_a_start_that_fits_only_one(self, store):
        made = key()
        store.keys.add(made, "test", NOW)
        assert store.keys.get(made.kid[:10]).kid == made.kid
        for wrong in ("", "?", made.kid + "x"):
            with pytest.raises(NotFound):
                store.keys.get(wrong)

    @pytest.mark.parametrize("verb", ["activate", "retire", "remove", "compromise"])
    def test_an_unknown_key_is_not_found_and_an_illegal_move_is_a_conflict(self, store, verb):
        more = (None,) if verb == "compromise" else ()
        with pytest.raises(NotFound):
            getattr(store.keys, verb)("unknown", "test", NOW, *more)
        made = key()
        store.keys.add(made, "test", NOW)
        store.keys.compromise(made.kid, "test", NOW, None)
        with pytest.raises(Conflict):
            getattr(store.keys, verb)(made.kid, "test", NOW, *more)
        assert len(list(store.accounts.audit_records())) == 2

    def test_the_same_key_twice_is_a_conflict(self, store):
        made = key()
        store.keys.add(made, "test", NOW)
        with pytest.raises(Conflict):
            store.keys.add(made, "test", NOW)

    def test_an_algorithm_in_use_is_never_left_without_a_key(self, store):
        used, unused = key(), key("EdDSA")
        store.keys.ensure_active(used, "test", NOW)
        store.keys.ensure_active(unused, "test", NOW)
        with pytest.raises(Conflict):
            store.keys.retire(used.kid, "test", NOW)
        with pytest.raises(Conflict):
            store.keys.compromise(used.kid, "test", NOW, None)
        with pytest.raises(Conflict):
            store.keys.compromise(used.kid, "test", NOW, key("EdDSA"))
        store.keys.retire(unused.kid, "test", NOW)
        assert states(store) == {used.kid: "active", unused.kid: "retired"}
        staged = key()
        store.keys.add(staged, "test", NOW)
        store.keys.retire(used.kid, "test", NOW)
        assert states(store)[staged.kid] == "active"

    def test_an_algorithm_one_api_asks_for_is_in_use(self, store):
        mine = key("EdDSA")
        store.keys.ensure_active(key(), "test", NOW)
        store.keys.ensure_active(mine, "test", NOW)
        server = api(store, token_alg="EdDSA")
        with pytest.raises(Conflict):
            store.keys.retire(mine.kid, "test", NOW)
        with change(store) as tx:
            tx.update_resource_server(server.id, disabled_at=NOW)
        store.keys.retire(mine.kid, "test", NOW)

    def test_a_compromised_key_is_replaced_in_the_same_breath(self, store):
        first, staged, spare = key(), key(), key()
        store.keys.ensure_active(first, "test", NOW)
        store.keys.add(staged, "test", NOW + 1)
        store.keys.compromise(first.kid, "test", NOW + 2, spare)
        assert states(store) == {first.kid: "compromised", staged.kid: "active"}
        store.keys.compromise(staged.kid, "test", NOW + 3, spare)
        assert states(store)[spare.kid] == "active"
        assert kills(store) == [("key", first.kid, 0), ("key", staged.kid, 0)]

    def test_a_staged_or_retired_key_may_be_compromised_without_a_turn(self, store):
        old, active, staged = key(), key(), key()
        store.keys.ensure_active(old, "test", NOW)
        store.keys.rotate("ES256", active, "test", NOW)
        store.keys.add(staged, "test", NOW)
        store.keys.compromise(staged.kid, "test", NOW, key())
        store.keys.compromise(old.kid, "test", NOW, key())
        assert states(store) == {old.kid: "compromised", active.kid: "active", staged.kid: "compromised"}

    def test_rotation_prefers_the_oldest_staged_key(self, store):
        first, older, newer, spare = key(), key(), key(), key()
        store.keys.ensure_active(first, "test", NOW)
        store.keys.add(older, "test", NOW + 1)
        store.keys.add(newer, "test", NOW + 2)
        turns = [store.keys.rotate("ES256", spare, "test", NOW + 3 + each) for each in range(3)]
        assert turns == [older.kid, newer.kid, spare.kid]
        assert list(states(store).values()).count("active") == 1

    def test_a_key_stays_published_while_a_token_it_signed_may_live(self, store):
        """INV-14; also when the maximum lifetime was longer once."""
        old = key()
        store.keys.ensure_active(old, "test", NOW)
        general_settings.set_general(store.accounts, "max_token_lifetime_minutes", "1000", **WHO)
        general_settings.set_general(store.accounts, "max_token_lifetime_minutes", "10", **WHO)
        store.keys.rotate("ES256", key(), "test", NOW + 5)
        general_settings.set_general(store.accounts, "max_token_lifetime_minutes", "2000", **WHO)
        with pytest.raises(Conflict):
            store.keys.remove(old.kid, "test", NOW + 5 + 60_000 + SKEW - 1)
        store.keys.remove(old.kid, "test", NOW + 5 + 60_000 + SKEW)
        assert states(store)[old.kid] == "removed"

    def test_of_two_equal_activations_one_wins(self, nodes):
        staged = key()
        nodes[0].keys.ensure_active(key(), "test", NOW)
        nodes[0].keys.add(staged, "test", NOW)
        results = at_once(*(lambda s=s: s.keys.activate(staged.kid, "test", NOW) for s in nodes * 2))
        assert winners(results) == 1
        assert sorted(states(nodes[1]).values()) == ["active", "retired"]

    def test_after_any_race_one_key_signs(self, nodes):
        """INV-13, INV-16."""
        first, staged = key(), key()
        nodes[0].keys.ensure_active(first, "test", NOW)
        nodes[0].keys.add(staged, "test", NOW)
        one, other = nodes[0].keys, nodes[1].keys
        results = at_once(
            lambda: one.rotate("ES256", key(), "test", NOW),
            lambda: other.activate(staged.kid, "test", NOW),
            lambda: one.compromise(first.kid, "test", NOW, key()),
            lambda: other.retire(first.kid, "test", NOW),
            lambda: other.rotate("ES256", key(), "test", NOW),
        )
        assert winners(results) >= 3
        assert list(states(nodes[1]).values()).count("active") == 1
        assert states(nodes[0])[first.kid] == "compromised"

    def test_the_database_itself_refuses_a_second_active_key(self, database):
        store = database.open()
        store.keys.ensure_active(key(), "test", NOW)
        store.keys.add(key(), "test", NOW)
        with pytest.raises(Exception, match=r"(?i)unique"):
            database.execute("UPDATE signing_keys SET state = 'active'")

    def test_the_private_part_ends_with_the_turn(self, nodes):
        """INV-17; and a node that had it in memory is told another kid by every fact it reads."""
        seed(nodes[0])
        api(nodes[0])
        first, second = key(), key()
        nodes[0].keys.ensure_active(first, "test", NOW)
        client_id = credential(nodes[0]).client_id
        alg, sign = nodes[1].keys.signer(first.kid)
        assert alg == "ES256"
        assert len(sign(b"data")) == 64
        nodes[0].keys.rotate("ES256", second, "test", NOW)
        with pytest.raises(Unavailable):
            nodes[0].keys.signer(first.kid)
        assert nodes[1].hot_path.issue_facts(client_id, None).active_kid == second.kid
        assert set(nodes[1].keys.public()) == {first.kid, second.kid}
        assert set(nodes[1].keys.public(first.kid)) == {first.kid}
