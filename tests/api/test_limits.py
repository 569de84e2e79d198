"""What an answer says about limits and about its own end: RateLimit, Retry-After, Deprecation, Sunset."""

import datetime as dt
import re
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest

from authserver.api import openapi, operations, rate_limits
from authserver.api.deprecation import NOTICE, Deprecation
from tests.support.api_client import problem

QUOTA = 5


class Seconds:
    def __init__(self):
        self.at = 100.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock(world):
    """A quota of five, on a clock of its own."""
    clock, before = Seconds(), world.app.extensions["api_rate_limits"]
    world.app.extensions["api_rate_limits"] = rate_limits.RateLimits(QUOTA, clock)
    yield clock
    world.app.extensions["api_rate_limits"] = before


def told(answer):
    policy = re.fullmatch(r'"credential";q=(\d+);w=(\d+)', answer.headers["RateLimit-Policy"])
    left = re.fullmatch(r'"credential";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
    return (*map(int, policy.groups()), *map(int, left.groups()))


def test_every_answer_tells_what_is_left_until_one_is_too_many(world, clock):
    assert [told(world.root.get("/me")) for _ in range(2)] == [(QUOTA, 60, 4, 60), (QUOTA, 60, 3, 60)]
    clock.at += 20.5
    refused = world.root.get("/users/nobody")
    assert (refused.status_code, told(refused)) == (404, (QUOTA, 60, 2, 40))
    assert told(world.ada.get("/users")) == (QUOTA, 60, 4, 60)  # a credential of its own, and one that may not: 403
    for _ in range(2):
        world.root.get("/me")
    limited = world.root("POST", "/roles", {"name": "late", "kind": "operational", "permissions": []})
    problem(limited, 429, "too_many_requests")
    assert told(limited) == (QUOTA, 60, 0, 40)
    assert limited.headers["Retry-After"] == "40"
    assert "late" not in {each.name for each in world.accounts.roles()}
    assert world.ada.get("/me").status_code == 200
    clock.at += 39.5
    assert told(world.root.get("/me")) == (QUOTA, 60, 4, 60)


def test_a_token_that_is_none_counts_for_nobody(world, clock):
    for _ in range(QUOTA + 1):
        answer = world.root("GET", "/me", token="x")
        assert (answer.status_code, "RateLimit" in answer.headers) == (401, False)
    assert told(world.root.get("/me"))[2] == QUOTA - 1
    assert "RateLimit" not in world.root.get("/openapi.json").headers


def test_without_a_quota_nothing_is_told(world):
    assert "RateLimit" not in world.root.get("/me").headers


def test_the_memory_of_callers_is_bounded(monkeypatch):
    monkeypatch.setattr(rate_limits, "_MAX_CALLERS", 3)
    limits = rate_limits.RateLimits(1, Seconds())
    for number in range(10):
        assert limits.count(f"c{number}") == (0, 60)
    assert len(limits._windows) == 3
    assert limits.count("c9") == (-1, 60)


def test_what_is_deprecated_says_since_when_until_when_and_what_instead(world, monkeypatch):
    since = int(dt.datetime(2027, 1, 1, tzinfo=dt.UTC).timestamp())
    ends = Deprecation(since, since + NOTICE, "/me")
    serve = operations._serve

    def served(made, *rest):
        return serve(replace(made, deprecated=ends) if made.path == "/audit/head" else made, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(operations, "_serve", served)
        answer, refused = world.root.get("/audit/head"), world.ada.get("/audit/head")
    assert (answer.status_code, refused.status_code) == (200, 403)
    for each in (answer, refused):
        assert each.headers["Deprecation"] == f"@{since}"
        assert parsedate_to_datetime(each.headers["Sunset"]).timestamp() == since + NOTICE
        assert each.headers["Link"] == (
            '</api/v1/docs>; rel="deprecation"; type="text/html", </api/v1/me>; rel="successor-version"'
        )
    assert "Deprecation" not in world.root.get("/audit/head").headers
    changed = [replace(each, deprecated=ends) if each.path == "/audit/head" else each for each in operations.OPERATIONS]
    monkeypatch.setattr(openapi, "OPERATIONS", changed)
    described = openapi.openapi_document("https://x.example")["paths"]["/audit/head"]["get"]
    assert described["deprecated"] is True
    assert {"Deprecation", "Sunset", "RateLimit"} <= described["responses"]["200"]["headers"].keys()


def test_a_notice_is_a_year_and_every_successor_exists():
    with pytest.raises(ValueError, match="a year"):
        Deprecation(0, NOTICE - 1)
    paths = {made.path for made in operations.OPERATIONS}
    assert all(made.deprecated is None or made.deprecated.successor in {"", *paths} for made in operations.OPERATIONS)
