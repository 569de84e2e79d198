"""Who may call what: a table of every route, and what each kind of caller gets from each."""

import re

import pytest

from authserver.api.operations import OPERATIONS
from authserver.rules.permission import PERMISSIONS
from tests.support.api_client import problem

USERS, SETTINGS, RESOURCE_SERVERS, SECURITY, KEYS = PERMISSIONS
PUBLIC, TOKEN, BUILDER = "public", "token", "builder"

MATRIX = {
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/docs/errors/<code>"): PUBLIC,
    ("GET", "/docs/style.css"): PUBLIC,
    ("GET", "/me"): TOKEN,
    ("POST", "/me/credential/secrets"): TOKEN,
    ("GET", "/credentials"): BUILDER,
    ("POST", "/credentials"): BUILDER,
    ("GET", "/credentials/<client_id>"): BUILDER,
    ("PATCH", "/credentials/<client_id>"): BUILDER,
    ("DELETE", "/credentials/<client_id>"): BUILDER,
    ("POST", "/credentials/<client_id>/disable"): BUILDER,
    ("POST", "/credentials/<client_id>/enable"): BUILDER,
    ("GET", "/credentials/<client_id>/secrets"): BUILDER,
    ("POST", "/credentials/<client_id>/secrets"): BUILDER,
    ("PATCH", "/credentials/<client_id>/secrets/<secret_id>"): BUILDER,
    ("DELETE", "/credentials/<client_id>/secrets/<secret_id>"): BUILDER,
    ("DELETE", "/credentials/<client_id>/secrets"): BUILDER,
    ("GET", "/credentials/<client_id>/keys"): BUILDER,
    ("POST", "/credentials/<client_id>/keys"): BUILDER,
    ("DELETE", "/credentials/<client_id>/keys/<thumbprint>"): BUILDER,
    ("PUT", "/credentials/<client_id>/jwks-uri"): BUILDER,
    ("DELETE", "/credentials/<client_id>/jwks-uri"): BUILDER,
    ("GET", "/credentials/<client_id>/restrictions"): BUILDER,
    ("PUT", "/credentials/<client_id>/restrictions"): BUILDER,
    ("GET", "/credentials/<client_id>/trusts"): BUILDER,
    ("POST", "/credentials/<client_id>/trusts"): BUILDER,
    ("POST", "/credentials/<client_id>/trusts/try"): BUILDER,
    ("DELETE", "/credentials/<client_id>/trusts/<trust_id>"): BUILDER,
    ("GET", "/credentials/<client_id>/certificates"): BUILDER,
    ("POST", "/credentials/<client_id>/certificates"): BUILDER,
    ("DELETE", "/credentials/<client_id>/certificates/<certificate_id>"): BUILDER,
    ("GET", "/credentials/<client_id>/sessions"): BUILDER,
    ("DELETE", "/credentials/<client_id>/sessions"): BUILDER,
    ("GET", "/sessions/<jti>"): BUILDER,
    ("GET", "/inventory/sessions/<jti>"): (SECURITY,),
    ("DELETE", "/sessions/<jti>"): BUILDER,
    ("GET", "/credentials/<client_id>/usage"): BUILDER,
    ("GET", "/credentials/<client_id>/timeline"): BUILDER,
    ("GET", "/users"): (USERS,),
    ("POST", "/users"): (USERS,),
    ("GET", "/users/<username>"): (USERS,),
    ("POST", "/users/<username>/disable"): (USERS,),
    ("POST", "/users/<username>/enable"): (USERS,),
    ("GET", "/users/<username>/preview"): (USERS,),
    ("POST", "/users/<username>/roles"): (USERS,),
    ("DELETE", "/users/<username>/roles/<role_id>"): (USERS,),
    ("POST", "/users/<username>/login-links"): (USERS,),
    ("GET", "/roles"): (USERS,),
    ("POST", "/roles"): (USERS,),
    ("GET", "/roles/<role_id>"): (USERS,),
    ("GET", "/roles/<role_id>/preview"): (USERS,),
    ("DELETE", "/roles/<role_id>"): (USERS,),
    ("GET", "/resource-servers"): (RESOURCE_SERVERS,),
    ("POST", "/resource-servers"): (RESOURCE_SERVERS,),
    ("GET", "/resource-servers/<server_id>"): (RESOURCE_SERVERS,),
    ("PATCH", "/resource-servers/<server_id>"): (RESOURCE_SERVERS,),
    ("POST", "/resource-servers/<server_id>/secrets"): (RESOURCE_SERVERS,),
    ("POST", "/resource-servers/<server_id>/disable"): (RESOURCE_SERVERS,),
    ("POST", "/resource-servers/<server_id>/enable"): (RESOURCE_SERVERS,),
    ("GET", "/settings"): BUILDER,
    ("GET", "/settings/<name>"): BUILDER,
    ("GET", "/settings/<name>/history"): BUILDER,
    ("GET", "/settings/<name>/preview"): (SETTINGS,),
    ("PUT", "/settings/<name>"): (SETTINGS,),
    ("GET", "/signing-keys"): (SECURITY,),
    ("POST", "/signing-keys"): (SECURITY, KEYS),
    ("POST", "/signing-keys/rotate"): (SECURITY, KEYS),
    ("GET", "/signing-keys/forecast"): (SECURITY,),
    ("GET", "/signing-keys/<kid>"): (SECURITY,),
    ("GET", "/signing-keys/<kid>/readiness"): (SECURITY,),
    ("GET", "/signing-keys/<kid>/drill"): (SECURITY,),
    ("POST", "/signing-keys/<kid>/retire"): (SECURITY, KEYS),
    ("POST", "/signing-keys/<kid>/compromise"): (SECURITY, KEYS),
    ("POST", "/signing-keys/<kid>/withdraw"): (SECURITY, KEYS),
    ("GET", "/audit"): (SECURITY,),
    ("GET", "/audit/head"): (SECURITY,),
    ("GET", "/audit/export"): (SECURITY,),
    ("GET", "/audit/export.csv"): (SECURITY,),
    ("GET", "/audit/checkpoints"): (SECURITY,),
    ("GET", "/audit/checkpoints/keys"): (SECURITY,),
    ("POST", "/audit/verify"): (SECURITY,),
    ("GET", "/webhooks"): (SECURITY,),
    ("POST", "/webhooks"): (SECURITY,),
    ("GET", "/webhooks/<webhook_id>"): (SECURITY,),
    ("PATCH", "/webhooks/<webhook_id>"): (SECURITY,),
    ("DELETE", "/webhooks/<webhook_id>"): (SECURITY,),
    ("POST", "/webhooks/<webhook_id>/secrets"): (SECURITY,),
    ("POST", "/webhooks/<webhook_id>/disable"): (SECURITY,),
    ("POST", "/webhooks/<webhook_id>/enable"): (SECURITY,),
    ("POST", "/webhooks/<webhook_id>/test"): (SECURITY,),
    ("GET", "/webhooks/<webhook_id>/deliveries"): (SECURITY,),
    ("GET", "/webhooks/<webhook_id>/deliveries/<event_id>"): (SECURITY,),
    ("POST", "/webhooks/<webhook_id>/deliveries/<event_id>/replay"): (SECURITY,),
    ("POST", "/webhooks/<webhook_id>/replay"): (SECURITY,),
    ("GET", "/state"): (USERS, SETTINGS, RESOURCE_SERVERS, SECURITY),
    ("PUT", "/state"): (USERS, SETTINGS, RESOURCE_SERVERS, SECURITY),
    ("GET", "/inventory/credentials"): (SECURITY,),
    ("GET", "/inventory/unused"): (SECURITY,),
    ("GET", "/inventory/shared-secrets"): (SECURITY,),
    ("POST", "/inventory/credentials/preview"): (SECURITY, USERS),
    ("POST", "/inventory/credentials/disable"): (SECURITY, USERS),
}
"""Every method of every route, and what opens it: a word, or all of some permissions, which need a builder role too.

A route that is missing here fails the test below: whoever adds one decides who may call it, twice."""

FILLED = {"<int:seq>": "999999999"}


def routes(world):
    for rule in world.app.url_map.iter_rules():
        if rule.rule.startswith("/api"):
            for method in rule.methods - {"HEAD"}:
                yield method, rule.rule.removeprefix("/api/v1")


def entries():
    """The entries of the matrix that need a token."""
    return [key for key, opens in MATRIX.items() if opens != PUBLIC]


def permissions_of(method, path):
    """The permissions an entry names; none where a token, or a builder's token, is enough."""
    opens = MATRIX[method, path]
    return opens if isinstance(opens, tuple) else ()


def address(path):
    for part, value in FILLED.items():
        path = path.replace(part, value)
    return re.sub(r"<\w+>", "00000000-0000-4000-8000-000000000000", path)


def is_refused(answer):
    """Whether the caller may not call it; that a setting forbids it to everybody is something else."""
    told = str((answer.json or {}).get("type", "")) if answer.mimetype == "application/problem+json" else ""
    return answer.status_code == 401 or (answer.status_code == 403 and not told.endswith("/not_allowed"))


def call(client, method, path, **headers):
    return client(method, address(path), {} if method in {"POST", "PUT", "PATCH"} else None, If_Match="*", **headers)


def test_every_route_has_an_entry_and_every_entry_a_route(world):
    assert set(routes(world)) == set(MATRIX)


def test_what_the_operations_declare_is_what_the_matrix_says():
    for made in OPERATIONS:
        said = MATRIX[made.method, made.path]
        expected = said if isinstance(said, str) else "permissions"
        words = (PUBLIC, TOKEN, BUILDER)
        declared = words[made.access.token + made.access.builder] if not made.access.permissions else "permissions"
        assert declared == expected, made.name
        assert set(made.access.permissions) == set(said if isinstance(said, tuple) else ()), made.name


@pytest.mark.parametrize(("method", "path"), entries())
def test_nobody_comes_in_without_a_live_token_for_this_api(world, method, path):
    for header in (
        "",
        "Bearer",
        "Bearer x",
        "Basic eDp5",
        f"Bearer {world.access_token(resource='https://api.example.com')}",
    ):
        answer = call(world.root, method, path, Authorization=header)
        problem(answer, 401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(("method", "path"), entries())
def test_a_token_without_a_builder_role_opens_nothing_but_what_says_so(world, method, path):
    plain = world.root_plain()
    answer = call(plain, method, path)
    if MATRIX[method, path] == TOKEN:
        assert not is_refused(answer)
    else:
        problem(answer, 403, "insufficient_scope")


@pytest.mark.parametrize(("method", "path"), entries())
def test_each_permission_is_needed_and_together_they_are_enough(world, method, path):
    needed = permissions_of(method, path)
    for missing in needed:
        problem(call(world.with_permissions(set(PERMISSIONS) - {missing}), method, path), 403, "insufficient_scope")
    answer = call(world.with_permissions(needed), method, path)
    assert not is_refused(answer), answer.text
    assert answer.status_code < 500


@pytest.mark.parametrize(("method", "path"), entries())
def test_a_builder_without_permissions_is_told_so_before_anything_else(world, method, path):
    answer = call(world.ada, method, path)
    if isinstance(MATRIX[method, path], tuple):
        problem(answer, 403, "insufficient_scope")
    else:
        assert not is_refused(answer)
        assert answer.status_code < 500


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "DELETE", "BREW"])
def test_methods_that_no_operation_has_are_refused_also_without_a_token(world, method):
    answer = world.http.open("/api/v1/me", method=method)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD"


ENDS_FOR_GOOD = {("DELETE", "/credentials/<client_id>/sessions"), ("DELETE", "/sessions/<jti>")}
"""A token has no versions: it lives, or its end is final, and to end it again changes nothing."""

CHANGES_NOTHING = {
    ("POST", "/audit/verify"),
    ("POST", "/inventory/credentials/preview"),
    ("POST", "/credentials/<client_id>/trusts/try"),
}

SENDS_AGAIN = {
    ("POST", "/webhooks/<webhook_id>/test"),
    ("POST", "/webhooks/<webhook_id>/replay"),
    ("POST", "/webhooks/<webhook_id>/deliveries/<event_id>/replay"),
}
"""What is delivered carries an id of its own, by which a receiver knows it again."""


def test_every_change_is_an_edit_with_if_match_or_takes_an_idempotency_key():
    changes = {(made.method, made.path): made for made in OPERATIONS if made.method != "GET"}
    assert set(changes) >= (ENDS_FOR_GOOD | CHANGES_NOTHING | SENDS_AGAIN)
    bare = {key for key, made in changes.items() if made.edits == made.creates}
    assert bare == ENDS_FOR_GOOD | CHANGES_NOTHING | SENDS_AGAIN


def test_what_can_be_edited_is_read_with_its_etag():
    edited = {made.path for made in OPERATIONS if made.edits}
    tagged = {made.path for made in OPERATIONS if made.method == "GET" and made.etag}
    without = {path for path in edited if not any(path == each or path.startswith(f"{each}/") for each in tagged)}
    assert not without
