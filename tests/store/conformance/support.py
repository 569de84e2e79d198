"""Records and helpers of the promises."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.audit import Event
from authserver.ports.errors import Conflict, Refusal
from keys.material import make
from tests.support.deadlines import barrier
from tests.support.stores import DAY, MASTER, NOW, engine_for

WHO = {"actor": "test", "now": NOW}
PEPPER = b"p" * 32
USE = {"by": "rs1", "method": "GET", "route": "/things"}


def at_once(*acts):
    """Run all at the same moment; each one's result, or the exception it raised."""
    gate = barrier(len(acts))

    def run(act):
        gate.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the outcome
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def winners(results):
    """How many came through; whoever did not was told ``Conflict``."""
    lost = [each for each in results if isinstance(each, Exception)]
    assert all(isinstance(each, Conflict) for each in lost), lost
    return len(results) - len(lost)


def change(store, event="test.changed", target="target", at=NOW, **detail):
    return store.accounts.change(Event(event, "test", target, detail), at)


def seed(store):
    """Two people, three roles."""
    for name, kind in (("reader", "operational"), ("writer", "operational"), ("builder", "builder")):
        role_actions.create_role(store.accounts, name, kind, (), **WHO)
    user_actions.create_user(store.accounts, "ada", ["reader", "writer", "builder"], **WHO)
    user_actions.create_user(store.accounts, "bob", ["reader"], **WHO)


def credential(store, owner="ada", roles=("reader", "writer"), now=NOW):
    made = credentials.create(store.accounts, owner, "bot", now + 90 * DAY, roles, pepper=PEPPER, actor="test", now=now)
    return made.credential


def api(store, name="api", **more):
    return resource_server_actions.register_resource_server(
        store.accounts, name, f"https://{name}.example.com", pepper=PEPPER, **WHO, **more
    ).server


def made_secret(store, made):
    return store.accounts.credential(made.client_id).secrets[0].id


def row(store, session):
    return next(each for each in store.sessions.of_credential(session.client_id) if each.jti == session.jti)


@contextmanager
def locked(database):
    """Somebody else holds what a writer needs."""
    engine = engine_for(database.url)
    with engine.connect().execution_options(write=True) as connection:
        if database.kind == "postgresql":
            connection.exec_driver_sql("LOCK TABLE sessions, usage_writers, audit_head IN ACCESS EXCLUSIVE MODE")
        else:
            connection.exec_driver_sql("SELECT 1")
        yield
        connection.rollback()
    engine.dispose()


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def key(alg="ES256"):
    return make(alg, MASTER)


def outcome(act):
    """What a call gave: a plain value, or the kind of refusal."""
    try:
        return act()
    except Refusal as error:
        return type(error).__name__
