"""Published attacks on client authentication, introspection, inputs and logs: ATTACKS.md, over plain WSGI."""

import io
import itertools
import json
import re
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.rules import presented_secret
from authserver.store.engine.prepared import PreparedStatement
from tests.support.wsgi_client import BACKENDS, basic, forged, noted, opened, parts, throttled, unlimited

TOKEN, ASK, END = "/oauth/token", "/oauth/introspect", "/oauth/revoke"
GRANT = {"grant_type": "client_credentials"}
INACTIVE = b'{"active":false}'
REGISTERED = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
}


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("clients"))


def counted(world, monkeypatch):
    """Count what a request makes the services do: statements read and secrets hashed."""
    done: list[tuple[object, ...]] = []
    rows, hashed = PreparedStatement.rows, presented_secret.keyed_hash

    def counting_rows(self, values):
        found = rows(self, values)
        done.append(("statement", self.sql, len(found)))
        return found

    def counting_hash(pepper, secret):
        done.append(("hash", len(secret)))
        return hashed(pepper, secret)

    monkeypatch.setattr(PreparedStatement, "rows", counting_rows)
    monkeypatch.setattr(presented_secret, "keyed_hash", counting_hash)
    return done


def test_T_035_an_unknown_client_costs_what_a_known_one_costs(world, monkeypatch):
    """Work is counted here, not timed: the same statement, rows of some client, one hash."""
    secret = world.credential()[1]
    disabled = world.credential()
    credentials.disable(world.accounts, disabled[0], **world.who)
    done = counted(world, monkeypatch)
    works = []
    for case in (("00000000-0000-4000-8000-000000000001", secret), (world.client[0], secret), disabled):
        done.clear()
        assert world.token(case).status_code == 401
        works.append(list(done))
    assert works[1] == works[2]
    # Whose rows are read for nobody depends on the other tests here, and so how many secrets there are.
    (unknown_hash, (*unknown, rows)), (known_hash, (*known, _)) = works[0], works[1]
    assert (unknown_hash, unknown) == (known_hash, known)
    assert rows > 0


def test_INV_29_a_secret_that_was_right_once_is_refused_as_slowly_as_any_other(world, monkeypatch):
    """How a good request reads is remembered, and must not tell a disabled client from a wrong secret."""
    once, never = world.credential(), world.credential()
    assert world.token(once).status_code == 200
    for client_id, _ in (once, never):
        credentials.disable(world.accounts, client_id, **world.who)
    done = counted(world, monkeypatch)
    works = []
    for client in (never, once):
        done.clear()
        assert world.token(client).status_code == 401
        works.append(sorted(done, key=str))
    assert works[0] == works[1]
    assert len(works[0]) == 2


def test_INV_29_the_same_for_a_resource_server(world, monkeypatch):
    token = world.access_token()
    once, never = (
        resource_server_actions.register_resource_server(
            world.accounts, name, f"https://{name}.example.com", pepper=world.store.pepper, **world.who
        )
        for name in ("asked-once", "never-asked")
    )
    mine = world.access_token(resource=once.server.audience)
    known, strange = ((each.server.client_id, each.secret) for each in (once, never))
    assert world.introspect(mine, known).json["active"]
    for each in (once, never):
        resource_server_actions.disable_resource_server(world.accounts, each.server.name, **world.who)
    done = counted(world, monkeypatch)
    works = []
    for caller, text in ((strange, token), (known, mine)):
        done.clear()
        assert world.introspect(text, caller).status_code == 401
        works.append(sorted(done, key=str))
    assert works[0] == works[1]
    assert len(works[0]) == 2


def test_INV_27_malformed_secrets_are_refused_before_any_look_up(world, monkeypatch):
    done = counted(world, monkeypatch)
    for secret in ("x", world.client[1][:-1], world.client[1].lower(), "acv_" + world.client[1][4:]):
        assert world.token((world.client[0], secret)).status_code == 401
    assert done == []


def test_T_037_nearly_the_right_secret(world):
    client, secret = world.client
    near = [secret[:length] for length in range(1, len(secret))]
    near += [secret + "a", secret * 2, secret.swapcase(), secret.upper(), f" {secret}", f"{secret} ", f"{secret}\n"]
    near += [secret.ljust(72, "x"), f"{secret}{'j' * 100}", secret[::-1], f"{secret}\u200b"]
    for each in near:
        for answer in (
            world.token((client, each)),
            world.post(TOKEN, {**GRANT, "client_id": client, "client_secret": each}),
        ):
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), each


@pytest.mark.parametrize("name", ["grant_type", "scope", "client_id", "client_secret", "resource", "foo"])
def test_T_039_any_parameter_twice(world, name):
    form = {**GRANT, "scope": "reader", "client_id": world.client[0], "client_secret": world.client[1]}
    value = form.get(name, "https://api.example.com")
    body = "&".join(f"{key}={each}" for key, each in {**form, name: value}.items())
    for path, data in ((TOKEN, f"{body}&{name}={value}"), (f"{TOKEN}?{name}={value}", body)):
        answer = world.http.post(path, data=data, content_type="application/x-www-form-urlencoded")
        assert answer.status_code == 400
        assert answer.json["error"] in {"invalid_request", "invalid_target"}


@pytest.mark.parametrize("text", ["a:b", "a%b", "a+b", "a b", "\u00fc", "a%zzb", "::", "%25"])
def test_T_041_odd_ids_and_secrets_fail_alike_by_both_methods(world, text):
    coded = quote_plus(text)
    in_body = world.post(TOKEN, {**GRANT, "client_id": text, "client_secret": text})
    in_header = world.token((coded, coded))
    assert in_body.status_code == in_header.status_code == 401
    assert in_body.data == in_header.data


def test_T_043_roles_are_what_was_asked_chosen_and_held_for_every_subset(world):
    roles = [f"r{number}" for number in range(6)]
    for role in roles:
        role_actions.create_role(world.accounts, role, "operational", (), **world.who)
    user_actions.create_user(world.accounts, "sub", roles[1:], **world.who)
    client = world.credential(owner="sub", roles=roles[1:5])
    user_actions.revoke(world.accounts, "sub", "r4", **world.who)
    possible = {"r1", "r2", "r3"}
    for size in range(7):
        for asked in itertools.combinations(roles, size):
            answer = world.token(client, scope=" ".join(asked))
            if set(asked) <= possible:
                expected = sorted(asked or possible)
                claims = parts(answer.json["access_token"])[1]
                assert claims["roles"] == expected == answer.json["scope"].split()
            else:
                assert answer.json["error"] == "invalid_scope"


@pytest.mark.parametrize("end", ["disable", "delete", "expire", "owner", "secret", "roles"])
def test_T_045_T_069_T_169_each_alone_ends_it_at_once(world, end):
    name = f"u{end}"
    user_actions.create_user(world.accounts, name, ["reader", "writer"], **world.who)
    client = world.credential(owner=name, roles=("reader", "writer"), days=1)
    token = world.access_token(client)
    assert world.active(token)
    if end == "disable":
        credentials.disable(world.accounts, client[0], **world.who)
    elif end == "delete":
        credentials.delete(world.accounts, client[0], **world.who)
    elif end == "expire":
        world.clock.at += 86400
    elif end == "owner":
        user_actions.disable(world.accounts, name, **world.who)
    elif end == "secret":
        credentials.regenerate(world.accounts, client[0], 0, pepper=world.store.pepper, **world.who)
    else:
        user_actions.revoke(world.accounts, name, "writer", **world.who)
    assert world.introspect(token).data == INACTIVE
    body = {**GRANT, "client_id": client[0], "client_secret": client[1]}
    if end == "roles":
        assert world.token(client).json["scope"] == "reader"
    else:
        assert world.token(client).status_code == world.post(TOKEN, body).status_code == 401
    assert world.introspect(token).data == INACTIVE


def test_T_047_never_a_refresh_token(world):
    document = world.token(scope="reader", access_type="offline").json
    assert not {"refresh_token", "id_token"} & set(document)
    assert world.token(scope="offline_access").json["error"] == "invalid_scope"
    assert world.token(scope="openid").json["error"] == "invalid_scope"


def test_T_055_errors_have_one_shape(world):
    for answer in (
        world.token((world.client[0], "x")),
        world.post(TOKEN, GRANT),
        world.token(scope="none"),
        world.token(resource="none"),
        world.token(grant_type="none"),
        world.post(TOKEN, {}),
        world.introspect("x", ("a", "b")),
    ):
        assert answer.json["error"] in REGISTERED
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", answer.json["error_description"])
        assert (answer.status_code == 401) == ("WWW-Authenticate" in answer.headers)


def test_T_057_spelling_variants_never_authenticate_and_share_a_limit(world):
    client, secret = world.client
    variants = [
        client.upper(),
        f" {client}",
        f"{client} ",
        f"{client}\u200b",
        f"\ufeff{client}",
        client.replace("-", "\uff0d"),
        "".join(chr(ord(char) + 0xFEE0) for char in client),
        f"{{{client}}}",
        f"urn:uuid:{client}",
        client.replace("-", ""),
        client.replace("-", "%2D"),
    ]
    for variant in variants:
        assert world.post(TOKEN, {**GRANT, "client_id": variant, "client_secret": secret}).status_code == 401
    try:
        throttled(world, per_client=7)
        statuses = [
            world.post(TOKEN, {**GRANT, "client_id": variant, "client_secret": secret}).status_code
            for variant in variants[:7]
        ]
        assert statuses == [401] * 7
        for path in (TOKEN, "/OAuth/Token", "/Auth/OAuth/Token", END):
            assert world.post(path, {**GRANT, "token": "x"}, (client, "wrong")).status_code == 429
        assert world.token().status_code == 200
    finally:
        unlimited(world)


def test_T_059_the_rightful_client_is_never_locked_out(world):
    try:
        throttled(world, per_client=10, per_peer=50)
        for number in range(500):
            assert world.token((world.client[0], f"wrong{number}")).status_code in {401, 429}
            if number % 50 == 0:
                assert world.token().status_code == 200
        assert world.token((world.client[0], "wrong")).status_code == 429
        assert world.token().status_code == 200
        assert world.active(world.access_token())
    finally:
        unlimited(world)


def test_T_063_inactive_is_inactive_to_the_byte(world):
    user_actions.create_user(world.accounts, "ina", ["reader"], **world.who)
    other = resource_server_actions.register_resource_server(
        world.accounts, "else", "https://else.example.com", pepper=world.store.pepper, **world.who
    )
    tokens = {
        "random": "x" * 700,
        "forged": world.access_token()[:-4] + "AAAA",
        "foreign": world.access_token(resource="https://else.example.com"),
        "revoked": world.access_token(),
        "old role version": world.access_token(world.credential(owner="ina", roles=("reader",))),
        "future": forged(world, iat=world.clock.at + 3600, exp=world.clock.at + 7200),
    }
    world.post(END, {"token": tokens["revoked"]}, world.client)
    user_actions.grant(world.accounts, "ina", "writer", **world.who)
    assert other.secret
    for accept in ("application/json", "application/token-introspection+jwt"):
        responses = set()
        for token in tokens.values():
            answer = world.post(ASK, {"token": token}, world.api, Accept=accept)
            responses.add((answer.status, tuple(answer.headers.items()), answer.data))
        assert len(responses) == 1


def test_T_065_who_may_not_ask_is_never_told_inactive(world):
    token = world.access_token()
    for form, auth, headers in (
        ({}, None, {}),
        ({"client_id": world.api[0]}, None, {}),
        ({}, (world.api[0], ""), {}),
        ({}, world.client, {}),
        ({}, None, {"Authorization": f"Bearer {token}"}),
        ({}, None, {"Authorization": f"Bearer {world.api[1]}"}),
    ):
        for text in (token, "x"):
            answer = world.post(ASK, {"token": text, **form}, auth, **headers)
            assert answer.status_code == 401
            assert b"active" not in answer.data


def test_T_067_scanning_is_slowed_and_shows_in_the_log(world):
    try:
        throttled(world, per_resource_server=50)
        with noted(world) as notes:
            statuses = [world.introspect(f"random{number}").status_code for number in range(60)]
        assert statuses == [200] * 50 + [429] * 10
        assert {note["reason"] for note in notes} == {"unknown_token", "bad_tokens"}
        assert {note["client"] for note in notes} == {world.api[0]}
        assert world.active(world.access_token())
    finally:
        unlimited(world)


@pytest.mark.parametrize("off", list(itertools.product((-1, 0, 1), repeat=3)))
def test_T_071_every_version_must_be_exactly_todays(world, off):
    versions = parts(world.access_token())[1]
    role, credential, epoch = off
    standing = dict(versions["standing"])
    standing["credential_version"] += credential
    standing["epoch"] += epoch
    token = forged(world, role_version=versions["role_version"] + role, standing=standing)
    assert world.active(token) is (off == (0, 0, 0))


def test_T_073_T_173_idle_to_the_second(world):
    for unused, alive in ((30 * 60 - 1, True), (30 * 60, False), (30 * 60 + 1, False)):
        token = world.access_token()
        world.clock.at += unused
        assert world.active(token) is alive
        assert world.active(token) is alive


def test_T_075_each_token_has_its_own_clock(world):
    one, two = world.access_token(), world.access_token()
    world.clock.at += 1700
    assert world.active(one)
    world.clock.at += 200
    assert not world.active(two)
    assert world.active(one)


def test_T_077_only_an_authorised_active_answer_is_use(world):
    token = world.access_token()
    idle_end = world.clock.at + 30 * 60
    world.clock.at += 1000
    world.introspect(token, (world.api[0], "wrong"))
    world.introspect(token, world.client)
    other = resource_server_actions.register_resource_server(
        world.accounts, "peek", "https://peek.example.com", pepper=world.store.pepper, **world.who
    )
    world.introspect(token, (other.server.client_id, other.secret))
    world.http.get("/metrics")
    world.store.usage.flush()
    world.store.sessions.of_credential(world.client[0])
    world.clock.at = idle_end
    assert not world.active(token)


def test_T_079_a_database_that_is_away(world, monkeypatch):
    token = world.access_token()
    errors = world.store.thread_connections._errors[0]

    def away(*_args, **_kwargs):
        raise errors

    with monkeypatch.context() as patch:
        patch.setattr(world.store.thread_connections._kind, "run", away)
        for text in (token, "x"):
            answer = world.introspect(text)
            assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
        assert world.token().status_code == 503
        assert world.post(END, {"token": token}, world.client).status_code == 503
        assert world.http.get("/.well-known/jwks.json").status_code == 503
    assert world.active(token)


def test_T_083_a_foreign_token_cannot_be_revoked(world):
    token = world.access_token()
    with noted(world) as notes:
        answer = world.post(END, {"token": token}, world.credential())
    assert answer.status_code == 400
    assert notes[0]["reason"] == "foreign_token"
    assert world.active(token)


def test_T_151_no_header_gives_authority(world):
    headers = {
        "X-Forwarded-User": "ada",
        "X-Remote-User": "ada",
        "X-Client-Id": world.client[0],
        "X-Original-Method": "GET",
        "X-HTTP-Method-Override": "GET",
        "User-Agent": "kube-probe/1.30",
        "X-SSL-Client-Verify": "SUCCESS",
    }
    assert world.http.post(TOKEN, data=GRANT, headers=headers).status_code == 401
    assert world.http.post(ASK, data={"token": "x"}, headers=headers).status_code == 401
    assert world.token((world.client[0], "wrong")).status_code == 401


def test_T_153_multipart_is_not_even_looked_at(world):
    part = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n"
    for body in (part * 1000, b"\r\n" * 30_000, b"--b" + b"\n" * 60_000):
        for path in (TOKEN, ASK, END):
            answer = world.http.post(path, data=body, content_type="multipart/form-data; boundary=b")
            assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    answer = world.http.post(TOKEN, data=part * 100_000, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 413


FIELDS = {
    TOKEN: ["grant_type", "client_id", "client_secret", "scope", "resource", "x"],
    ASK: ["token", "token_type_hint", "http_method", "http_route", "client_id", "client_secret"],
    END: ["token", "token_type_hint", "client_id", "client_secret"],
}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in FIELDS.items() for name in names])
@pytest.mark.parametrize("nul", ["%00", "\x00", "a%00b"])
def test_T_155_a_nul_is_refused_everywhere(world, path, name, nul):
    who = world.api if path == ASK else world.client
    rest = {**GRANT, "token": "x", "client_id": who[0], "client_secret": who[1]}
    rest.pop(name, None)
    pairs = [f"{key}={value}" for key, value in rest.items()]
    for data, query in (
        ("&".join([*pairs, f"{name}={nul}"]), ""),
        ("&".join([*pairs, f"{name}{nul}=x"]), ""),
        ("&".join(pairs), f"?z{name}={nul}".replace("\x00", "%00")),
    ):
        answer = world.http.post(path + query, data=data, content_type="application/x-www-form-urlencoded")
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), (data, query)


def test_T_155_a_nul_in_the_authorization(world):
    for who in ((f"{world.client[0]}\0", world.client[1]), (world.client[0], f"{world.client[1]}\0")):
        answer = world.token(who)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


def test_T_157_look_alikes_are_strangers(world):
    for scope in ("\uff52eader", "re\u0430der", "reader\u200b", "\u212aeader", "READER"):
        assert world.token(scope=scope).json["error"] == "invalid_scope"
    for resource in ("https://API.example.com", "https://api.ex\u0430mple.com", "https://api.example.com."):
        assert world.token(resource=resource).json["error"] == "invalid_target"


def test_T_161_parameters_with_addresses_fetch_nothing(world):
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for name in ("request", "request_uri", "jwks_uri", "logo_uri", "client_assertion_type", "redirect_uri"):
            assert world.token(**{name: url}).status_code in {200, 400}
        assert world.token(resource=url).status_code == 400
        with pytest.raises(TimeoutError):
            listener.accept()


def test_T_175_T_177_T_183_nothing_submitted_comes_back(world, capfd):
    secret, token = world.client[1], world.access_token()
    malformed = 'NEEDLE\r\n\u2028\x1b[31m","level":"info\u202e'
    with noted(world) as notes:
        world.token(("NEEDLE", secret))
        world.token((world.client[0], secret[:-1] + "!"))
        answers = [
            world.token(grant_type=malformed),
            world.token(scope=malformed),
            world.token(resource=malformed),
            world.token((malformed, malformed)),
            world.post(TOKEN, {**GRANT, "client_id": malformed, "client_secret": secret + "x"}),
            world.introspect(malformed),
            world.introspect(token, http_method=malformed, http_route="/x"),
            world.post(END, {"token": malformed, "token_type_hint": malformed}, world.client),
            world.introspect("NEEDLE" * 10_000),
        ]
    for answer in answers:
        assert b"NEEDLE" not in answer.data
        assert "NEEDLE" not in str(answer.headers)
    told = json.dumps(notes) + "".join(capfd.readouterr())
    assert "NEEDLE" not in told
    assert secret not in told
    assert token not in told


def test_T_181_each_refusal_has_its_reason(world):
    with noted(world) as notes:
        world.token(scope="none")
        world.token(resource="https://none.example.com")
        world.token(grant_type="password")
        world.post(TOKEN, GRANT)
        world.token(("x", "y"))
        world.introspect("x")
    reasons = [note["reason"] for note in notes]
    assert reasons == [
        "invalid_scope",
        "invalid_target",
        "unsupported_grant_type",
        "no_credentials",
        "malformed_client_id",
        "unknown_token",
    ]
    assert notes[0]["client"] == notes[1]["client"] == world.client[0]


# --- any bytes at all (T-165, INV-28) ----------------------------------------------------------

texts = st.text(max_size=40) | st.sampled_from(["client_credentials", "reader", "\0", "%00", "acs_", "Basic ", "=&"])
names = st.sampled_from(["grant_type", "client_id", "client_secret", "scope", "resource", "token", "http_route", "x"])
latin = st.text(st.characters(max_codepoint=255), max_size=40)


def call(world, environ):
    """Call the WSGI application as a server would; the status."""
    seen = []
    made = {
        "wsgi.input": io.BytesIO(environ.pop("body", b"")),
        "wsgi.url_scheme": "http",
        "REMOTE_ADDR": "127.0.0.1",
        **environ,
    }
    body = b"".join(world.http.application(made, lambda status, headers: seen.append((status, headers))))
    status = int(seen[0][0][:3])
    assert all("\n" not in value and "\r" not in value for _, value in seen[0][1])
    assert status < 500, body
    if body:
        json.loads(body)
    return status


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    environ=st.fixed_dictionaries(
        {
            "PATH_INFO": st.sampled_from([TOKEN, ASK, END, "/Auth/OAuth/Token", "/.well-known/jwks.json"]),
            "REQUEST_METHOD": st.sampled_from(["POST"] * 6 + ["GET", "HEAD", "x"]),
            "QUERY_STRING": latin,
            "CONTENT_TYPE": st.sampled_from(["application/x-www-form-urlencoded"] * 6) | latin,
            "HTTP_ACCEPT": latin,
            "HTTP_IF_NONE_MATCH": latin,
            "HTTP_X_REQUEST_ID": latin,
        },
        optional={"HTTP_AUTHORIZATION": st.just("good") | latin},
    ),
    form=st.lists(st.tuples(names, texts), max_size=6),
    raw=st.binary(max_size=200) | st.none(),
)
def test_T_165_INV_28_no_input_yields_a_5xx(world, environ, form, raw):
    body = raw if raw is not None else urlencode(form).encode()
    environ |= {"CONTENT_LENGTH": str(len(body)), "body": body}
    if environ.get("HTTP_AUTHORIZATION") == "good":
        environ["HTTP_AUTHORIZATION"] = basic(*(world.api if environ["PATH_INFO"] == ASK else world.client))
    call(world, environ)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(id_=st.binary(max_size=60), secret=st.binary(max_size=60))
def test_T_165_no_credentials_yield_a_5xx(world, id_, secret):
    import base64

    header = "Basic " + base64.b64encode(id_ + b":" + secret).decode()
    body = b"grant_type=client_credentials&token=x"
    for path in (TOKEN, ASK, END):
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": header,
            "body": body,
        }
        assert call(world, environ) in {400, 401}
