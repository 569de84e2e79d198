"""A resource server gets tokens of the ``typ`` it is registered for, and introspection accepts no other."""

import base64
import json

import pytest
from sqlalchemy import select
from werkzeug.test import Client

from app import create_app
from authserver.actions import resource_servers
from authserver.config import Config
from authserver.ports.errors import Conflict, Invalid
from authserver.store.tables import sessions
from tests.support.wsgi_client import BACKENDS, basic, opened, parts

JWT_API = "https://jwt.example.com"


@pytest.fixture(params=BACKENDS)
def world(request, tmp_path):
    for world in opened(request.param, tmp_path):
        made = resource_servers.register_resource_server(
            world.accounts, "spring", JWT_API, pepper=world.store.pepper, token_typ="JWT", **world.who
        )
        world.spring = (made.server.client_id, made.secret)
        yield world


def retyped(text, typ):
    """The same token with another ``typ`` in its header; the signature is that of before."""
    head, rest = text.split(".", 1)
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    made = json.dumps({**header, "typ": typ}, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode() + "." + rest


def test_each_api_gets_its_type_and_everything_else_is_the_same(world):
    usual, other = world.access_token(resource="https://api.example.com"), world.access_token(resource=JWT_API)
    (one, claims), (two, same) = parts(usual)[:2], parts(other)[:2]
    assert (one, two) == ({**two, "typ": "at+jwt"}, {**one, "typ": "JWT"})
    assert claims.keys() == same.keys()
    assert world.active(usual)
    assert world.introspect(other, world.spring).json["active"]
    assert not world.introspect(other).json["active"]
    passed = world.http.get(
        "/oauth/forward-auth",
        headers={"Authorization": f"Bearer {other}", "X-Gateway-Authorization": basic(*world.spring)},
    )
    assert passed.status_code == 204
    assert world.post("/oauth/revoke", {"token": other}, world.client).status_code == 200
    assert not world.introspect(other, world.spring).json["active"]


def test_a_token_with_its_type_exchanged_is_no_token_of_ours(world):
    usual, other = world.access_token(resource="https://api.example.com"), world.access_token(resource=JWT_API)
    for text in (retyped(usual, "JWT"), retyped(usual, "jwt"), retyped(usual, None), retyped(usual, ["at+jwt"])):
        assert not world.active(text)
    for text in (retyped(other, "at+jwt"), retyped(other, "token-introspection+jwt")):
        assert not world.introspect(text, world.spring).json["active"]
    assert world.active(usual)
    assert world.introspect(other, world.spring).json["active"]


def test_another_node_reads_a_token_of_either_type_before_its_row_is_written(world):
    config = Config(database_url=world.url, master_key="A" * 43, issuer="http://127.0.0.1:8000")
    services = create_app(config, clock=world.clock, background=False).extensions["services"]
    other_node = Client(services.wsgi())
    try:
        text = world.access_token(resource=JWT_API)
        values = {"data": {"token": text}, "headers": {"Authorization": basic(*world.spring)}}
        assert other_node.post("/oauth/introspect", **values).json["active"]
        values["data"] = {"token": retyped(text, "at+jwt")}
        assert not other_node.post("/oauth/introspect", **values).json["active"]
    finally:
        services.close()


def test_INV_05_a_token_of_the_type_before_is_dead_and_stays_so(world):
    text, unasked = world.access_token(resource=JWT_API), world.access_token(resource=JWT_API)
    assert world.introspect(text, world.spring).json["active"]
    resource_servers.choose_token_typ(world.accounts, "spring", "at+jwt", **world.who)
    assert not world.introspect(text, world.spring).json["active"]
    world.store.usage.flush()
    jti = parts(text)[1]["jti"]
    with world.store.engine.connect() as connection:
        query = select(sessions.c.end_reason).where(sessions.c.jti == jti)
        assert connection.execute(query).scalar_one() == "token_typ_changed"
    fresh = world.access_token(resource=JWT_API)
    assert parts(fresh)[0]["typ"] == "at+jwt"
    assert world.introspect(fresh, world.spring).json["active"]
    resource_servers.choose_token_typ(world.accounts, "spring", "JWT", **world.who)
    assert not world.introspect(text, world.spring).json["active"]
    assert world.introspect(unasked, world.spring).json["active"], "nobody was told that it was dead"


def test_a_type_that_is_none_and_one_it_has_already_change_nothing(world):
    before = len(list(world.accounts.audit_records()))
    for typ in ("", "jwt", "at+JWT", "JWT\x00"):
        with pytest.raises(Invalid, match=r"one of at\+jwt, JWT"):
            resource_servers.choose_token_typ(world.accounts, "spring", typ, **world.who)
    with pytest.raises(Conflict, match="the typ JWT already"):
        resource_servers.choose_token_typ(world.accounts, "spring", "JWT", **world.who)
    with pytest.raises(Invalid):
        resource_servers.register_resource_server(
            world.accounts, "new", "https://new.example.com", pepper=world.store.pepper, token_typ="jwt", **world.who
        )
    assert len(list(world.accounts.audit_records())) == before


def test_a_client_is_none_the_wiser(world):
    """The response to the client says nothing of it: RFC 6749 §5.1 as always."""
    answer = world.token(resource=JWT_API)
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
