"""Sample APIs for the attack kit: good ones, and each of many broken in one way that real APIs were broken in."""

import contextlib
import hmac
import json
import socketserver
import threading
import time
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import jwt
from jwt.api_jws import PyJWS

from resource_server import Refused, Unavailable
from resource_server.http import bearer_token, refusal
from resource_server.kit.signing import unb64

REQUIRED = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")


class Threaded(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(app):
    """Serve a WSGI application; its URL."""
    with make_server("127.0.0.1", 0, app, Threaded, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/things"
        finally:
            server.shutdown()
            thread.join(10)


class Sample:
    """An API that lets in what the verifier lets in, and what its bug lets in."""

    def __init__(self, verifier, issuer, bug=None):
        self.verifier, self.issuer, self.bug = verifier, issuer, bug
        self.memory = {}

    def __call__(self, environ, start_response):
        header = environ.get("HTTP_AUTHORIZATION")
        try:
            if not (self.bug and self.bug(self, environ)):
                text = bearer_token([header] if header else [], environ["QUERY_STRING"])
                self.verifier.verify(text, roles=["reader"])
        except Refused as refused:
            answer = refusal(self.verifier.settings, refused)
            headers = [each for each in answer.headers if self.bug is not no_challenge or each[0] != "WWW-Authenticate"]
            start_response(f"{answer.status} No", headers)
            return [answer.body]
        except Exception:  # noqa: BLE001 - as a web framework does
            start_response("500 Oops", [])
            return [b"oops"]
        start_response("200 OK", [])
        return [b"ok"]


# --- what the bugs are made of ----------------------------------------------------------------


def token(environ):
    return environ.get("HTTP_AUTHORIZATION", "").partition(" ")[2]


def parts(text):
    head, body, _ = text.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body))


def signed(sample, text):
    """Header and claims of what the issuer signed, else None."""
    try:
        header, claims = parts(text)
        key = sample.issuer.keys[header["kid"]]
        public, (content, _, sign) = jwt.PyJWK(key.jwk), text.rpartition(".")
        good = public.Algorithm.verify(content.encode(), public.key, unb64(sign))
    except (ValueError, KeyError, TypeError):
        return None
    return (header, claims) if good else None


def proper(sample, header, claims, skip=()):
    """Whether all but the skipped checks pass."""
    now = time.time()
    checks = {
        "typ": lambda: header.get("typ") == "at+jwt",
        "members": lambda: set(header) == {"typ", "alg", "kid"},
        "iss": lambda: claims["iss"] == sample.issuer.url,
        "aud": lambda: claims["aud"] == sample.issuer.audience,
        "exp": lambda: type(claims["exp"]) is int and now < claims["exp"] < now + 10**6,
        "iat": lambda: type(claims["iat"]) is int and claims["iat"] <= now + 30,
        "order": lambda: claims["iat"] < claims["exp"],
        "nbf": lambda: claims.get("nbf", 0) <= now,
        "ids": lambda: all(isinstance(claims[name], str) and claims[name] for name in ("sub", "client_id", "jti")),
        "roles": lambda: "reader" in claims["roles"] and isinstance(claims["roles"], list),
    }
    try:
        return all(check() for name, check in checks.items() if name not in skip)
    except (LookupError, TypeError, ValueError):
        return False


def without(*skip):
    """A bug: some checks are left out."""

    def bug(sample, environ):
        told = signed(sample, token(environ))
        return told is not None and proper(sample, *told, skip)

    return bug


def instead(**given):
    """A bug: a check is another one; each is called with the claims."""

    def bug(sample, environ):
        told = signed(sample, token(environ))
        if told is None or not proper(sample, *told, tuple(given)):
            return False
        with contextlib.suppress(Exception):
            return all(check(sample, told[1]) for check in given.values())
        return False

    return bug


# --- the bugs -----------------------------------------------------------------------------


def no_challenge(_sample, _environ):
    return False


def none_is_an_algorithm(sample, environ):
    try:
        header, claims = parts(token(environ) + "." * (2 - token(environ).count(".")))
    except ValueError:
        return False
    return str(header.get("alg", "none")).lower() in {"none", ""} and proper(sample, header, claims, ("members",))


def no_signature_check(sample, environ):
    with contextlib.suppress(ValueError):
        return proper(sample, *parts(token(environ)))
    return False


def hmac_with(secrets):
    def bug(sample, environ):
        with contextlib.suppress(Exception):
            header, claims = parts(token(environ))
            text, _, sign = token(environ).rpartition(".")
            good = any(hmac.digest(s, text.encode(), "sha256") == unb64(sign) for s in secrets(sample))
            return header["alg"] == "HS256" and good and proper(sample, header, claims)
        return False

    return bug


def follows(member):
    def bug(sample, environ):
        with contextlib.suppress(Exception):
            header, _ = parts(token(environ))
            if member in header:
                httpx.get(header[member], timeout=5, trust_env=False)
        return False

    return bug


def key_from_the_token(sample, environ):
    with contextlib.suppress(Exception):
        header, claims = parts(token(environ))
        PyJWS().decode_complete(token(environ), key=jwt.PyJWK(header["jwk"]), algorithms=["ES256"])
        return proper(sample, header, claims, ("members",))
    return False


def crashes_on_a_kid(_sample, environ):
    with contextlib.suppress(ValueError):
        header, _ = parts(token(environ))
        if not isinstance(header.get("kid"), str):
            raise TypeError
    return False


def lax_spelling(sample, environ):
    text = "".join(c for c in token(environ) if c.isalnum() or c in "-_.")
    return no_signature_check(sample, {"HTTP_AUTHORIZATION": f"Bearer {text}"}) and signed(sample, text)


def json_form(sample, environ):
    with contextlib.suppress(Exception):
        document = json.loads(token(environ))
        return signed(sample, f"{document['protected']}.{document['payload']}.{document['signature']}") is not None
    return False


def from_the_query(sample, environ):
    _, _, text = environ["QUERY_STRING"].partition("access_token=")
    return bool(text) and signed(sample, text) is not None


def any_scheme(sample, environ):
    return signed(sample, token(environ)) is not None and environ["HTTP_AUTHORIZATION"].startswith("Basic")


def never_asks(sample, environ):
    return without()(sample, environ)


def remembers_for_ever(sample, environ):
    text = token(environ)
    if text not in sample.memory:
        with contextlib.suppress(Refused):
            sample.memory[text] = sample.verifier.verify(text, roles=["reader"])
    return text in sample.memory


def remembers_the_role(sample, environ):
    """T-147: who was let in once is let in everywhere; who has the token is asked about, not what it may do."""
    with contextlib.suppress(Refused):
        sample.verifier.verify(token(environ))
        return True
    return False


def allows_when_away(sample, environ):
    try:
        sample.verifier.verify(token(environ), roles=["reader"])
    except Unavailable:
        return True
    except Refused:
        return False
    return True


def keeps_keys_for_ever(sample, environ):
    """The key set is fetched once."""
    keys = sample.memory.setdefault("keys", dict(sample.issuer.keys))
    with contextlib.suppress(Exception):
        header, claims = parts(token(environ))
        key = keys[header["kid"]]
        PyJWS().decode_complete(token(environ), key=jwt.PyJWK(key.jwk), algorithms=[key.alg])
        return proper(sample, header, claims)
    return False


def unknown_time(sample, claims):
    return "exp" not in claims or (isinstance(claims["exp"], int) and time.time() < claims["exp"])


BUGS = {
    "alg none": (none_is_an_algorithm, {"alg-none", "alg-none-mixed", "alg-none-upper", "alg-missing"}),
    "no signature check": (no_signature_check, {"signature-altered", "stranger-same-kid", "hmac-empty-key"}),
    "public key as secret": (hmac_with(lambda s: [s.issuer.active.pem]), {"hmac-public-key"}),
    "public key with CRLF": (
        hmac_with(lambda s: [s.issuer.active.pem.replace(b"\n", b"\r\n")]), {"hmac-public-key"},
    ),
    "empty secret": (hmac_with(lambda _: [b""]), {"hmac-empty-key"}),
    "guessable secret": (hmac_with(lambda _: [b"secret"]), {"hmac-guessable-key"}),
    "follows jku": (follows("jku"), {"link-jku"}),
    "follows x5u": (follows("x5u"), {"link-x5u"}),
    "embedded key": (key_from_the_token, {"embedded-jwk"}),
    "crashes on kid": (crashes_on_a_kid, {"kid-types"}),
    "crit ignored": (without("members"), {"crit-unknown"}),
    "lax spelling": (lax_spelling, {"spelling-padding", "spelling-rubbish"}),
    "json form": (json_form, {"json-serialisation"}),
    "any issuer": (without("iss"), {"iss-other", "missing-iss"}),
    "any audience": (without("aud"), {"aud-other", "aud-prefix", "aud-types", "missing-aud"}),
    "audience as prefix": (
        instead(aud=lambda s, c: c["aud"].startswith(s.issuer.audience)), {"aud-prefix"},
    ),
    "audience when there": (
        instead(aud=lambda s, c: c.get("aud") in {None, s.issuer.audience}), {"missing-aud", "aud-types"},
    ),
    "any type": (without("typ", "members"), {"typ-jwt", "typ-missing", "typ-other"}),
    "id token": (without("typ", "ids", "roles"), {"id-token"}),
    "never expires": (without("exp", "order"), {"expired", "missing-exp", "exp-far"}),
    "expires when it says so": (instead(exp=unknown_time, order=lambda *_: True), {"missing-exp", "exp-far"}),
    "leeway": (
        instead(exp=lambda _, c: type(c["exp"]) is int and time.time() < c["exp"] + 60 < time.time() + 10**6),
        {"expired"},
    ),
    "future": (without("iat", "order"), {"iat-future", "iat-types", "missing-iat"}),
    "nbf": (without("nbf"), {"nbf-future"}),
    "ids": (without("ids"), {"ids-types", "missing-jti", "missing-sub", "missing-client_id"}),
    "no role check": (without("roles"), {"no-role", "roles-types"}),
    "role check remembered": (remembers_the_role, {"no-role"}),
    "query": (from_the_query, {"token-in-query"}),
    "any scheme": (any_scheme, {"other-scheme"}),
    "no challenge": (no_challenge, {"no-token"}),
    "never asks": (
        never_asks,
        {"revoked", "leased", "dead-secret", "dead-credential", "disabled-owner", "replayed", "not-issued",
         "old-role-version", "idle", "epoch", "unreachable"},
    ),
    "remembers for ever": (remembers_for_ever, {"revoked", "leased", "expired-in-use", "old-role-version", "epoch"}),
    "allows when away": (allows_when_away, {"unreachable"}),
    "keys for ever": (keeps_keys_for_ever, {"compromised-key"}),
}  # fmt: skip
"""What is wrong -> how, and which checks must find it."""
