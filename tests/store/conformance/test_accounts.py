"""Users, roles and credentials."""

from dataclasses import replace

import pytest

from authserver.actions import credentials, general_settings
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.actions.preconditions import administrators
from authserver.audit import Event
from authserver.ports.errors import Conflict, NotFound
from authserver.ports.resource_servers import ResourceServer
from tests.store.conformance.support import PEPPER, WHO, api, at_once, change, credential, seed, winners
from tests.support.stores import DAY, NOW, Statements, kills


class TestUsers:
    def test_a_user_is_found_in_any_letter_case(self, store):
        seed(store)
        assert store.accounts.user("ADA") == store.accounts.user("ada")
        assert store.accounts.user("ada").role_names == ("builder", "reader", "writer")

    @pytest.mark.parametrize("name", ["nobody", "", "a\x00b", "\ud800", "x" * 1000])
    def test_what_is_not_there_is_not_found(self, store, name):
        seed(store)
        asks = [store.accounts.user, store.accounts.credential, store.keys.get]
        with change(store) as tx:
            asks += [tx.user, tx.role, tx.credential, tx.resource_server]
            for ask in asks:
                with pytest.raises(NotFound):
                    ask(name)

    def test_a_name_is_taken_once(self, nodes):
        seed(nodes[0])
        results = at_once(
            *(
                lambda s=s, n=n: user_actions.create_user(s.accounts, n, ["reader"], **WHO)
                for s in nodes
                for n in ("eve", "EVE")
            )
        )
        assert winners(results) == 1
        assert [user.username.lower() for user in nodes[0].accounts.users()] == ["ada", "bob", "eve"]

    def test_a_taken_name_is_a_conflict(self, store):
        seed(store)
        with pytest.raises(Conflict):
            user_actions.create_user(store.accounts, "ADA", ["reader"], **WHO)
        with pytest.raises(Conflict):
            role_actions.create_role(store.accounts, "reader", "builder", (), **WHO)

    def test_each_change_of_roles_raises_the_version_by_one_and_is_noted(self, store):
        seed(store)
        ada = store.accounts.user("ada")
        assert user_actions.revoke(store.accounts, "ada", "writer", **WHO) == 2
        assert user_actions.grant(store.accounts, "ada", "writer", **WHO) == 3
        assert user_actions.disable(store.accounts, "ada", **WHO) == 4
        assert user_actions.enable(store.accounts, "ada", **WHO) == 5
        assert kills(store) == [("role_version", ada.id, version) for version in (2, 3, 4, 5)]
        assert store.accounts.user("ada") == replace(ada, role_version=5)

    def test_of_two_equal_grants_one_wins(self, nodes):
        seed(nodes[0])
        results = at_once(*(lambda s=s: user_actions.grant(s.accounts, "bob", "writer", **WHO) for s in nodes * 2))
        assert winners(results) == 1
        assert nodes[0].accounts.user("bob").role_version == 2

    def test_T_133_deleting_a_role_raises_every_holders_version(self, store):
        seed(store)
        user_actions.create_user(store.accounts, "eve", ["writer"], **WHO)
        role_actions.create_role(store.accounts, "spare", "operational", (), **WHO)
        for name in ("ada", "bob"):
            user_actions.grant(store.accounts, name, "spare", **WHO)
        holders = [store.accounts.user(name).id for name in ("ada", "bob")]
        assert role_actions.delete_role(store.accounts, "reader", **WHO) == 2
        assert sorted(kills(store)) == sorted(("role_version", each, version) for each in holders for version in (2, 3))
        assert [user.role_version for user in store.accounts.users()] == [3, 3, 1]
        assert [role.name for role in store.accounts.roles()] == ["builder", "spare", "writer"]
        role_actions.create_role(store.accounts, "reader", "operational", (), **WHO)
        assert store.accounts.user("bob").role_names == ("spare",)

    def test_nobody_is_left_without_an_operational_role(self, store):
        seed(store)
        user_actions.disable(store.accounts, "bob", **WHO)
        before = store.accounts.users()
        with pytest.raises(role_actions.LastOperationalRole, match="bob would be left without an operational role"):
            role_actions.delete_role(store.accounts, "reader", **WHO)
        assert store.accounts.users() == before
        for number in range(9):
            user_actions.create_user(store.accounts, f"user{number}", ["reader", "writer"][: 1 + number % 2], **WHO)
        with pytest.raises(role_actions.LastOperationalRole, match="bob, user0, user2, user4, user6 and 1 more would"):
            role_actions.delete_role(store.accounts, "reader", **WHO)
        role_actions.delete_role(store.accounts, "builder", **WHO)

    def test_who_is_able_may_enter_holds_the_permission_and_is_enabled(self, store):
        seed(store)
        role_actions.create_role(store.accounts, "door", "builder", (), **WHO)
        role_actions.create_role(store.accounts, "power", "operational", ("users:manage", "other"), **WHO)
        for name, roles in (("in", ["reader", "door", "power"]), ("out", ["power"]), ("weak", ["reader", "door"])):
            user_actions.create_user(store.accounts, name, roles, **WHO)
        who = {name: store.accounts.user(name).id for name in ("in", "out", "weak")}
        with store.accounts.change(Event("test.asked", "test", "-"), NOW) as tx:
            assert tx.users_with_permission("users:manage") == {who["in"]}
            assert tx.users_with_permission("users") == tx.users_with_permission("nothing") == frozenset()
            tx.switch_user(tx.user("in"), NOW, NOW)
            assert tx.users_with_permission("users:manage") == frozenset()

    def test_of_administrators_who_rob_each_other_at_once_one_is_left(self, nodes):
        seed(nodes[0])
        role_actions.create_role(nodes[0].accounts, "power", "builder", ("users:manage",), **WHO)
        names = [f"admin{number}" for number in range(4)]
        for name in names:
            user_actions.create_user(nodes[0].accounts, name, ["reader", "power"], **WHO)
        acts = [
            lambda name=name, node=node: user_actions.disable(node.accounts, name, keep_administrator=True, **WHO)
            for name, node in zip(names, nodes * 2, strict=False)
        ]
        assert winners(at_once(*acts)) == 3
        left = [user for user in nodes[0].accounts.users() if user.username in names and user.disabled_at is None]
        assert len(left) == 1
        for act in (
            lambda: user_actions.disable(nodes[0].accounts, left[0].username, keep_administrator=True, **WHO),
            lambda: user_actions.revoke(nodes[0].accounts, left[0].username, "power", keep_administrator=True, **WHO),
            lambda: role_actions.delete_role(nodes[0].accounts, "power", keep_administrator=True, **WHO),
        ):
            with pytest.raises(administrators.LastAdministrator):
                act()

    def test_lists_take_a_fixed_number_of_statements(self, database):
        store = database.open()
        seed(store)
        counts = []
        for _ in range(2):
            seen = Statements(store.engine)
            assert store.accounts.users()
            store.accounts.credentials()
            counts.append(len(seen.texts))
            for number in range(3):
                user_actions.create_user(store.accounts, f"user{len(counts)}{number}", ["reader"], **WHO)
                credential(store)
        assert counts[0] == counts[1]

    def test_resource_servers_are_found_by_name_id_or_audience_and_taken_once(self, store):
        made = api(store)
        assert store.accounts.resource_servers() == (made,)
        with change(store) as tx:
            assert [tx.resource_server(each) for each in (made.name, made.client_id, made.audience)] == [made] * 3
            tx.update_resource_server(made.id, disabled_at=NOW)
        assert store.accounts.resource_servers()[0].disabled_at == NOW
        for name, audience in (("api", "https://other.example.com"), ("other", made.audience)):
            with pytest.raises(Conflict), change(store) as tx:
                tx.insert_resource_server(ResourceServer("rs_2", "c2", name, audience, None, NOW, None), b"h", "acv_1")


class TestCredentials:
    def test_one_that_is_not_yours_looks_like_none(self, store):
        seed(store)
        made = credential(store)
        ada, bob = store.accounts.user("ada").id, store.accounts.user("bob").id
        assert store.accounts.credential(made.client_id, ada).name == "bot"
        for owner, client_id in ((bob, made.client_id), (bob, "unknown"), (None, "unknown")):
            with pytest.raises(NotFound):
                store.accounts.credential(client_id, owner)
        assert store.accounts.credentials(bob) == ()

    def test_lists_are_whole_and_the_newest_comes_first(self, store):
        seed(store)
        older, newer = credential(store), credential(store, "bob", ("reader",), NOW + 1)
        listed = store.accounts.credentials()
        assert [each.client_id for each in listed] == [newer.client_id, older.client_id]
        assert listed[1] == store.accounts.credential(older.client_id)
        assert listed[1].roles == ("reader", "writer")
        assert len(listed[1].secrets) == 1

    def test_a_deleted_one_is_gone_and_its_secrets_with_it(self, store):
        seed(store)
        made = credential(store)
        credentials.delete(store.accounts, made.client_id, **WHO)
        assert store.accounts.credentials() == ()
        facts = store.hot_path.issue_facts(made.client_id, None)
        assert facts is None or (facts.credential_deleted and all(each.ends_at == NOW for each in facts.secrets))
        assert [kind for kind, subject, _ in kills(store) if subject == made.client_id] == ["secret", "credential"]

    def test_at_most_two_secrets_live_and_none_is_given_more_time(self, store):
        seed(store)
        made = credential(store)
        for number, overlap in enumerate((3600, 7 * DAY, 3600), start=1):
            credentials.regenerate(
                store.accounts, made.client_id, overlap, pepper=PEPPER, actor="test", now=NOW + number
            )
        ends = [each.ends_at for each in store.accounts.credential(made.client_id).secrets]
        assert ends == [None, NOW + 3 + 3600, NOW + 3, NOW + 2]
        credentials.regenerate(store.accounts, made.client_id, 0, pepper=PEPPER, actor="test", now=NOW + 9)
        ends = [each.ends_at for each in store.accounts.credential(made.client_id).secrets]
        assert ends == [None, NOW + 9, NOW + 9, NOW + 3, NOW + 2]

    def test_regenerated_at_once_two_live_at_most(self, nodes):
        seed(nodes[0])
        made = credential(nodes[0])

        def again(store):
            return credentials.regenerate(store.accounts, made.client_id, 3600, pepper=PEPPER, **WHO)

        assert winners(at_once(*(lambda s=s: again(s) for s in nodes * 2))) == 4
        ends = [each.ends_at for each in nodes[0].accounts.credential(made.client_id).secrets]
        assert sorted(each or 0 for each in ends) == [0, NOW, NOW, NOW, NOW + 3600]

    def test_what_moves_the_end_of_a_token_is_listed_and_what_does_not_is_not(self, store):
        seed(store)
        made = credential(store)
        for days, name in ((80, None), (85, None), (None, "other")):
            at = None if days is None else NOW + days * DAY
            credentials.edit(store.accounts, made.client_id, name=name, expires_at=at, **WHO)
        general_settings.set_general(store.accounts, "idle_timeout_minutes", "15", **WHO)
        general_settings.set_general(store.accounts, "max_credential_days", "30", **WHO)
        assert kills(store) == [
            ("credential_expiry", made.client_id, NOW + 80 * DAY),
            ("credential_expiry", made.client_id, NOW + 85 * DAY),
            ("settings", "idle_timeout_minutes", 15),
        ]
