"""RFC 6750 and RFC 9728 as texts: reading the header, challenges, metadata."""

import json

import pytest

from resource_server import (
    ConfigurationError,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Unavailable,
)
from resource_server.http import bearer_token, challenge, metadata, metadata_path, refusal
from resource_server.settings import Settings


def settings(**changed):
    values = {"issuer": "https://auth.example.com", "audience": "https://api.example.com/v1", "credentials": ("a", "b")}
    return Settings(**{**values, **changed})


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc ", "Bearer abc "])
def test_a_token(header):
    assert bearer_token([header]) == "abc"


@pytest.mark.parametrize("headers", [[], [""], ["Basic abc"], ["abc"], ["Bearerabc"], ["DPoP abc"]])
def test_none(headers):
    with pytest.raises(MissingToken):
        bearer_token(headers)


@pytest.mark.parametrize(
    "headers", [["Bearer"], ["Bearer "], ["Bearer a b"], ["Bearer a, Bearer b"], ["Bearer a", "Bearer a"]]
)
def test_W_03_several_or_none_in_a_bearer_header(headers):
    with pytest.raises(InvalidRequest):
        bearer_token(headers)


@pytest.mark.parametrize("query", ["access_token=abc", "a=b&access_token=", "access%5ftoken=x&access_token=y"])
def test_W_02_a_token_in_the_query_is_refused(query):
    with pytest.raises(InvalidRequest):
        bearer_token(["Bearer abc"], query)


def test_a_query_that_only_mentions_it_is_not():
    assert bearer_token(["Bearer abc"], "q=access_token") == "abc"


@pytest.mark.parametrize(
    ("refused", "status", "told"),
    [
        (MissingToken(), 401, 'Bearer realm="https://api.example.com/v1", resource_metadata="{}"'),
        (
            InvalidToken("expired"), 401,
            ('Bearer realm="https://api.example.com/v1", error="invalid_token",'
            ' error_description="The access token is not valid.", resource_metadata="{}"'),
        ),
        (
            InsufficientScope(("a", "b")), 403,
            ('Bearer realm="https://api.example.com/v1", error="insufficient_scope",'
            ' error_description="The access token lacks a role that this call needs.", scope="a b",'
            ' resource_metadata="{}"'),
        ),
        (
            InvalidRequest("header"), 400,
            ('Bearer realm="https://api.example.com/v1", error="invalid_request",'
            ' error_description="Send one access token, in one Authorization header: Bearer <token>.",'
            ' resource_metadata="{}"'),
        ),
    ],
)  # fmt: skip
def test_W_04_W_05_W_06_challenges(refused, status, told):
    answer = refusal(settings(), refused)
    where = "https://api.example.com/.well-known/oauth-protected-resource/v1"
    assert answer.status == status
    assert dict(answer.headers)["WWW-Authenticate"] == told.format(where)
    assert dict(answer.headers)["Cache-Control"] == "no-store"


def test_why_a_token_is_dead_is_never_told():
    bodies = {refusal(settings(), InvalidToken(why)) for why in ("expired", "inactive", "role_version", "signature")}
    assert len(bodies) == 1


def test_unavailable_is_503_with_the_wait_and_no_challenge():
    answer = refusal(settings(), Unavailable("x", retry_after=7))
    assert answer.status == 503
    assert dict(answer.headers)["Retry-After"] == "7"
    assert "WWW-Authenticate" not in dict(answer.headers)
    assert json.loads(answer.body)["error"] == "temporarily_unavailable"


def test_quotes_do_not_break_the_challenge():
    assert challenge(settings(audience='a"b\\c'), MissingToken()) == 'Bearer realm="a\\"b\\\\c"'


def test_metadata():
    assert metadata(settings(), ["b", "a"], resource_name="Things") == {
        "resource": "https://api.example.com/v1",
        "authorization_servers": ["https://auth.example.com"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"],
        "scopes_supported": ["a", "b"],
        "resource_name": "Things",
    }
    assert metadata_path(settings()) == "/.well-known/oauth-protected-resource/v1"
    assert metadata_path(settings(audience="https://api.example.com")) == "/.well-known/oauth-protected-resource"
    assert metadata(settings(audience="x", resource="https://x.example.com"))["resource"] == "https://x.example.com"


@pytest.mark.parametrize("audience", ["things", "urn:things", "http://api.example.com"])
def test_an_audience_that_is_no_url_has_no_place_for_it(audience):
    with pytest.raises(ConfigurationError, match="give resource="):
        metadata(settings(audience=audience))
    assert "resource_metadata" not in challenge(settings(audience=audience), MissingToken())
