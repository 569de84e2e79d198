"""Requests drawn from the OpenAPI document, right and wrong ones: every answer is one that the document has."""

import re
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.actions.events import webhooks
from authserver.api.openapi import openapi_document
from authserver.api.operations import OPERATIONS
from tests.support.api_client import AUDIENCE

DOCUMENT = openapi_document("http://127.0.0.1:8000")
REGISTRY = Registry().with_resource("urn:api", DRAFT202012.create_resource(DOCUMENT))
NAMES = {made.name: made for made in OPERATIONS if made.access.token}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


characters = st.characters(codec="utf-8", exclude_characters="/")
segments = st.text(characters, min_size=1, max_size=30).filter(lambda text: text.strip("."))
"""Of a path: what has a slash in it is another path."""


def schema_of(schema):
    """A schema with its reference looked up."""
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def texts(schema):
    if schema.get("format") == "date-time":
        return st.sampled_from(["2027-06-01T00:00:00Z", "1999-12-31T23:59:59.5+01:00", "2028-02-29T12:00:00-08:00"])
    drawn = st.text(min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 40), 40))
    return drawn | st.sampled_from(["reader", "ES256", "https://x.example", "x", "newname"])


def lists(schema):
    return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)


def objects(schema):
    named = {name: values(each) for name, each in schema.get("properties", {}).items()}
    needed = {name: each for name, each in named.items() if name in schema.get("required", ())}
    more = {name: each for name, each in named.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=more)


TYPES = {
    "string": texts,
    "array": lists,
    "object": objects,
    "integer": lambda schema: st.integers(schema.get("minimum", -5), schema.get("maximum", 2**40)),
    "boolean": lambda _schema: st.booleans(),
    "null": lambda _schema: st.none(),
}


def values(schema):
    """Values that fit a schema of this document."""
    schema = schema_of(schema)
    if "anyOf" in schema:
        return st.one_of([values(each) for each in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    return TYPES[schema["type"]](schema)


def test_every_schema_has_a_name_that_is_a_class_name_in_any_language():
    named = DOCUMENT["components"]["schemas"]
    assert not [each for each in named if not re.fullmatch("[A-Z][A-Za-z]+", each)]


@pytest.fixture(scope="module")
def pools(world):
    """Ids that exist and that a test may spoil, by the part of a path."""
    role_actions.create_role(world.accounts, "spoiled", "operational", (), **world.who)
    for name in ("spoiled1", "spoiled2"):
        user_actions.create_user(world.accounts, name, ["reader", "spoiled"], **world.who)
    made = [world.credential("root", ["reader"]) for _ in range(3)]
    tokens = [world.access_token(each, resource="https://api.example.com") for each in made]
    jtis = [world.introspect(token).json["jti"] for token in tokens]
    world.store.usage.flush()
    credentials = [world.accounts.credential(each) for each, _secret in made]
    hooks = [
        webhooks.create(world.accounts, "https://hooks.example.com/", pepper=world.store.pepper, **world.who).webhook.id
        for _ in range(3)
    ]
    webhooks.test(world.accounts, hooks[0], **world.who)
    world.store.outbox.collect(10_000)
    return {
        "trust_id": ["tru_none"],
        "certificate_id": ["crt_none"],
        "webhook_id": hooks,
        "event_id": [each.id for each in world.store.webhooks.deliveries(hooks[0], 1)],
        "client_id": [each.client_id for each in credentials],
        "secret_id": [secret.id for each in credentials for secret in each.secrets],
        "thumbprint": ["x"],
        "jti": jtis,
        "username": ["spoiled1", "SPOILED2"],
        "role_id": [each.id for each in world.accounts.roles() if each.name in {"spoiled", "writer"}],
        "server_id": [each.id for each in world.accounts.resource_servers() if each.audience != AUDIENCE],
        "name": ["max_credential_days", "token_alg", "default_audience", "key_patience_hours"],
        "kid": [each.kid for each in world.store.keys.ring()],
    }


def conforms(made, described, answer):
    """Assert that an answer is one of those that the document has for an operation."""
    assert answer.status_code < 500, answer.text
    assert str(answer.status_code) in described["responses"], (made.name, answer.status_code, answer.text)
    content = described["responses"][str(answer.status_code)].get("content", {})
    if not content:
        assert answer.data == b""
        return
    ((media, body),) = content.items()
    assert answer.content_type == media
    if media.endswith("json"):
        schema = {"$ref": "urn:api" + body["schema"]["$ref"]}
        Draft202012Validator(schema, registry=REGISTRY).validate(answer.json)


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_is_one_that_the_document_has(world, pools, name):
    made = NAMES[name]
    template = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", made.path)
    described = DOCUMENT["paths"][template][made.method.lower()]
    body = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    parameters = [each for each in described["parameters"] if each["in"] == "query"]

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # a failure is told as it was found: the world it was found in is gone
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def call(data):
        path = re.sub(
            r"\{(\w+)\}",
            lambda part: quote(data.draw(st.sampled_from(pools[part[1]]) | segments), safe=""),
            template,
        )
        query = {
            each["name"]: data.draw(values(each["schema"]) | st.text(max_size=20))
            for each in parameters
            if each["required"] or data.draw(st.booleans())
        }
        sent = data.draw(values(body)) if body else None
        wrong = data.draw(st.sampled_from(["", "", "", "member", "value", "unknown"])) if isinstance(sent, dict) else ""
        if wrong == "member" and sent:
            sent.pop(data.draw(st.sampled_from(sorted(sent))))
        elif wrong == "value" and sent:
            sent[data.draw(st.sampled_from(sorted(sent)))] = data.draw(anything)
        elif wrong == "unknown":
            sent["is_admin"] = data.draw(anything)
        headers = {"If_Match": data.draw(st.sampled_from(["*", '"x"']))} if made.edits else {}
        if made.creates and data.draw(st.booleans()):
            headers["Idempotency_Key"] = data.draw(st.from_regex(r"[!-~]{1,20}", fullmatch=True))
        query = {key: str(value).lower() if isinstance(value, bool) else value for key, value in query.items()}
        query = {key: value for key, value in query.items() if value is not None}
        if world.root.get("/me").status_code == 401:
            world.root.renew()
        answer = world.root(made.method, path, sent, query=query, **headers)
        conforms(made, described, answer)
        assert answer.status_code != 401, answer.text
        if wrong == "unknown":
            assert answer.status_code in {400, 404}, answer.text

    call()


def test_the_document_is_openapi_and_names_every_operation_once(world):
    document = world.http.get("/api/v1/openapi.json").json
    assert document == DOCUMENT
    assert document["openapi"].startswith("3.1")
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert sorted(ids) == sorted({made.name for made in OPERATIONS})
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        if schema.get("type") == "object" and "properties" in schema:
            assert schema["additionalProperties"] is False, schema["title"]
