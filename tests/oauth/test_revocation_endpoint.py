"""POST revoke: STANDARDS.md section 3.5."""

import pytest

from tests.support.wsgi_client import BACKENDS, basic, forged, noted, opened

ENDPOINT = "/oauth/revoke"


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("revocation"))


def revoke(world, token, client=None, **form):
    return world.post(ENDPOINT, {"token": token, **form}, client or world.client)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_R_01_only_post(world, method):
    answer = world.http.open(ENDPOINT, method=method, headers={"Authorization": basic(*world.client)})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_R_01_the_client_must_authenticate(world):
    token = world.access_token()
    for client in ((world.client[0], "wrong"), world.api):
        answer = revoke(world, token, client)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert world.post(ENDPOINT, {"token": token}).status_code == 401
    assert world.active(token)


def test_R_02_a_foreign_token_stays_alive(world):
    token = world.access_token()
    with noted(world) as notes:
        answer = revoke(world, token, world.credential())
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert notes[0]["reason"] == "foreign_token"
    assert world.active(token)


def test_R_03_R_08_success_and_nonsense_are_200(world):
    token = world.access_token()
    for text in (token, token, "garbage", "a.b.c", "x" * 9000, forged(world, iss="http://other.example")):
        answer = revoke(world, text)
        assert (answer.status_code, answer.data, answer.headers["Cache-Control"]) == (200, b"{}", "no-store")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", ""])
def test_R_04_R_05_the_hint_is_ignored(world, hint):
    token = world.access_token()
    assert revoke(world, token, token_type_hint=hint).status_code == 200
    assert not world.active(token)


def test_R_06_at_once_and_for_good(world):
    token, other = world.access_token(), world.access_token()
    assert world.active(token)
    assert revoke(world, token).status_code == 200
    assert not world.active(token)
    world.store.usage.flush()
    assert not world.active(token)
    assert world.active(other)


def test_R_06_also_by_another_live_credential_secret_of_the_client(world):
    from authserver.actions import credentials

    client = world.credential()
    token = world.access_token(client)
    fresh = credentials.regenerate(world.accounts, client[0], 3600, pepper=world.store.pepper, **world.who)
    assert revoke(world, token, (client[0], fresh.secret)).status_code == 200
    assert not world.active(token)


def test_R_07_what_cannot_be_written_is_503(world, monkeypatch):
    from authserver.ports.errors import Unavailable

    token = world.access_token()

    def away(*_args, **_kwargs):
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(type(world.store.sessions), "end", away)
        answer = revoke(world, token)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert world.active(token)


def test_R_08_the_token_is_needed(world):
    answer = world.post(ENDPOINT, {"token": ""}, world.client)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
