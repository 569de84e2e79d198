"""A standing world for each module of tests of the management API, on both databases."""

import pytest

from tests.support.api_client import ApiWorld
from tests.support.stores import migrated_url
from tests.support.wsgi_client import unlimited


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request, tmp_path_factory):
    world = ApiWorld(migrated_url(request.param, tmp_path_factory.mktemp("api")))
    unlimited(world)
    yield world
    world.services.close()
