"""ATTACKS, JOSE part, against the verifier itself: every case, with cold and with warm caches, in every mode."""

import pytest

from resource_server import InsufficientScope
from resource_server.kit.bad_claims import CLAIMS
from resource_server.kit.bad_signatures import SIGNATURES
from resource_server.kit.case import Material
from tests.resource_server.conftest import refused

MODES = {"exact": {}, "leased": {"mode": "leased", "max_staleness": 30}, "feed": {"mode": "feed", "max_staleness": 30}}


@pytest.fixture(params=MODES)
def verifier(request, verifier_of):
    return verifier_of(**MODES[request.param])


@pytest.mark.parametrize("case", [*SIGNATURES, *CLAIMS], ids=lambda case: case.name)
def test_every_bad_token_is_refused_before_the_server_is_asked(server, issuer, verifier, case):
    material = Material(issuer.mint(), issuer, f"{server.url}/steal/")
    texts = case.make(material)
    if case.name == "no-role":
        for text in texts:
            with pytest.raises(InsufficientScope):
                verifier.verify(text, roles=["reader"])
        return
    for text in texts:
        refused(verifier, text)
    verifier.verify(material.good)
    before = server.counts["/oauth/introspect"]
    for text in texts:
        refused(verifier, text)
    assert server.counts["/oauth/introspect"] == before
    assert server.followed == []
