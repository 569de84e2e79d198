"""A shell of the server."""

import pytest

from tests.keys.test_key_stores import token as softhsm_token  # noqa: F401 - a fixture
from tests.support.shell import Shell


@pytest.fixture
def shell(world):
    return Shell(world.app)
