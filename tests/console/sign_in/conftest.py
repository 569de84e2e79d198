"""A console for each database, shared by a module."""

import pytest

from tests.support.wsgi_client import BACKENDS, opened


@pytest.fixture(scope="module", params=BACKENDS)
def services(request, tmp_path_factory):
    """One world for the whole file; every test makes its own people in it."""
    yield from opened(request.param, tmp_path_factory.mktemp("console"))


@pytest.fixture
def site(services):
    """The world, where nobody has tried anything yet."""
    services.store.login_attempts.sweep(2**40)
    return services
