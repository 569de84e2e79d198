"""A world for Shared Signals, and a receiver that knows the standards and PyJWT alone."""

import json

import jwt
import pytest

from tests.support.wsgi_client import BACKENDS, basic, opened

SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
TOKEN_CLAIMS_CHANGE = "https://schemas.openid.net/secevent/caep/event-type/token-claims-change"
CREDENTIAL_CHANGE = "https://schemas.openid.net/secevent/caep/event-type/credential-change"
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
STREAM_UPDATED = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
POLL, PUSH = "urn:ietf:rfc:8936", "urn:ietf:rfc:8935"


BOTH = pytest.mark.parametrize("world", BACKENDS, indirect=True)
"""What is about statements and locks runs on both databases."""


@pytest.fixture(params=["sqlite"])
def world(request, tmp_path):
    yield from opened(request.param, tmp_path)


@pytest.fixture
def receiver(world):
    return Receiver(world)


class Receiver:
    """Finds everything from the issuer alone, as a receiver of another maker does."""

    def __init__(self, world, api=None):
        self.world, self.api = world, api or world.api
        self.issuer = world.services.issuer
        self.discovered = world.http.get("/.well-known/ssf-configuration").json

    def call(self, method, url, told=None, *, api=None, raw=None, kind="application/json"):
        headers = {"Content-Type": kind}
        if api != ():
            headers["Authorization"] = basic(*(api or self.api))
        body = raw if raw is not None else None if told is None else json.dumps(told)
        assert url.startswith(self.issuer), url
        return self.world.http.open(url.removeprefix(self.issuer), method=method, data=body, headers=headers)

    def streams(self, method, told=None, stream_id=None, **options):
        query = f"?stream_id={stream_id}" if stream_id else ""
        return self.call(method, self.discovered["configuration_endpoint"] + query, told, **options)

    def create(self, **told):
        answer = self.streams("POST", told)
        assert answer.status_code == 201, answer.text
        return answer.json

    def poll(self, stream, **told):
        """The claims of the events, by ``jti``; each is checked as RFC 8417 and SSF 1.0 say."""
        answer = self.call("POST", stream["delivery"]["endpoint_url"], {"returnImmediately": True, **told})
        assert answer.status_code == 200, answer.text
        return {jti: self.verified(text, jti) for jti, text in answer.json["sets"].items()}

    def verified(self, text, jti=None):
        keys = jwt.PyJWKSet.from_dict(self.world.http.get("/.well-known/jwks.json").json)
        header = jwt.get_unverified_header(text)
        assert header["typ"] == "secevent+jwt"  # RFC 8417 §2.3
        claims = jwt.decode(
            text,
            keys[header["kid"]],
            algorithms=["ES256"],
            audience=self.api[0],
            issuer=self.discovered["issuer"],
            options={"require": ["iss", "iat", "jti", "aud"], "verify_iat": False},
        )
        assert not {"sub", "exp"} & set(claims)  # SSF 1.0 §4.1
        assert len(claims["events"]) == 1
        assert "format" in claims["sub_id"]  # RFC 9493 §3
        assert jti in {None, claims["jti"]}
        return claims
