"""Federation with an issuer that nobody here wrote: the npm package oidc-provider, over HTTP, by discovery."""

import base64
import hashlib
import ipaddress
import re
import time
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
import requests

from authserver.actions.client_authentication import trusts as client_trusts
from authserver.rules.client_authentication.trust import made_trust
from tests.support import openid_provider as openid
from tests.support.assertions import token
from tests.support.wsgi_client import opened

REDIRECT_URI = "http://127.0.0.1:9/return"
VERIFIER = "a-code-verifier-that-is-long-enough-for-anybody-0123"


@pytest.fixture
def world(tmp_path):
    for world in opened("sqlite", tmp_path):
        world.clock.at = int(time.time())  # the issuer's tokens are of now
        world.services.remote_keys.__init__((ipaddress.ip_network("127.0.0.0/8"),))
        yield world


def id_token(issuer, login):
    """What the provider signs for whoever signs in as ``login``, by the code flow with PKCE."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
    asked = {
        "client_id": openid.CLIENT["client_id"],
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": "openid",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    person, url = requests.Session(), f"{issuer}/auth?{urlencode(asked)}"
    answer = person.get(url, allow_redirects=False, timeout=30)
    for _ in range(20):
        if answer.is_redirect:
            url = urljoin(url, answer.headers["Location"])
            if url.startswith(REDIRECT_URI):
                break
            answer = person.get(url, allow_redirects=False, timeout=30)
            continue
        form = dict(re.findall(r'<input[^>]*name="(prompt)" value="([^"]+)"', answer.text))
        action = urljoin(url, re.search(r'<form[^>]*action="([^"]+)"', answer.text)[1])
        if form["prompt"] == "login":
            form |= {"login": login, "password": "anything"}
        url, answer = action, person.post(action, data=form, allow_redirects=False, timeout=30)
    code = parse_qs(urlsplit(url).query)["code"][0]
    sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    auth = (openid.CLIENT["client_id"], openid.CLIENT["client_secret"])
    told = requests.post(f"{issuer}/token", data=sent, auth=auth, timeout=30)
    assert told.status_code == 200, told.text
    return told.json()["id_token"]


class TestRealProvider:
    def test_its_tokens_stand_for_a_credential_and_for_no_other(self, world, node):
        client_id = world.credential()[0]
        with openid.real(node, REDIRECT_URI) as issuer:
            wanted = made_trust(issuer, openid.CLIENT["client_id"], [("sub", "workload-1")])
            client_trusts.add(world.accounts, client_id, wanted, **world.who)
            good, other = id_token(issuer, "workload-1"), id_token(issuer, "workload-2")
            granted = token(world, good, client_id=client_id)
            assert granted.status_code == 200, granted.text
            assert world.active(granted.json["access_token"])
            assert token(world, good).status_code == 200  # it is the one credential that this token matches
            assert token(world, other, client_id=client_id).status_code == 401
            (trial,) = client_trusts.try_token(
                world.accounts, client_id, other, world.services.remote_keys, now=world.clock.at
            )
            assert [each.name for each in trial.checks if each.reason] == ["sub"]
        # The issuer is gone: the keys that are known go on to count.
        assert token(world, good, client_id=client_id).status_code == 200
