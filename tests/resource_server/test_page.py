"""The page for resource servers tells the truth: its Python runs as it stands, its tables match the code."""

import dataclasses
import re

import httpx
import pytest

from resource_server import AsyncVerifier, Verifier
from resource_server.kit.run import names
from resource_server.settings import Settings
from tests.support import async_calls
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "resource-servers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(monkeypatch, issuer, server):
    for name, value in {
        "ISSUER": issuer.url, "AUDIENCE": issuer.audience, "CLIENT_ID": issuer.api[0], "CLIENT_SECRET": issuer.api[1],
    }.items():  # fmt: skip
        monkeypatch.setenv(f"RESOURCE_SERVER_{name}", value)


def asked(app, verifier, **options):
    """The status of a call of an application of either kind."""
    if hasattr(app, "wsgi_app") or type(app).__module__.endswith(".wsgi"):
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://api") as client:
            return client.get("/things/5", **options).status_code

    async def call():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            status = (await client.get("/things/5", **options)).status_code
        await verifier._state.transport.aclose()  # its connections are this loop's
        return status

    return async_calls.run(call())


def verifiers(names):
    """Those that a block made, by themselves or in a guard."""
    held = [getattr(value, "verifier", getattr(value, "_verifier", value)) for value in names.values()]
    return [each for each in held if isinstance(each, Verifier | AsyncVerifier)]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_runs_as_it_stands(environment, issuer, number):
    names: dict = {}
    exec(compile(BLOCKS[number], f"block {number} of the page", "exec"), names)  # noqa: S102 - that is the test
    text = {"Authorization": f"Bearer {issuer.mint()}"}
    if "app" in names:
        (verifier,) = set(verifiers(names))
        without_role = {"Authorization": f"Bearer {issuer.mint(roles=[], scope='')}"}
        assert asked(names["app"], verifier, headers=text) == 200
        assert asked(names["app"], verifier) == 401
        assert asked(names["app"], verifier, headers=without_role) == 403
    else:
        names["verifier"].verify(issuer.mint())
        assert (
            names["registry"].get_sample_value("resource_server_events_total", {"event": "accepted", "reason": ""}) == 1
        )
    for verifier in verifiers(names):
        if isinstance(verifier, Verifier):
            verifier.close()
        else:
            async_calls.run(verifier.aclose())


def test_every_setting_is_on_the_page():
    for field in dataclasses.fields(Settings):
        if field.name not in {"issuer", "audience", "credentials"}:
            assert f"`{field.name}`" in PAGE, field.name


def test_checks_named_on_the_page_exist():
    for name in re.findall(r"^FOUND +([a-z0-9-]+):", PAGE, re.MULTILINE):
        assert name in set(names())
