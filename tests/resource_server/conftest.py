"""Fixtures of the package for resource servers."""

import pytest

from tests.resource_server import real as servers


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """One real server for all; who changes it puts it back."""
    with servers.started(tmp_path_factory.mktemp("real")) as running:
        yield running
