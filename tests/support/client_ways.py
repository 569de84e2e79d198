"""How clients in the tests of faults prove who they are: each credential in another way, all within one run.

What a credential needs is JSON, so that the processes of clients can be told of it.
"""

import base64
import itertools
import json
import time
import uuid

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.assertions import Signer, form

SECRET, KEY, DPOP, FEDERATION = WAYS = ("secret", "key", "DPoP", "federation")
PLATFORM = "https://platform.example.com"
"""The issuer of workload tokens; its keys are pasted into the trust, so nobody fetches them."""


def equip(url, master_key, issuer, made):
    """Give credentials that have a secret a way each, in turn; ``made`` is of ``seed``, and is told of it."""
    from app import create_app
    from authserver.actions import client_keys
    from authserver.actions.client_authentication import trusts
    from authserver.config import Config
    from authserver.rules.client_authentication.trust import made_trust

    config = Config(database_url=url, master_key=master_key, issuer=issuer)
    services = create_app(config, background=False).extensions["services"]
    accounts, who = services.store().accounts, {"actor": "test", "now": services.clock.now()}
    for each, way in zip(made, itertools.cycle(WAYS), strict=False):
        signer = Signer()
        each |= {"way": way, "pem": signer.private_pem}
        if way == KEY:
            client_keys.add(accounts, each["client"], signer.pem, "", **who)
        if way == FEDERATION:
            jwks, conditions = json.dumps({"keys": [signer.jwk]}), [("sub", each["client"])]
            trusts.add(accounts, each["client"], made_trust(PLATFORM, issuer, conditions, jwks=jwks), **who)
    services.close()


def proven_by(each, secret):
    """What a token must die with: the secret, or a name for the key or trust, which nobody ends in these tests."""
    return secret if each.get("way", SECRET) in {SECRET, DPOP} else f"{each['way']} of {each['client']}"


def authentication(each, secret, issuer):
    """Headers and form that authenticate a credential in its way."""
    way = each.get("way", SECRET)
    if way in {SECRET, DPOP}:
        encoded = base64.b64encode(f"{each['client']}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {encoded}"}, {}
    now, me = int(time.time()), each["client"]
    claims = {"iss": me, "sub": me, "aud": issuer, "iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
    if way == FEDERATION:
        claims["iss"] = PLATFORM
    return {}, form(_signer(each).jws({"alg": "ES256"}, claims), client_id=me)


def token_request(each, secret, issuer):
    """Headers and form of a token request; by DPoP, with a proof."""
    headers, body = authentication(each, secret, issuer)
    body = {"grant_type": "client_credentials", **body}
    if each.get("way") == DPOP:
        signer = _signer(each)
        claims = {"htm": "POST", "htu": f"{issuer}/oauth/token", "iat": int(time.time()), "jti": str(uuid.uuid4())}
        headers["DPoP"] = signer.jws({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk}, claims)
    return headers, body


_signers: dict[str, Signer] = {}


def _signer(each):
    if each["client"] not in _signers:
        _signers[each["client"]] = Signer(private=load_pem_private_key(each["pem"].encode(), None))
    return _signers[each["client"]]
