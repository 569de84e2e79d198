"""What a change would end, counted as the rules judge."""

import random

import pytest

from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import users as user_actions
from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.ports.errors import NotFound
from tests.store.console_reads.support import API, PEPPER, WHO, issue, look, make
from tests.support.stores import DAY, NOW


def test_live_tokens_are_counted_as_the_rules_judge_them(store, database, seeded):
    for each in seeded:
        assert store.credential_reads.live_tokens(each.client_id, NOW) == len(look(store, each.client_id))
    assert [store.credential_reads.live_tokens(each.client_id, NOW) for each in seeded] == [3, 2, 4]
    for at in (NOW + 1799, NOW + 1800):
        database.clock.at = at
        assert store.credential_reads.live_tokens(seeded[0].client_id, at) == len(look(store, seeded[0].client_id))


def test_live_tokens_by_key_and_audience_and_what_other_settings_would_end(store, database, seeded):
    alive = sum(len(look(store, each.client_id)) for each in seeded)
    reads = store.token_reads
    assert reads.by_audience(NOW) == {}
    for name, audience in (("api", API), ("quiet", f"{API}/quiet")):
        resource_server_actions.register_resource_server(store.accounts, name, audience, pepper=PEPPER, **WHO)
    assert sum(reads.by_key(NOW).values()) == reads.all(NOW) == alive == 9
    assert reads.by_audience(NOW) == {API: alive, f"{API}/quiet": 0}
    assert reads.by_audience(NOW, API) == {API: alive}
    for key in store.keys.ring():
        assert reads.by_key(NOW, key.kid) == {key.kid: alive}
    assert reads.ended_by(NOW) == reads.ended_by(NOW, idle_timeout_minutes=1) == 0
    database.clock.at = later = NOW + 600
    for name, low, high in (("idle_timeout_minutes", 10, 11), ("max_token_lifetime_minutes", 10, 11)):
        assert (reads.ended_by(later, **{name: low}), reads.ended_by(later, **{name: high})) == (alive, 0)
    database.clock.at = later = later + 2
    for value in ("10", "60"):
        general_settings.set_general(store.accounts, "idle_timeout_minutes", value, actor="test", now=later)
    # Only who was issued later, seen from the beginning, lives on: a timeout of the past has killed the others.
    left = sum(len(look(store, each.client_id)) for each in seeded)
    assert left < alive
    assert sum(reads.by_key(later).values()) == left


def test_counts_of_live_tokens_stop_where_a_page_says_so_many_or_more(store, seeded, monkeypatch):
    resource_server_actions.register_resource_server(store.accounts, "api", API, pepper=PEPPER, **WHO)
    for file in ("ports.console_reads.users", "store.tokens.reads", "store.user_reads"):
        monkeypatch.setattr(f"authserver.{file}.MAX_COUNTED", 4)
    reads = store.token_reads
    assert reads.all(NOW) == reads.by_audience(NOW)[API] == reads.ended_by(NOW + 600, idle_timeout_minutes=1) == 4
    assert list(reads.by_key(NOW).values()) == [4]
    preview = store.user_reads.preview_delete_role("reader", NOW)
    assert (preview.live_tokens, preview.at_least) == (4, True)
    assert sum(loss.live_tokens for loss in preview.losses) == 4
    assert preview.credentials == len(preview.losses) == 3
    assert not store.user_reads.preview_revoke("bob", "reader", NOW - DAY).at_least


def test_a_preview_names_who_loses_what_and_counts_the_tokens(store, seeded):
    both, one, _ = seeded
    preview = store.user_reads.preview_revoke("ADA", "writer", NOW)
    assert [(loss.name, loss.lost, loss.left, loss.live_tokens) for loss in preview.losses] == [
        ("both", ("writer",), ("reader",), 3),
        ("one", (), ("reader",), 2),
    ]
    assert (preview.credentials, preview.live_tokens, preview.users) == (2, 5, 1)
    off = store.user_reads.preview_disable("ada", NOW)
    assert [(loss.client_id, loss.lost, loss.left) for loss in off.losses] == [
        (both.client_id, ("reader", "writer"), ()),
        (one.client_id, ("reader",), ()),
    ]
    gone = store.user_reads.preview_delete_role("reader", NOW)
    assert (gone.credentials, gone.live_tokens, gone.users) == (3, 9, 2)
    assert {(loss.name, loss.lost, loss.left) for loss in gone.losses} == {
        ("both", ("reader",), ("writer",)),
        ("one", ("reader",), ()),
        ("hers", ("reader",), ()),
    }
    given = store.user_reads.preview_grant("ada", NOW)
    assert (given.live_tokens, {loss.lost for loss in given.losses}) == (5, {()})
    for unknown in (
        lambda: store.user_reads.preview_revoke("ada", "nothing", NOW),
        lambda: store.user_reads.preview_disable("nobody", NOW),
    ):
        with pytest.raises(NotFound):
            unknown()


def test_a_preview_of_a_roles_end_is_what_a_plain_look_at_everybody_finds(store):
    dice = random.Random(5)
    everybody = [store.accounts.user(name) for name in ("ada", "bob")]
    for number in range(6):
        held = ["reader", *(["writer"] if number % 2 else [])]
        everybody.append(user_actions.create_user(store.accounts, f"user{number}", held, **WHO))
    for number in range(40):
        owner = dice.choice(everybody)
        roles_held = [name for name in owner.role_names if name != "builder"]
        made = make(
            store, owner.username, f"c{number}", roles=dice.sample(roles_held, dice.randint(1, len(roles_held)))
        )
        for _ in range(dice.choice([0, 1, 3])):
            issue(store, made.client_id, role_version=owner.role_version)
        if dice.random() < 0.15:
            credentials.delete(store.accounts, made.client_id, **WHO)
    store.usage.flush()
    for name in ("user1", "user3", "ada"):
        user_actions.revoke(store.accounts, name, "reader", **WHO)
    for role in ("reader", "writer", "builder"):
        held_by = {user.username for user in store.accounts.users() if role in user.role_names}
        rows = store.credential_reads.page(CredentialQuery(size=200), NOW).rows
        theirs = {row.client_id: row for row in rows if row.owner in held_by}
        live = {each: len(look(store, each)) for each in theirs}
        touched = {each for each, row in theirs.items() if role in row.held or live[each]}
        preview = store.user_reads.preview_delete_role(role, NOW)
        assert (preview.users, preview.credentials) == (len(held_by), len(touched))
        assert preview.live_tokens == sum(live.values())
        values = {loss.client_id: (loss.live_tokens, set(loss.lost), set(loss.left)) for loss in preview.losses}
        assert values == {
            each: (live[each], {role} & set(theirs[each].held), set(theirs[each].held) - {role}) for each in touched
        }
        assert [loss.live_tokens for loss in preview.losses] == sorted(live[each] for each in touched)[::-1]
    assert {row.role.name: store.user_reads.role_rows(row.role.id) for row in store.user_reads.role_rows()} == {
        row.role.name: (row,) for row in store.user_reads.role_rows()
    }
    assert store.user_reads.role_rows("nothing") == store.user_reads.role_rows("\x00") == ()


def test_a_preview_tells_what_then_happens(store, seeded):
    told = store.user_reads.preview_revoke("ada", "writer", NOW)
    before = sum(len(look(store, each.client_id)) for each in seeded)
    user_actions.revoke(store.accounts, "ada", "writer", **WHO)
    after = sum(len(look(store, each.client_id)) for each in seeded)
    assert before - after == told.live_tokens
    for loss in told.losses:
        assert store.credential_reads.row(loss.client_id, NOW).held == loss.left
