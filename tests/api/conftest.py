"""A standing world for each module of tests of the management API, on both databases."""

import pytest

from tests.support import databases
from tests.support.api_client import ApiWorld
from tests.support.wsgi_client import unlimited


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request, tmp_path_factory):
    if request.param == "sqlite":
        url = databases.fresh_sqlite_url(tmp_path_factory.mktemp("api"))
    else:
        url = databases.fresh_postgres_url()
    world = ApiWorld(url)
    unlimited(world)
    yield world
    world.services.close()
