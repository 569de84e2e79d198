"""Schemathesis against the application of a world: every finding once, with the request that shows it.

A request that carries ``CALLER`` is sent in the administrator's name, whatever earlier requests did to it: a run may
end its token, take its roles and switch the API off, and each is mended before the request is sent again.
"""

import contextlib
import io

import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine.events import NonFatalError, ScenarioFinished

from authserver.actions import general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.ports.errors import Refusal
from authserver.rules.permission import PERMISSIONS
from tests.support.api_client import AUDIENCE, ApiWorld

CALLER = "Bearer caller"
SEED = 13
"""Of the run that CI makes; the longer one has a new seed each time, which it tells."""
HOST = "127.0.0.1:8000"

REFUSED = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428"]

CHECKS = {
    # An edit without If-Match is told so (428) before anything else of it is read.
    "missing_required_header": {"expected-statuses": ["400", "401", "403", "428"]},
    # What fits the schema may be wrong by what is stored, or by a rule that JSON Schema cannot tell.
    "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
    "negative_data_rejection": {"expected-statuses": REFUSED},
    "ignored_auth": {"enabled": False},  # cannot be sent to WSGI (4.32); tests/api/test_access.py holds every route
}


class AsAdministrator:
    """WSGI: sends what carries ``CALLER`` with a token that works."""

    def __init__(self, world: ApiWorld) -> None:
        self._world, self._client = world, world.root
        self.answers: dict[int, int] = {}

    def __call__(self, environ, start_response):
        environ["HTTP_HOST"] = HOST
        if environ.get("HTTP_AUTHORIZATION") != CALLER:
            return self._world.http.application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, headers, answer = self._sent(environ, body)
        if status.startswith("401") or (status.startswith("403") and b"insufficient_scope" in answer):
            self._mend()
            status, headers, answer = self._sent(environ, body)
        number = int(status[:3])
        self.answers[number] = self.answers.get(number, 0) + 1
        start_response(status, headers)
        return [answer]

    def _sent(self, environ, body):
        got = []
        given = {
            **environ,
            "HTTP_AUTHORIZATION": f"Bearer {self._client.token}",
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": False,
        }
        pieces = self._world.http.application(given, lambda status, headers, *_error: got.append((status, headers)))
        try:
            answer = b"".join(pieces)
        finally:
            with contextlib.suppress(AttributeError):
                pieces.close()
        return (*got[0], answer)

    def _mend(self):
        world, who = self._world, self._world.who
        steps = [
            lambda: resource_server_actions.enable_resource_server(world.accounts, AUDIENCE, **who),
            lambda: user_actions.enable(world.accounts, "root", **who),
            lambda: general_settings.set_general(world.accounts, "client_secrets_allowed", "1", **who),
            lambda: general_settings.set_general(world.accounts, "bound_tokens_required", "0", **who),
            lambda: general_settings.set_general(world.accounts, "max_credentials_per_user", "10000", **who),
        ]
        for name in ("reader", "builder", *PERMISSIONS):
            kind, held = ("operational", ()) if name == "reader" else ("builder", [name] if ":" in name else [])
            steps += [
                lambda name=name, kind=kind, held=held: role_actions.create_role(
                    world.accounts, name, kind, held, **who
                ),
                lambda name=name: user_actions.grant(world.accounts, "root", name, **who),
            ]
        for step in steps:
            with contextlib.suppress(Refusal):
                step()
        self._client.credential = world.credential("root", ["reader", "builder", *PERMISSIONS], days=1)
        self._client.renew()


def run(world, *, examples, steps, coverage, seed=SEED):
    """What Schemathesis finds, as ``title -> text``, and how many answers of each status there were."""
    app = AsAdministrator(world)
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "headers": {"Authorization": CALLER},
            "continue-on-failure": True,
            "workers": 1,
            "checks": CHECKS,
            "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
            "phases": {
                "examples": {"enabled": False},
                "coverage": {"enabled": coverage},
                "stateful": {"max-steps": steps},
            },
        }
    )
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app, config=config)
    found = {}
    for event in engine.from_schema(schema).execute():
        if isinstance(event, NonFatalError):
            found[f"{event.label}: {type(event.value).__name__}"] = str(event.value)
        if isinstance(event, ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    failed = check.failure_info
                    if failed is not None:
                        case = event.recorder.cases[case_id].value
                        interaction = event.recorder.interactions.get(case_id)
                        title = f"{case.operation.label}: {check.name}: {failed.failure.title}"
                        answer = interaction.response.content[:300] if interaction and interaction.response else b""
                        found.setdefault(
                            title, f"{failed.failure.message[:600]}\n{failed.code_sample[:600]}\n{answer!r}"
                        )
    return found, app.answers
