"""A ring of keys of each algorithm."""

import pytest

from tests.keys.support import new_key


@pytest.fixture(scope="module")
def ring():
    """One key for each algorithm; made once, because RSA takes its time."""
    return {alg: new_key(alg) for alg in ("ES256", "RS256", "PS256", "EdDSA")}


@pytest.fixture(params=["ES256", "RS256", "PS256", "EdDSA"])
def key(request, ring):
    return ring[request.param]


@pytest.fixture
def es256(ring):
    return ring["ES256"]
