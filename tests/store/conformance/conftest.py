"""Backends of the promises."""

import pytest

from tests.support.stores import fresh


@pytest.fixture(params=["model", "sqlite", "postgresql"])
def place(request, tmp_path):
    made = fresh(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    made = fresh(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def own_database(request, tmp_path):
    """One that is altered beyond what emptying repairs."""
    made = fresh(request.param, tmp_path, own=True)
    yield made
    made.close()


@pytest.fixture
def store(place):
    return place.open()


@pytest.fixture
def nodes(database):
    return database.open(), database.open()
