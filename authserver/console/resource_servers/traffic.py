"""How an API learns of deaths, what it has sent lately, and what it loses while this server cannot be reached."""

from authserver.console.i18n.messages import _
from authserver.ports.resource_servers import ResourceServer, ResourceServerActivity
from authserver.rules.facts import Instant

FOLLOWS = 300
"""Seconds; who asked for the change feed within them follows it."""


def mode(server: ResourceServer, activity: ResourceServerActivity, now: Instant) -> str:
    """``feed``, ``leased`` or ``exact``, as far as this server can tell; the verifier of the API decides."""
    if activity.feed_fetched_at is not None and activity.feed_fetched_at > now - FOLLOWS:
        return "feed"
    return "leased" if server.max_staleness else "exact"


def hour_without(kind: str, server: ResourceServer, activity: ResourceServerActivity, idle_minutes: int) -> list[str]:
    """Sentences about an hour in which the API does not reach this server."""
    calls = activity.calls_per_hour
    first = {
        "exact": _("From the first second on each call is refused with 503."),
        "leased": _(
            "Calls with a token seen lately go on for up to %(seconds)s s; then each call is refused with 503.",
            seconds=server.max_staleness,
        ),
        "feed": _("Calls go on for the S that its verifier is set to; then each call is refused with 503."),
    }[kind]
    sentences = [first, _("By the last seven days that is about %(calls)s calls in the hour.", calls=calls)]
    if idle_minutes < 60:  # noqa: PLR2004 - the hour
        sentences.append(
            _(
                "Tokens that nobody uses elsewhere idle out after %(minutes)s minutes; their clients ask for new ones.",
                minutes=idle_minutes,
            )
        )
    else:
        sentences.append(_("No token idles out: the idle timeout is an hour or longer."))
    if kind != "exact":
        sentences.append(_("Uses that were not reported yet are reported afterwards; none older than an hour counts."))
    return sentences


def snippets(server: ResourceServer, issuer: str, kind: str) -> dict[str, str]:
    """Name of a stack -> lines to copy, with the ids of this API."""
    staleness = server.max_staleness or 30
    rest = "" if kind == "exact" else f', mode="{kind}", max_staleness={staleness}'
    verifier = f"""from resource_server import Verifier
verifier = Verifier("{issuer}", "{server.audience}", ("{server.client_id}", API_SECRET){rest})
token = verifier.verify(text_after_bearer, roles=["reader"])
"""
    environment = f"""RESOURCE_SERVER_ISSUER={issuer}
RESOURCE_SERVER_AUDIENCE={server.audience}
RESOURCE_SERVER_CLIENT_ID={server.client_id}
RESOURCE_SERVER_CLIENT_SECRET_FILE=/run/secrets/api
RESOURCE_SERVER_MODE={kind}
"""
    if kind != "exact":
        environment += f"RESOURCE_SERVER_MAX_STALENESS={staleness}\n"
    flask = """from resource_server import Verifier
from resource_server.frameworks.flask import Guard
guard = Guard(Verifier.from_environment(), app)

@app.get("/things")
@guard.require_roles("reader")
def things(): ...
"""
    fastapi = """from resource_server import AsyncVerifier
from resource_server.frameworks.fastapi import Guard
guard = Guard(AsyncVerifier.from_environment(), app)

@app.get("/things")
async def things(token = guard.require_roles("reader")): ...
"""
    node = f"""import {{ createRemoteJWKSet, jwtVerify }} from "jose";
const keys = createRemoteJWKSet(new URL("{issuer}/.well-known/jwks.json"));
const options = {{ issuer: "{issuer}", audience: "{server.audience}", typ: "{server.token_typ}" }};
const {{ payload }} = await jwtVerify(textAfterBearer, keys, options);
// then ask: POST {issuer}/oauth/introspect as {server.client_id}
"""
    spring = f"""spring.security.oauth2.resourceserver.opaquetoken.introspection-uri={issuer}/oauth/introspect
spring.security.oauth2.resourceserver.opaquetoken.client-id={server.client_id}
spring.security.oauth2.resourceserver.opaquetoken.client-secret=${{API_SECRET}}
"""
    gateway = f"""proxy_pass {issuer}/oauth/forward-auth?role=reader;
proxy_set_header Authorization $http_authorization;
proxy_set_header X-Gateway-Authorization "Basic BASE64 of {server.client_id}:API_SECRET";
proxy_set_header X-Forwarded-Method $request_method;
"""
    recipes = f"""# What the programs of docs/node.md and docs/go.md read
ISSUER={issuer}
AUDIENCE={server.audience}
API_ID={server.client_id}
API_SECRET=
"""
    curl = f"""curl -u "{server.client_id}:$API_SECRET" -d "token=$TOKEN" {issuer}/oauth/introspect
"""
    return {
        "Python": verifier,
        "Environment": environment,
        "Flask": flask,
        "FastAPI": fastapi,
        "Node (jose)": node,
        "Express, Fastify, Go": recipes,
        "Spring Security": spring,
        "nginx": gateway,
        "curl": curl,
    }
