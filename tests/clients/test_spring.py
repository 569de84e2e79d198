"""The recipes of docs/spring.md, run by Spring Security and Nimbus themselves against a real server."""

import os
import re
import shutil
import subprocess
import uuid

import pytest

from authserver.actions import resource_servers, users
from tests.support.clients_js_plugin import need
from tests.support.processes import ROOT

HERE = ROOT / "tests" / "clients" / "spring"
AUDIENCE = "https://spring.example.com"


@pytest.fixture(scope="module")
def jars():
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    lacks = f"{' and '.join(missing)} missing: apt install default-jdk-headless maven" if missing else ""
    need("Spring Security was", lacks)
    folder = HERE / "target" / "jars"
    if not folder.exists():
        command = ["mvn", "-q", "-B", "-C", "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        got = subprocess.run(command, check=False, cwd=HERE, capture_output=True, text=True, timeout=300)
        assert got.returncode == 0, got.stdout + got.stderr
    return folder


@pytest.fixture(params=["at+jwt", "JWT"])
def api(site, request):
    """An API of Spring registered for either ``typ``: its type, id and secret, and a way to get its tokens."""
    name = f"spring {uuid.uuid4().hex}"
    audience = f"{AUDIENCE}/{uuid.uuid4().hex}"
    made = resource_servers.register_resource_server(
        site.store.accounts, name, audience, pepper=site.store.pepper, token_typ=request.param, **site.who
    )
    return request.param, audience, (made.server.client_id, made.secret)


def judged(jars, site, api, way, *tokens):
    _, audience, (client_id, secret) = api
    run = subprocess.run(
        ["java", "-cp", f"{jars}/*", str(HERE / "Probe.java"), way, site.issuer, audience],
        check=False,
        input="\n".join(tokens),
        env={"PATH": os.environ["PATH"], "RS_ID": client_id, "RS_SECRET": secret},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def asked(site, audience):
    return site.token("ES256", resource=audience)


GOOD = "yes [reader, writer]"


def test_the_default_of_spring_boot_takes_jwt_and_no_other_type(jars, site, api):
    typ, audience, _ = api
    for way in ("default", "openid"):
        (own,) = judged(jars, site, api, way, asked(site, audience))
        assert (own == GOOD) is (typ == "JWT"), own
        if typ != "JWT":
            assert "typ" in own
    (foreign,) = judged(jars, site, api, "default", site.token("ES256"))
    assert foreign.startswith("no ")


def test_the_decoder_of_the_page_takes_at_jwt_and_no_other_type(jars, site, api):
    typ, audience, _ = api
    own, foreign = judged(jars, site, api, "at+jwt", asked(site, audience), site.token("ES256"))
    assert (own == GOOD) is (typ == "at+jwt"), own
    assert foreign.startswith("no "), "the audience is another's"


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)  # a start of Java is dear, and the database does not matter
def test_nimbus_alone_takes_at_jwt_and_no_other_type(jars, site, api):
    typ, audience, _ = api
    good = asked(site, audience)
    forged = good[:-8] + ("AAAAAAAA" if good[-8:] != "AAAAAAAA" else "BBBBBBBB")
    own, foreign, other = judged(jars, site, api, "nimbus", good, site.token("ES256"), forged)
    assert (own == GOOD) is (typ == "at+jwt"), own
    assert foreign.startswith("no "), "the audience is another's"
    assert other.startswith("no "), "the signature is another"


def test_introspection_takes_the_registered_type_until_the_token_dies(jars, site, api):
    _, audience, _ = api
    mine = asked(site, audience)
    assert judged(jars, site, api, "introspection", mine, site.token("ES256"))[0] == GOOD
    users.revoke(site.store.accounts, "ada", "writer", **site.who)
    try:
        (dead,) = judged(jars, site, api, "introspection", mine)
        assert dead.startswith("no ")
    finally:
        users.grant(site.store.accounts, "ada", "writer", **site.who)


def test_the_page_shows_what_was_run():
    page = (ROOT / "docs" / "spring.md").read_text(encoding="utf-8")
    run = " ".join((HERE / "Probe.java").read_text(encoding="utf-8").split())
    blocks = re.findall(r"```java\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        assert " ".join(block.replace("@Bean", "").split()) in run
