"""Clients that independent generators make of the OpenAPI document do what an integrator does.

Python by openapi-python-client, TypeScript by openapi-typescript and openapi-fetch, and a Postman collection by
openapi-to-postmanv2, which newman runs.
"""

import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from authserver.actions import roles as role_actions
from authserver.api.openapi import openapi_document
from authserver.api.operations import OPERATIONS
from tests.support.api_client import ApiWorld
from tests.support.clients_js_plugin import missing, need
from tests.support.processes import ROOT
from tests.support.stores import migrated_url
from tests.support.wsgi_client import unlimited

HOME = ROOT / "tests" / "api_js"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = ApiWorld(migrated_url("sqlite", tmp_path_factory.mktemp("generated")))
    unlimited(world)
    yield world
    world.services.close()


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(openapi_document("http://127.0.0.1:8000")))
    return path


class Quiet(WSGIRequestHandler):
    """The server logs each request by itself."""

    def log_request(self, code="-", size="-"):
        pass


@pytest.fixture(scope="module")
def server(world):
    """The address of the API, served to other processes."""
    made = make_server("127.0.0.1", 0, world.http.application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/api/v1"
    made.shutdown()
    thread.join(60)
    made.server_close()


# --- Python ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(document, tmp_path_factory):
    """The package that openapi-python-client makes; nothing of the document may be left out."""
    home = tmp_path_factory.mktemp("python")
    config = home / "config.yaml"
    config.write_text('{"content_type_overrides": {"application/jsonl; charset=utf-8": "text/plain"}}')
    words = ("generate", "--path", document, "--config", config, "--output-path", home / "generated_api")
    said = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *words, "--meta", "none", "--fail-on-warning"],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # it formats by ruff
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    sys.path.insert(0, str(home))
    yield importlib.import_module("generated_api")
    sys.path.remove(str(home))


@pytest.fixture
def client(generated, world):
    return generated.AuthenticatedClient(
        base_url="http://127.0.0.1:8000/api/v1",
        token=world.root.token,
        httpx_args={"transport": httpx.WSGITransport(app=world.http.application)},
    )


def call(client, path, **given):
    """The answer of an operation, by the path of its module."""
    return importlib.import_module(f"generated_api.api.{path}").sync_detailed(client=client, **given)


def model(named, /, **values):
    return getattr(importlib.import_module("generated_api.models"), named)(**values)


def test_python_has_a_function_for_every_operation(generated):
    for made in OPERATIONS:
        folder = made.tag.replace(" ", "_")
        if made.access.token:
            assert importlib.import_module(f"generated_api.api.{folder}.{made.name}").sync_detailed, made.name


def test_python_creates_edits_lists_rotates_and_deletes_a_credential(client):
    import datetime as dt

    until = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)
    body = model("NewCredential", name="from python", expires_at=until, roles=["reader"])
    made = call(client, "credentials.create_credential", body=body, idempotency_key="py-1")
    again = call(client, "credentials.create_credential", body=body, idempotency_key="py-1")
    assert (made.status_code, again.parsed.client_secret) == (201, None)
    assert (again.parsed.client_id, made.parsed.expires_at) == (made.parsed.client_id, until)
    client_id = made.parsed.client_id
    tag = call(client, "credentials.read_credential", client_id=client_id).headers["ETag"]
    changes = model("CredentialChanges", name="renamed by python")
    edited = call(client, "credentials.edit_credential", client_id=client_id, body=changes, if_match=tag)
    assert edited.parsed.name == "renamed by python"
    stale = call(client, "credentials.edit_credential", client_id=client_id, body=changes, if_match=tag)
    assert (stale.status_code, stale.parsed.status) == (412, 412)
    found = call(client, "credentials.list_credentials", q="renamed by", limit=1)
    assert [each.client_id for each in found.parsed.items] == [client_id]
    hour = importlib.import_module("generated_api.models").NewSecretOverlapSeconds(3600)
    rotated = call(
        client, "credentials.create_secret", client_id=client_id, body=model("NewSecret", overlap_seconds=hour)
    )
    assert rotated.parsed.client_secret.startswith("acs_")
    assert call(client, "credentials.delete_credential", client_id=client_id, if_match="*").status_code == 204
    assert call(client, "credentials.read_credential", client_id=client_id).status_code == 404


def test_python_administers(client):
    kind = importlib.import_module("generated_api.models").NewRoleKind.OPERATIONAL
    role = call(client, "roles.create_role", body=model("NewRole", name="generated", kind=kind, permissions=[]))
    assert role.status_code == 201
    user = call(client, "users.create_user", body=model("NewUser", username="generated", roles=["reader", "generated"]))
    assert [each.name for each in user.parsed.roles] == ["generated", "reader"]
    head = call(client, "audit.read_audit_head")
    assert head.parsed.intact
    export = call(client, "audit.export_records")
    assert len(export.content.splitlines()) == head.parsed.records
    assert call(client, "audit.verify_audit").parsed.intact
    assert call(client, "me.get_me").parsed.username == "root"


# --- TypeScript and Postman -----------------------------------------------------------------


def node(program, *args, cwd=HOME, **environ):
    said = subprocess.run(
        ["node", program, *args],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_typescript_is_checked_against_the_document_and_does_the_same(world, server, document, tmp_path):
    need("The generated TypeScript client was", missing(HOME))
    modules = HOME / "node_modules"
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "journeys.ts").write_text((HOME / "journeys.ts").read_text())
    node(
        modules / "openapi-typescript" / "bin" / "cli.js",
        document,
        "-o",
        tmp_path / "schema.d.ts",
        "--default-non-nullable=false",
    )
    options = ("--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck")
    node(modules / "typescript" / "bin" / "tsc", *options, "journeys.ts", cwd=tmp_path)
    done = json.loads(node("journeys.js", cwd=tmp_path, BASE_URL=server, TOKEN=world.root.token))
    assert done[:5] == ["me root", "created", "edited", "listed", "deleted"]
    assert done[-1] == "audited"


def test_a_postman_collection_sends_every_operation(world, server, document, tmp_path):
    need("The Postman collection was", missing(HOME))
    accounts, client_id = world.accounts, world.credential("root", ["reader"])[0]
    token = world.access_token(world.root.credential, resource="https://api.example.com")
    world.store.usage.flush()
    spoiled = role_actions.create_role(accounts, "spoiled", "operational", (), **world.who)
    values = {
        "client_id": client_id,
        "username": "ada",
        "role_id": spoiled.id,
        "server_id": next(each.id for each in accounts.resource_servers() if each.name == "api"),
        "name": "max_credential_days",
        "value": "100",
        "kid": world.store.keys.ring()[0].kid,
        "jti": world.introspect(token).json["jti"],
        "code": "not_found",
        "change": "disable",
    }
    output = tmp_path / "collection.json"
    said = json.loads(
        node("postman.mjs", document, output, BASE_URL=server, TOKEN=world.root.token, VALUES=json.dumps(values))
    )
    assert said["failures"] == []
    assert said["requests"] == len(OPERATIONS)
    assert json.loads(output.read_text())["info"]["name"] == "Management API"
