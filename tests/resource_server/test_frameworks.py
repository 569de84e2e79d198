"""The same questions to an API in each framework: let in, 401, 403, 400, 503, and the metadata."""

import hashlib
import json
import uuid
import wsgiref.util
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import django
import fastapi
import flask
import grpc
import httpx
import pytest
from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.test import override_settings
from django.urls import path
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from resource_server import AsyncVerifier, InvalidToken, Token, Verifier
from resource_server.frameworks import asgi, wsgi
from resource_server.frameworks import fastapi as for_fastapi
from resource_server.frameworks import flask as for_flask
from resource_server.frameworks import grpc as for_grpc
from resource_server.frameworks import starlette as for_starlette
from tests.support import async_calls
from tests.support.assertions import Signer
from tests.support.certificates import self_signed
from tests.support.wsgi_client import b64

if not django_settings.configured:
    django_settings.configure(
        DEBUG=False,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="of no use: nothing is signed here",
        MIDDLEWARE=["resource_server.frameworks.django.BearerMiddleware"],
        INSTALLED_APPS=["rest_framework"],
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
        USE_TZ=True,
    )
    django.setup()

from rest_framework.response import Response
from rest_framework.views import APIView

from resource_server.frameworks import django as for_django
from resource_server.frameworks import rest_framework as for_drf

METADATA = "/.well-known/oauth-protected-resource"


@for_django.require_roles("writer")
def django_things(request, number):
    return JsonResponse({"sub": request.access_token.sub})


class DrfThings(APIView):  # type: ignore[misc] # DRF ships no types
    authentication_classes = (for_drf.BearerAuthentication,)
    permission_classes = (for_drf.HasRoles("writer"),)

    def get(self, request, number):
        assert isinstance(request.auth, Token)
        return Response({"sub": request.user.pk})


urlpatterns = [
    path("things/<int:number>", django_things),
    path("drf/things/<int:number>", DrfThings.as_view()),
    path("api/open", lambda request: JsonResponse({"sub": request.access_token.sub})),
]


def flask_app(verifier):
    app = flask.Flask("things")
    guard = for_flask.Guard(verifier, app, resource_name="Things")

    @app.get("/things/<int:number>")
    @guard.require_roles("writer")
    def things(number):
        return {"sub": for_flask.current_token().sub}

    return httpx.Client(transport=httpx.WSGITransport(app.wsgi_app), base_url="http://api")


def wsgi_app(verifier):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"sub": environ[wsgi.TOKEN].sub}).encode()]

    made = wsgi.BearerMiddleware(app, verifier, roles=["writer"], public=["/open/", "/free"])
    return httpx.Client(transport=httpx.WSGITransport(made), base_url="http://api")


def django_app(verifier, prefix=""):
    return httpx.Client(transport=httpx.WSGITransport(get_wsgi_application()), base_url="http://api" + prefix)


class AsyncApp:
    """Asks an ASGI application from a loop of its own each time."""

    def __init__(self, app, verifier):
        self._app, self._verifier = app, verifier

    def get(self, path, **options):
        async def ask():
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                answer = await client.get(path, **options)
            await self._verifier._state.transport.aclose()
            return answer

        return async_calls.run(ask())


def fastapi_app(verifier):
    app = fastapi.FastAPI()
    guard = for_fastapi.Guard(verifier, app, resource_name="Things")

    @app.get("/things/{number}")
    async def things(number: int, token: Annotated[Token, guard.require_roles("writer")]):
        return {"sub": token.sub}

    return AsyncApp(app, verifier)


def starlette_app(verifier):
    async def things(request):
        return JSONResponse({"sub": (await guard.check(request, "writer")).sub})

    app = Starlette(routes=[Route("/things/{number}", things)])
    guard = for_starlette.Guard(verifier, app)
    return AsyncApp(app, verifier)


def asgi_app(verifier):
    async def app(scope, receive, send):
        await JSONResponse({"sub": scope[wsgi.TOKEN].sub})(scope, receive, send)

    return AsyncApp(asgi.BearerMiddleware(app, verifier, roles=["writer"]), verifier)


SYNC = {"flask": flask_app, "wsgi": wsgi_app, "django": django_app, "drf": lambda v: django_app(v, "/drf")}
ASYNC = {"fastapi": fastapi_app, "starlette": starlette_app, "asgi": asgi_app}


@pytest.fixture(params=[*SYNC, *ASYNC])
def framework(request):
    return request.param


@pytest.fixture
def app(framework, issuer, verifier_of, server):
    if framework in {"django", "drf"}:
        options = {"issuer": issuer.url, "audience": issuer.audience, "credentials": issuer.api}
        with override_settings(RESOURCE_SERVER={"verifier": options, "protect": ["/api/"]}):
            yield SYNC[framework](None)
            for_django.configured_verifier().close()
            for_django._made.clear()
    elif framework in SYNC:
        yield SYNC[framework](verifier_of())
    else:
        yield ASYNC[framework](verifier_of(AsyncVerifier))


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def test_a_good_token_is_let_in(app, issuer):
    answer = app.get("/things/5", headers=bearer(issuer.mint()))
    assert (answer.status_code, answer.json()) == (200, {"sub": issuer.owner})


def test_W_04_no_token(app):
    answer = app.get("/things/5")
    assert answer.status_code == 401
    told = answer.headers["WWW-Authenticate"]
    assert told.startswith('Bearer realm="')
    assert "error=" not in told
    assert f'resource_metadata="https://api.kit.example{METADATA}"' in told


def test_a_dead_token(app, issuer):
    text = issuer.mint()
    issuer.revoke(text)
    answer = app.get("/things/5", headers=bearer(text))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert "resource_metadata=" in answer.headers["WWW-Authenticate"]


def test_a_role_is_missing(app, issuer):
    text = issuer.mint(roles=["reader"], scope="reader")
    answer = app.get("/things/5", headers=bearer(text))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert 'scope="writer"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/things/5", {"Authorization": "Bearer a b"}),
        ("/things/5?access_token=x", {}),
        ("/things/5", {"Authorization": "Bearer "}),
    ],
)
def test_a_malformed_request(app, path, headers):
    answer = app.get(path, headers=headers)
    if answer.status_code == 401:  # blanks at the end of a header are not part of it
        assert headers == {"Authorization": "Bearer "}
    else:
        assert answer.status_code == 400
        assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]


def test_the_server_is_away(app, issuer, server):
    text = issuer.mint()
    server.outage = 503
    answer = app.get("/things/5", headers=bearer(text))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"


def test_W_06_metadata(app, framework, issuer):
    if framework == "drf":
        app = django_app(None)
    answer = app.get(METADATA)
    assert answer.status_code == 200
    document = answer.json()
    assert document["resource"] == issuer.audience
    assert document["authorization_servers"] == [issuer.url]


def test_django_protects_paths(issuer, server):
    options = {"issuer": issuer.url, "audience": issuer.audience, "credentials": issuer.api}
    with override_settings(RESOURCE_SERVER={"verifier": options, "protect": ["/api/"]}):
        app = django_app(None)
        assert app.get("/api/open").status_code == 401
        assert app.get("/api/open", headers=bearer(issuer.mint())).status_code == 200
        for_django.configured_verifier().close()
        for_django._made.clear()


def test_wsgi_leaves_public_paths_alone(verifier_of):
    statuses, tokens = [], []

    def app(environ, start_response):
        tokens.append(environ.get(wsgi.TOKEN))
        start_response("204 No Content", [])
        return []

    made = wsgi.BearerMiddleware(app, verifier_of(), public=["/open/", "/free"])
    for place in ("/open/x", "/free", "/free/x", "/openx"):
        environ = {"PATH_INFO": place, wsgi.TOKEN: "planted"}
        wsgiref.util.setup_testing_defaults(environ)
        made(environ, lambda told, _: statuses.append(told[:3]))
    assert statuses == ["204", "204", "401", "401"]
    assert tokens == [None, None]


def test_a_websocket_is_closed(verifier_of):
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    made = asgi.BearerMiddleware(None, verifier_of(AsyncVerifier))
    async_calls.run(made({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_openapi_of_fastapi_names_the_scheme(verifier_of):
    app = fastapi_app(verifier_of(AsyncVerifier))._app
    told = app.openapi()
    assert told["components"]["securitySchemes"]["HTTPBearer"]["bearerFormat"] == "JWT"
    assert told["paths"]["/things/{number}"]["get"]["security"] == [{"HTTPBearer": []}]


class TestGrpc:
    @pytest.fixture
    def call(self, verifier_of):
        def get(request, context):
            return for_grpc.token_of(context).sub.encode()

        def listed(request, context):
            yield for_grpc.token_of(context).sub.encode()

        def free(request, context):
            with pytest.raises(LookupError):
                for_grpc.token_of(context)
            return b"free"

        handlers = {
            "Get": grpc.unary_unary_rpc_method_handler(get),
            "List": grpc.unary_stream_rpc_method_handler(listed),
            "Free": grpc.unary_unary_rpc_method_handler(free),
        }
        interceptor = for_grpc.BearerInterceptor(
            verifier_of(Verifier), {"/things.Things/Get": ["writer"], "/things.Things/Free": None}
        )
        server = grpc.server(ThreadPoolExecutor(1), interceptors=[interceptor])
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("things.Things", handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

            def called(name, text=None):
                metadata = [("authorization", f"Bearer {text}")] if text else []
                kind = channel.unary_stream if name == "List" else channel.unary_unary
                answer = kind(f"/things.Things/{name}")(b"", metadata=metadata, timeout=20)
                return next(iter(answer)) if name == "List" else answer

            yield called
        server.stop(0).wait(10)

    def code(self, call, *asked):
        with pytest.raises(grpc.RpcError) as caught:
            call(*asked)
        return caught.value.code()

    def test_calls(self, call, issuer, server):
        text = issuer.mint()
        reader = issuer.mint(roles=["reader"], scope="reader")
        assert call("Get", text) == issuer.owner.encode()
        assert call("List", reader) == issuer.owner.encode()
        assert call("Free") == b"free"
        assert self.code(call, "Get") is grpc.StatusCode.UNAUTHENTICATED
        assert self.code(call, "List") is grpc.StatusCode.UNAUTHENTICATED
        assert self.code(call, "Get", reader) is grpc.StatusCode.PERMISSION_DENIED
        assert self.code(call, "Nothing", text) is grpc.StatusCode.UNIMPLEMENTED
        issuer.revoke(text)
        assert self.code(call, "Get", text) is grpc.StatusCode.UNAUTHENTICATED
        server.outage = 503
        assert self.code(call, "Get", reader) is grpc.StatusCode.UNAVAILABLE


class TestBoundTokens:
    """RFC 9449 §7: the guards take a bound token with the proof of its key by themselves, and not without."""

    def asked(self, app, issuer, clock, signer, text, **changed):
        ath = b64(hashlib.sha256(text.encode()).digest())
        made = {"htm": "GET", "htu": f"{issuer.audience}/things/5", "iat": int(clock.at), "jti": str(uuid.uuid4())}
        header = {"typ": "dpop+jwt", "alg": changed.pop("alg", signer.alg), "jwk": signer.jwk}
        proof = signer.jws(header, {**made, "ath": ath, **changed})
        return app.get("/things/5?page=2", headers={"Authorization": f"DPoP {text}", "DPoP": proof})

    def test_with_its_proof_and_not_without(self, app, framework, issuer, clock):
        signer = Signer("EdDSA")
        text = issuer.mint(cnf={"jkt": signer.thumbprint})
        prefix = "/drf" if framework == "drf" else ""
        place = f"{issuer.audience}{prefix}/things/5"
        good = self.asked(app, issuer, clock, signer, text, htu=place)
        assert (good.status_code, good.json()) == (200, {"sub": issuer.owner}), good.headers
        assert self.asked(app, issuer, clock, signer, text, htu=place, alg="Ed25519").status_code == 200
        stolen = app.get("/things/5", headers=bearer(text))
        assert (stolen.status_code, "invalid_token" in stolen.headers["WWW-Authenticate"]) == (401, True)
        other = self.asked(app, issuer, clock, Signer("EdDSA"), text, htu=place)
        assert other.headers["WWW-Authenticate"].startswith("DPoP ")
        for changed in ({"htu": "https://evil.example/things/5"}, {"htm": "POST"}, {"ath": "x"}, {"iat": 1}):
            refused = self.asked(app, issuer, clock, signer, text, **{"htu": place, **changed})
            assert refused.status_code == 401, changed
            assert 'error="invalid_dpop_proof"' in refused.headers["WWW-Authenticate"]
        alone = app.get("/things/5", headers={"Authorization": f"DPoP {text}"})
        assert alone.status_code == 401


class TestTokensBoundToACertificate:
    """RFC 8705 §3: the guards take such a token with its certificate alone, from the header that the settings name."""

    @pytest.fixture
    def app(self, framework, issuer, verifier_of, server):
        options = {"client_certificate_header": "X-Client-Cert"}
        if framework in {"django", "drf"}:
            who = {"issuer": issuer.url, "audience": issuer.audience, "credentials": issuer.api}
            with override_settings(RESOURCE_SERVER={"verifier": {**who, **options}}):
                yield SYNC[framework](None)
                for_django.configured_verifier().close()
                for_django._made.clear()
        elif framework in SYNC:
            yield SYNC[framework](verifier_of(**options))
        else:
            yield ASYNC[framework](verifier_of(AsyncVerifier, **options))

    def test_X_02_with_its_certificate_and_not_without(self, app, issuer):
        mine, other = self_signed(), self_signed()
        text = issuer.mint(cnf={"x5t#S256": mine.thumbprint})
        for form in ("structured", "escaped", "base64", "one_line", "forwarded"):
            good = app.get("/things/5", headers={**bearer(text), "X-Client-Cert": getattr(mine, form)})
            assert (good.status_code, good.json()) == (200, {"sub": issuer.owner}), form
        for sent in (
            {},
            {"X-Client-Cert": other.structured},
            {"X-Client-Cert": "x"},
            {"X-Client-Cert": f"{mine.forwarded},{other.forwarded}"},
            {"Client-Cert": mine.structured},
        ):
            refused = app.get("/things/5", headers={**bearer(text), **sent})
            assert (refused.status_code, 'error="invalid_token"' in refused.headers["WWW-Authenticate"]) == (401, True)
        assert app.get("/things/5", headers=bearer(issuer.mint())).status_code == 200

    def test_the_metadata_says_so(self, app, framework):
        if framework != "drf":
            assert app.get(METADATA).json()["tls_client_certificate_bound_access_tokens"] is True


def test_a_certificate_of_the_server_itself_counts_where_no_header_is_named(issuer, verifier_of):
    mine = self_signed()
    text = issuer.mint(cnf={"x5t#S256": mine.thumbprint})
    statuses = []

    def app(environ, start_response):
        start_response("204 No Content", [])
        return []

    made = wsgi.BearerMiddleware(app, verifier_of(), roles=["writer"])
    for sent in ({"SSL_CLIENT_CERT": mine.pem}, {}, {"HTTP_SSL_CLIENT_CERT": mine.structured}):
        environ = {"PATH_INFO": "/things/5", "HTTP_AUTHORIZATION": f"Bearer {text}", **sent}
        wsgiref.util.setup_testing_defaults(environ)
        made(environ, lambda told, _: statuses.append(told[:3]))
    assert statuses == ["204", "401", "401"]
    scope = {"extensions": {"tls": {"client_cert_chain": [mine.pem]}}, "headers": []}
    verifier = verifier_of()
    assert asgi.certificate_of(verifier.settings, scope) == mine.pem
    assert verifier.verify(text, certificate=mine.pem).x5t == mine.thumbprint


@pytest.mark.parametrize("mode", ["leased", "feed"])
def test_a_token_that_was_accepted_before_needs_its_certificate_each_time(issuer, verifier_of, mode):
    mine = self_signed()
    verifier = verifier_of(mode=mode, max_staleness=4)
    text = issuer.mint(cnf={"x5t#S256": mine.thumbprint})
    for _ in range(2):
        verifier.verify(text, certificate=mine.pem)
        with pytest.raises(InvalidToken, match="no_certificate"):
            verifier.verify(text)


@pytest.mark.parametrize("cnf", [{}, {"x5t#S256": "a", "jkt": "b"}, {"x5t": "a"}, {"x5t#S256": 1}, "x", []])
def test_a_binding_that_is_not_known_is_refused(issuer, verifier_of, cnf):
    with pytest.raises(InvalidToken):
        verifier_of().verify(issuer.mint(cnf=cnf), certificate=self_signed().pem)
