"""What a request of the hot paths may cost, in counted work: statements, signature checks, JSON texts, function calls.

Time is not measured: a machine may be slow, a count is not. A change that makes a request do more fails here.
"""

import io
import sys
from collections import Counter
from urllib.parse import urlencode

import pytest
from sqlalchemy import event
from werkzeug.test import EnvironBuilder

from authserver.actions import credentials
from authserver.actions.resource_servers import disable_resource_server, register_resource_server
from authserver.oauth import verified_tokens
from authserver.rules.client_authentication.restrictions import restrictions
from authserver.store.engine.prepared import ThreadConnections
from authserver.store.tokens.token_limits import SqlTokenLimits
from keys.signing import TokenReader, TokenSigner
from tests.support.wsgi_client import BACKENDS, WRONG_SECRET, basic, opened, parts, signed

NOBODY = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("work"))


@pytest.fixture
def work(monkeypatch):
    """Counts what is done while the fixture is in use."""
    counts = Counter()

    def counted(owner, name, what):
        before = getattr(owner, name)

        def wrapped(*args, **options):
            counts[what] += 1
            return before(*args, **options)

        monkeypatch.setattr(owner, name, wrapped)

    counted(ThreadConnections, "run", "statements")
    counted(TokenReader, "read", "signature checks")
    counted(TokenSigner, "sign", "signatures")
    counted(verified_tokens, "_json", "JSON texts")
    counted(SqlTokenLimits, "take", "rates")
    counted(SqlTokenLimits, "admit", "admissions")
    return counts


def cost(work, call):
    work.clear()
    answer = call()
    return answer, dict(work)


def test_a_token_request_is_one_statement_and_one_signature(world, work):
    for _ in range(3):
        answer, done = cost(work, world.token)
        assert answer.status_code == 200
        assert done["statements"] == 1
        assert done["signatures"] == 1
        assert "signature checks" not in done


@pytest.mark.parametrize(
    ("held", "writes"),
    [({}, {}), ({"lifetime": 600}, {}), ({"rate": 60}, {"rates": 1}), ({"sessions": 100}, {"admissions": 1})],
    ids=["neither", "lifetime", "rate", "sessions"],
)
def test_limits_cost_only_the_credentials_that_have_them(world, work, held, writes):
    client = world.credential()
    if held:
        credentials.restrict(world.accounts, client[0], restrictions(**held), **world.who)
    world.token(client)
    answer, done = cost(work, lambda: world.token(client))
    assert answer.status_code == 200
    assert done["statements"] == 1 + writes.get("rates", 0)
    assert {name: done[name] for name in ("rates", "admissions") if name in done} == writes


def test_no_request_opens_a_connection_of_its_own(world):
    token = world.access_token()
    assert world.introspect(token).json["active"] is True
    opened_connections = []

    def note(*_):
        opened_connections.append(1)

    event.listen(world.store.engine, "connect", note)
    try:
        for _ in range(10):
            assert world.token().status_code == 200
            assert world.introspect(token).json["active"] is True
    finally:
        event.remove(world.store.engine, "connect", note)
    assert not opened_connections


@pytest.mark.parametrize("flushed", [True, False], ids=["recorded", "just issued here"])
def test_an_introspection_is_one_statement_and_no_signature_check(world, work, flushed):
    token = world.access_token()
    if flushed:
        world.store.usage.flush()
    for _ in range(3):
        answer, done = cost(work, lambda: world.introspect(token))
        assert answer.json["active"] is True
        assert done["statements"] == 1
        assert "signature checks" not in done
        assert "signatures" not in done
        assert done["JSON texts"] <= 2


def test_a_token_that_another_node_issued_is_one_statement_and_no_signature_check(world, work):
    token = world.access_token()
    world.store.usage.flush()
    world.store.usage.after_fork()  # forgets what this process has issued
    answer, done = cost(work, lambda: world.introspect(token))
    assert answer.json["active"] is True
    assert (done["statements"], done.get("signature checks", 0)) == (1, 0)
    assert done["JSON texts"] <= 2


@pytest.mark.parametrize("kind", ["garbage", "another form", "changed", "never recorded"])
def test_what_is_no_token_of_ours_costs_no_more(world, work, kind):
    real = world.access_token()
    world.store.usage.flush()
    header, claims = parts(real)
    old = {**claims, "jti": "never-recorded", "iat": claims["iat"] - 60, "exp": claims["exp"] - 60}
    text = {
        "garbage": "a.b.c",
        "another form": real.replace(".", "..", 1),
        "changed": real[:-4] + ("AAAA" if not real.endswith("AAAA") else "BBBB"),
        "never recorded": signed(world, header, old),
    }[kind]
    answer, done = cost(work, lambda: world.introspect(text))
    assert answer.json == {"active": False}
    assert done["statements"] == 1
    assert done.get("signature checks", 0) == 0


def test_a_use_of_many_tokens_is_written_in_one_transaction(world, work):
    tokens = [world.access_token() for _ in range(20)]
    world.store.usage.flush()
    for token in tokens:
        assert world.active(token)
    began = batches(world)
    world.store.usage.flush()
    assert batches(world) == began + 1


def batches(world):
    from sqlalchemy import func, select

    from authserver.store.tables import usage_writers

    with world.store.engine.connect() as connection:
        return int(connection.execute(select(func.coalesce(func.sum(usage_writers.c.batch), 0))).scalar_one())


def test_the_documents_of_keys_and_metadata_are_at_most_one_statement(world, work):
    for path in ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server"):
        answer, done = cost(work, lambda path=path: world.http.get(path))
        assert answer.status_code == 200
        assert done.get("statements", 0) <= 1
        assert "signatures" not in done


MOST_CALLS = {"introspection": 76, "bad token": 48, "refused caller": 72, "token": 96, "JWKS": 32, "metadata": 26}
"""Calls of Python functions that one request may take; a library of another version may take a few more or less."""


def calls(world, path, form=None, caller=None, status="200 OK"):
    """How many Python functions one request calls when the ones before it were alike; and its answer."""
    headers = {"Authorization": basic(*caller)} if caller else {}
    body = urlencode(form).encode() if form else b""
    kind = "application/x-www-form-urlencoded" if form else None
    builder = EnvironBuilder(path, method="POST" if form else "GET", data=body, content_type=kind, headers=headers)
    environ, count, told = builder.get_environ(), Counter(), []

    def note(_frame, what, _argument):
        count[what] += 1

    environ["wsgi.input"] = io.BytesIO(body)
    sys.setprofile(note)
    try:
        answer = world.http.application(environ, lambda status, _headers: told.append(status))
    finally:
        sys.setprofile(None)
    assert told == [status]
    return count["call"], b"".join(answer)


def test_function_calls_of_an_introspection_hot_cold_and_never_seen(world):
    hot, cold, unseen = (world.access_token() for _ in range(3))
    world.store.usage.flush()
    world.store.usage.after_fork()  # forgets what this process has issued
    form = {"http_method": "GET", "http_route": "/orders/{id}"}
    for token in (hot, hot, cold):  # the first of its kind is parsed
        calls(world, "/oauth/introspect", {"token": token, **form}, world.api)
    taken = {}
    for name, token in (("hot", hot), ("cold", cold), ("never seen", unseen)):
        taken[name], body = calls(world, "/oauth/introspect", {"token": token, **form}, world.api)
        assert b'"active":true' in body
    assert max(taken.values()) <= MOST_CALLS["introspection"], taken
    assert max(taken.values()) - min(taken.values()) <= 8, taken


@pytest.mark.parametrize("text", ["garbage", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_function_calls_of_a_bad_token_are_no_more_than_of_a_good_one(world, text):
    for _ in range(2):
        taken, body = calls(world, "/oauth/introspect", {"token": text}, world.api)
    assert body == b'{"active":false}'
    assert taken <= MOST_CALLS["bad token"]


def test_function_calls_of_a_refused_caller_are_no_more_than_of_a_good_one_whoever_it_is(world):
    api = register_resource_server(
        world.accounts, "once right", "https://once.example.com", pepper=world.store.pepper, **world.who
    )
    once_right = (api.server.client_id, api.secret)
    form = {"token": world.access_token(), "http_method": "GET", "http_route": "/orders/{id}"}
    for caller in (world.api, once_right):
        good, _body = calls(world, "/oauth/introspect", form, caller)
    disable_resource_server(world.accounts, "once right", **world.who)
    refused = {"wrong secret": (world.api[0], WRONG_SECRET), "unknown": (NOBODY, WRONG_SECRET), "disabled": once_right}
    taken = {}
    for name, caller in refused.items():
        for _ in range(2):  # the first of its kind and minute is written to the audit
            taken[name], _body = calls(world, "/oauth/introspect", form, caller, "401 Unauthorized")
    assert max(taken.values()) <= min(good, MOST_CALLS["refused caller"]), (good, taken)
    assert max(taken.values()) - min(taken.values()) <= 4, taken  # INV-29


@pytest.mark.parametrize("caller", ["wrong secret", "unknown"])
def test_a_refused_caller_is_one_statement_and_no_signature_check(world, work, caller):
    token, client_id = world.access_token(), world.api[0] if caller == "wrong secret" else NOBODY
    world.store.usage.flush()
    answer, done = cost(work, lambda: world.introspect(token, auth=(client_id, WRONG_SECRET)))
    assert answer.status_code == 401
    assert (done["statements"], done.get("signature checks", 0)) == (1, 0)
    assert done["JSON texts"] <= 2


def test_function_calls_of_a_token_request_and_of_the_documents(world):
    for name, path, form, caller in (
        ("token", "/oauth/token", {"grant_type": "client_credentials"}, world.client),
        ("JWKS", "/.well-known/jwks.json", None, None),
        ("metadata", "/.well-known/oauth-authorization-server", None, None),
    ):
        for _ in range(3):
            taken, _body = calls(world, path, form, caller)
        assert taken <= MOST_CALLS[name], (name, taken)
