"""Two server processes over one database, many clients, and a checker that finds what must never happen.

``HISTORY_OPERATIONS`` makes the run longer.
"""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from keys.master import MasterKey
from tests.support import client_ways, servers
from tests.support.history import Op, violations

OPERATIONS = int(os.environ.get("HISTORY_OPERATIONS", "8000"))
ISSUER = "http://127.0.0.1:8000"
USERS = ("ada", "bob", "cyd", "dan")
ALL = ["reader", "writer"]


def seed(url, key):
    """Users, roles, an API and a credential for each user; what the clients need to know."""
    from app import create_app
    from authserver.actions import credentials
    from authserver.actions import resource_servers as resource_server_actions
    from authserver.actions import roles as role_actions
    from authserver.actions import users as user_actions
    from authserver.config import Config

    services = create_app(Config(database_url=url, master_key=key, issuer=ISSUER), background=False).extensions[
        "services"
    ]
    services.migrate()
    store = services.store()
    who = {"actor": "test", "now": services.clock.now()}
    for name in ALL:
        role_actions.create_role(store.accounts, name, "operational", (), **who)
    made = []
    for user in USERS:
        user_actions.create_user(store.accounts, user, ALL, **who)
        for number in range(2):
            revealed = credentials.create(
                store.accounts, user, f"bot {number}", who["now"] + 86400, ALL, pepper=store.pepper, **who
            )
            made.append({"user": user, "client": revealed.credential.client_id, "secret": revealed.secret})
    api = resource_server_actions.register_resource_server(
        store.accounts, "api", "https://api.example.com", pepper=store.pepper, **who
    )
    services.close()
    return made, [api.server.client_id, api.secret]


def run(url, operations, program=("app.py",)):
    """Act on two servers; the history, and what the checker needs."""
    key = MasterKey.fresh()
    made, api = seed(url, key)
    client_ways.equip(url, key, ISSUER, made)
    with servers.start(url, key, program=program) as one, servers.start(url, key, program=program) as two:
        task = {
            "urls": [one.url, two.url],
            "api": api,
            "credentials": made,
            "known": {each["client"]: [each["secret"]] for each in made},
            "database": url,
            "key": key,
            "issuer": ISSUER,
            "held": dict.fromkeys(USERS, ALL),
            "threads": 3,
        }
        # The administrator's process knows new secrets at once; the others keep using the old ones.
        actors = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.history_client"],
                cwd=servers.ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for number, actor in enumerate(actors):
            share = {**task, "seed": number, "administrator": number == 0, "operations": operations // len(actors) + 1}
            actor.stdin.write(json.dumps(share))
            actor.stdin.close()
        outputs = [actor.stdout.read() for actor in actors]
        assert [actor.wait(30) for actor in actors] == [0] * len(actors)
        for actor in actors:
            actor.stdout.close()
        assert [server.process.poll() for server in (one, two)] == [None, None]
    history = [Op(**json.loads(line)) for output in outputs for line in output.splitlines() if line]
    return history, dict.fromkeys((each["client"] for each in made), ALL), dict.fromkeys(USERS, (1, ALL))


def test_inv_01_to_12_hold_over_two_servers(database_url):
    history, chosen, start = run(database_url, OPERATIONS)
    kinds = {kind: sum(op.kind == kind for op in history) for kind in {op.kind for op in history}}
    assert len(history) >= OPERATIONS
    unanswered = Counter(op.facts["status"] for op in history if op.kind == "unknown")
    # Where the disk stalls for longer than a use may wait to be written, 503 is the honest answer; nothing else is.
    assert set(unanswered) <= {503}, unanswered
    assert unanswered.total() <= OPERATIONS // 100, unanswered
    assert min(kinds[each] for each in ("token", "introspect", "roles", "disable", "regenerate", "revoke")) >= 5, kinds
    assert any(op.kind == "introspect" and not op["active"] for op in history)
    ways = Counter(op["way"] for op in history if op.kind == "token")
    assert min(ways[each] for each in client_ways.WAYS) >= 20, ways
    assert violations(history, chosen, start) == []


def test_the_checker_finds_a_read_that_was_broken_in_two(database_url):
    history, chosen, start = run(database_url, 4000, program=("-m", "tests.support.seeded_fault"))
    found = violations(history, chosen, start)
    assert any(text.startswith("_inv_02") and "carries" in text for text in found), found[:5]


def token(called, returned, **facts):
    base = {"user": "ada", "client": "c", "rv": 1, "jti": "j", "roles": ALL, "secret": "s"}
    return Op("token", called, returned, {**base, **facts})


def look(called, returned, active, **facts):
    base = {"user": "ada", "client": "c", "rv": 1, "jti": "j", "minted": 1, "active": active}
    return Op("introspect", called, returned, {**base, **facts})


def roles(called, returned, rv, held=("reader",)):
    return Op("roles", called, returned, {"user": "ada", "rv": rv, "held": list(held)})


def op(kind, called, returned, **facts):
    return Op(kind, called, returned, facts)


FAULTS = {
    "_inv_01": [roles(10, 20, 2), look(21, 30, active=True)],
    "_inv_02": [roles(10, 20, 2), token(21, 30)],
    "_inv_02 ": [roles(10, 20, 2), token(15, 30, rv=2)],
    "_inv_03": [roles(10, 20, 3), roles(21, 30, 2)],
    "_inv_03 ": [roles(10, 20, 2), roles(15, 30, 2)],
    "_inv_05": [look(10, 20, active=False), look(21, 30, active=True)],
    "_inv_08": [op("disable", 10, 20, client="c"), token(21, 30)],
    "_inv_08 ": [op("disable", 10, 20, client="c"), op("enable", 25, 30, client="c"), look(40, 50, active=True)],
    "_inv_10": [op("regenerate", 10, 20, client="c", old="s"), token(21, 30)],
    "_inv_12": [token(1, 2), token(3, 4)],
    "_revoked": [op("revoke", 10, 20, jti="j"), look(21, 30, active=True)],
}
SOUND = {
    "overlapping the change": [roles(10, 20, 2), look(19, 30, active=True)],
    "minted while it changed": [roles(10, 20, 2), token(19, 30)],
    "the new roles": [roles(10, 20, 2), token(21, 30, rv=2, roles=["reader"])],
    "overlapping verdicts": [look(10, 20, active=False), look(19, 30, active=True)],
    "another token": [look(10, 20, active=False), look(21, 30, active=True, jti="k")],
    "minted behind the enabling": [
        op("disable", 10, 20, client="c"),
        op("enable", 25, 30, client="c"),
        token(26, 40),
        look(50, 60, active=True, minted=40),
    ],
    "the new secret": [op("regenerate", 10, 20, client="c", old="s"), token(21, 30, secret="t")],
    "overlapping the revocation": [op("revoke", 10, 20, jti="j"), look(19, 30, active=True)],
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_rule_finds_its_fault(name):
    found = violations(FAULTS[name], {"c": ALL}, {"ada": (1, ALL)})
    assert found
    assert all(text.startswith(name.strip()) for text in found), found


@pytest.mark.parametrize("name", SOUND)
def test_no_rule_cries_wolf(name):
    assert violations(SOUND[name], {"c": ALL}, {"ada": (1, ALL)}) == []
