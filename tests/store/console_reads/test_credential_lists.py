"""The statuses of credentials; lists of them, searched, sorted and paged."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authserver.actions import credentials
from authserver.actions import users as user_actions
from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.ports.errors import NotFound
from authserver.rules.credential_status import EXPIRING_WITHIN, Status, StatusFacts, rotation_end, statuses
from tests.store.console_reads.support import PEPPER, WHO, issue, make, names, roles
from tests.support.stores import DAY, NOW, Statements

facts_of = st.builds(
    StatusFacts,
    disabled=st.booleans(),
    owner_disabled=st.booleans(),
    expires_at=st.integers(NOW - 2, NOW + EXPIRING_WITHIN + 2),
    chosen=roles,
    held=roles,
    secret_ends=st.lists(st.none() | st.integers(NOW - 2, NOW + 2), max_size=3).map(tuple),
)


@given(facts_of)
def test_statuses_are_never_empty_never_twice_and_most_urgent_first(facts):
    found = statuses(facts, NOW)
    assert found == tuple(status for status in Status if status in found)
    assert (Status.ACTIVE in found) == (found == (Status.ACTIVE,))


@given(facts_of)
def test_each_status_holds_for_its_own_reason(facts):
    found = set(statuses(facts, NOW))
    assert (Status.DISABLED in found) == (facts.disabled or facts.owner_disabled)
    assert (Status.EXPIRED in found) == (facts.expires_at <= NOW)
    assert (Status.EXPIRING in found) == (NOW < facts.expires_at <= NOW + 14 * DAY)
    assert (Status.ROTATING in found) == any(end is not None and end > NOW for end in facts.secret_ends)
    assert (Status.REDUCED in found) == bool(facts.chosen - facts.held)


@given(facts_of, st.integers(0, 3 * EXPIRING_WITHIN))
def test_time_alone_never_brings_back_what_expired(facts, later):
    if Status.EXPIRED in statuses(facts, NOW):
        assert Status.EXPIRED in statuses(facts, NOW + later)


def test_a_rotation_ends_with_its_last_secret():
    assert rotation_end([None, NOW + 5, NOW + 9, NOW], NOW) == NOW + 9
    assert rotation_end([None, NOW], NOW) is None


def test_a_list_shows_only_its_owners_credentials_and_a_foreign_id_is_an_unknown_one(store):
    mine, hers = make(store, "ada", "mine"), make(store, "bob", "hers", roles=["reader"])
    ada = store.accounts.user("ada").id
    assert names(store.credential_reads.page(CredentialQuery(), NOW, owner_id=ada)) == ["mine"]
    assert store.credential_reads.row(mine.client_id, NOW, owner_id=ada).owner == "ada"
    results = []
    for unknown in (hers.client_id, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFound) as refused:
            store.credential_reads.row(unknown, NOW, owner_id=ada)
        results.append(str(refused.value).replace(unknown, "ID"))
    assert results[0] == results[1]


def test_the_statuses_told_in_sql_are_those_of_the_rule(store):
    dice = random.Random(7)
    for number in range(40):
        owner = dice.choice(["ada", "bob"])
        chosen = ["reader"] if owner == "bob" else dice.choice([["reader"], ["writer"], ["reader", "writer"]])
        made = make(store, owner, f"c{number}", dice.choice([1, 13, 14, 15, 90]), chosen, now=NOW - 2 * DAY)
        if dice.random() < 0.3:
            overlap = dice.choice([0, 3600, 7 * DAY])
            credentials.regenerate(store.accounts, made.client_id, overlap, pepper=PEPPER, actor="test", now=NOW - 3600)
        if dice.random() < 0.2:
            credentials.disable(store.accounts, made.client_id, **WHO)
        if dice.random() < 0.1:
            credentials.delete(store.accounts, made.client_id, **WHO)
    user_actions.revoke(store.accounts, "ada", "writer", **WHO)
    for _ in range(2):
        rows = store.credential_reads.page(CredentialQuery(size=200), NOW).rows
        counts = Counter(status for row in rows for status in row.statuses)
        assert dict(store.credential_reads.counts(NOW)) == {status: counts[status] for status in Status}
        assert counts[Status.REDUCED] > 3
        for status in Status:
            found = store.credential_reads.page(CredentialQuery(status=status, size=200), NOW)
            assert {row.client_id for row in found.rows} == {r.client_id for r in rows if status in r.statuses}
        for owner in ("ada", "bob"):
            mine = {"owner_id": store.accounts.user(owner).id}
            counts = Counter(status for row in rows if row.owner == owner for status in row.statuses)
            assert dict(store.credential_reads.counts(NOW, **mine)) == {status: counts[status] for status in Status}
            for status in Status:
                found = store.credential_reads.page(CredentialQuery(status=status), NOW, **mine)
                assert found.total == len(found.rows) == counts[status]
        if store.accounts.user("bob").disabled_at is None:
            user_actions.disable(store.accounts, "bob", **WHO)


@pytest.mark.parametrize("status", [None, Status.ACTIVE, Status.DISABLED])
@pytest.mark.parametrize("descending", [True, False])
def test_pages_of_a_list_are_parts_of_the_whole_and_know_its_length(store, status, descending):
    made = [make(store, name=f"c{number}", now=NOW - 2 * DAY + number // 2) for number in range(9)]
    for each in made[2:6]:
        credentials.disable(store.accounts, each.client_id, **WHO)
    off = {each.client_id for each in made[2:6]}
    fits = {None: lambda _: True, Status.ACTIVE: lambda each: each not in off, Status.DISABLED: off.__contains__}[
        status
    ]
    way = -1 if descending else 1
    whole = sorted((way * each.created_at, each.client_id) for each in made if fits(each.client_id))
    walked = []
    for number in range(1, 6):
        query = CredentialQuery(status=status, descending=descending, size=2, page=number)
        page = store.credential_reads.page(query, NOW)
        assert page.total == len(whole)
        walked += [row.client_id for row in page.rows]
    assert walked == [client_id for _, client_id in whole]


def test_a_list_is_searched_sorted_and_paged(store):
    for number, name in enumerate(["Payroll", "payments 100%", "Überweisung", "night_ly", "other"]):
        make(store, name=name, days=10 + number, now=NOW + number)
    make(store, "bob", "robot", roles=["reader"])
    reads = store.credential_reads

    def found(**query):
        return names(reads.page(CredentialQuery(**query), NOW))

    assert sorted(found(search="PAY")) == ["Payroll", "payments 100%"]
    assert found(search="0%") == ["payments 100%"]
    assert found(search="t_l") == ["night_ly"]
    assert found(search="überw") == found(search="ÜBERWEISUNG") == ["Überweisung"]
    assert found(search="bob") == ["robot"]
    assert found(search="nothing") == found(search="\x00") == found(search="\ud800") == []
    first = reads.page(CredentialQuery(), NOW).rows[0]
    assert found(search=first.client_id[:13].upper()) == [first.name]
    assert len(found(search="writer")) == 5
    assert found(order="name", descending=False)[:2] == ["night_ly", "other"]
    assert found(order="expires_at", descending=True, size=1) == ["robot"]
    assert found(order="owner", descending=False, size=200)[-1] == "robot"
    pages = [reads.page(CredentialQuery(order="name", descending=False, size=4, page=page), NOW) for page in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [4, 2, 0]
    assert {(page.total, page.pages) for page in pages} == {(6, 2)}
    far = reads.page(CredentialQuery(page=10**30, size=10**9), NOW)
    assert (far.rows, far.total) == ((), 6)


def test_a_list_costs_the_same_statements_however_long(store):
    counts = []
    for _ in range(2):
        make(store)
        statements = Statements(store.engine)
        store.credential_reads.page(CredentialQuery(), NOW)
        counts.append(len([each for each in statements.texts if each.startswith("SELECT")]))
    assert counts == [6, 6]


@pytest.mark.parametrize("order", ["name", "owner", "expires_at", "created_at", "last_used_at"])
@pytest.mark.parametrize("descending", [True, False])
def test_parts_are_the_pages_in_the_same_order_and_a_deleted_credential_still_marks_its_place(store, order, descending):
    made = [
        make(store, "ada" if number % 2 else "bob", name, 90 + number % 3, roles=("reader",))
        for number, name in enumerate("xXyyxzZa")
    ]
    issue(store, made[3].client_id)
    store.usage.flush()
    for owner_id in (None, made[1].owner_id):
        query = CredentialQuery(order=order, descending=descending)
        whole = [row.client_id for row in store.credential_reads.page(query, NOW, owner_id=owner_id, days=False).rows]
        found, after = [], ""
        while part := store.credential_reads.part(query, NOW, 3, after=after, owner_id=owner_id):
            found += [row.client_id for row in part]
            after = found[-1]
        assert found == whole
    query = CredentialQuery(order=order, descending=descending)
    whole = [row.client_id for row in store.credential_reads.page(query, NOW, days=False).rows]
    credentials.delete(store.accounts, whole[2], **WHO)
    rest = store.credential_reads.part(query, NOW, 100, after=whole[2])
    assert [row.client_id for row in rest] == whole[3:]
