"""Ids that are good once: what ``ports/one_time_ids`` promises, on both databases."""

import threading

import pytest
from sqlalchemy import text

from authserver.ports.errors import Unavailable
from authserver.store.tokens import one_time_ids
from tests.conftest import World
from tests.support.deadlines import join

NOW = 1_800_000_000


@pytest.fixture
def nodes(database_url):
    """Two processes, as far as the database can tell."""
    made = [World(database_url), None]
    from app import create_app
    from authserver.config import Config

    config = Config(database_url=database_url, master_key="A" * 43, issuer="http://127.0.0.1:8000")
    other = create_app(config, clock=made[0].clock, background=False).extensions["services"]
    yield made[0].store.one_time_ids, other.store().one_time_ids
    other.close()
    made[0].services.close()


def test_of_many_at_once_on_two_nodes_one_is_first(nodes):
    for number in range(5):
        outcomes = []
        barrier = threading.Barrier(16)

        def use(ids, number=number, outcomes=outcomes, barrier=barrier):
            barrier.wait(20)
            outcomes.append(ids.claim(f"same-{number}", NOW + 60, NOW))

        threads = [threading.Thread(target=use, args=(nodes[each % 2],)) for each in range(16)]
        for each in threads:
            each.start()
        for each in threads:
            join(each)
        assert sorted(outcomes) == [False] * 15 + [True]


def test_different_ids_at_once_are_all_first(nodes):
    outcomes = []
    threads = [
        threading.Thread(target=lambda n=number: outcomes.append(nodes[n % 2].claim(f"id-{n}", NOW + 60, NOW)))
        for number in range(24)
    ]
    for each in threads:
        each.start()
    for each in threads:
        join(each)
    assert outcomes == [True] * 24


def test_until_its_end_and_not_from_then_on(nodes):
    one, two = nodes
    assert one.claim("x", NOW + 10, NOW)
    assert not two.claim("x", NOW + 99, NOW + 9)
    assert two.claim("x", NOW + 20, NOW + 10), "the end is half-open"
    assert not one.claim("x", NOW + 99, NOW + 19)


def test_the_sweep_takes_only_what_is_over(nodes):
    one, two = nodes
    for number in range(30):
        one.claim(f"s-{number}", NOW + number, NOW - 1)
    assert two.sweep(NOW + 10) == 11
    assert two.sweep(NOW + 10) == 0
    assert not two.claim("s-11", NOW + 99, NOW + 10)
    assert two.claim("s-10", NOW + 99, NOW + 10)


def test_where_it_cannot_be_written_nobody_is_first(nodes):
    one, two = nodes
    with two._engine.connect().execution_options(write=True) as connection:
        connection.execute(text("ALTER TABLE one_time_ids RENAME TO away"))
        connection.commit()
    outcomes = []

    def use():
        try:
            outcomes.append(one.claim("y", NOW + 60, NOW))
        except Unavailable:
            outcomes.append("unavailable")

    threads = [threading.Thread(target=use) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        join(each)
    assert outcomes == ["unavailable"] * 6
    with two._engine.connect().execution_options(write=True) as connection:
        connection.execute(text("ALTER TABLE away RENAME TO one_time_ids"))
        connection.commit()
    assert one.claim("y", NOW + 60, NOW)


def test_what_was_made_before_the_machine_started_is_not_taken_on_sqlite(nodes, monkeypatch):
    """Claims that did not wait for the disk are lost with the machine: what could have been used before is refused."""
    monkeypatch.setattr(one_time_ids, "machine_started_at", lambda now: now - 600)
    one, two = nodes
    on_sqlite = one._engine.dialect.name == "sqlite"
    assert one.claim("before", NOW + 60, NOW, NOW - 601) is not on_sqlite
    assert one.claim("within the skew of a clock", NOW + 60, NOW, NOW - 541) is not on_sqlite
    assert one.claim("after", NOW + 60, NOW, NOW - 540)
    assert not two.claim("after", NOW + 60, NOW, NOW - 540)
    assert two.claim("nobody knows when", NOW + 60, NOW)


def test_of_claims_that_do_not_wait_one_is_first_too(nodes):
    outcomes = []
    barrier = threading.Barrier(16)

    def use(ids):
        barrier.wait(20)
        outcomes.append(ids.claim("quick", NOW + 60, NOW, NOW))

    threads = [threading.Thread(target=use, args=(nodes[each % 2],)) for each in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        join(each)
    assert sorted(outcomes) == [False] * 15 + [True]
    assert not nodes[0].claim("quick", NOW + 99, NOW), "and those that wait see it"
