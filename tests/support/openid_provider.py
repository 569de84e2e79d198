"""OpenID Connect providers for the tests: the npm package oidc-provider, and one of our own that lies when told."""

import base64
import contextlib
import hashlib
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import clients_js_plugin
from tests.support.deadlines import read_line

JS_HOME = Path(__file__).parents[1] / "oidc_js"
CLIENT = {"client_id": "console", "client_secret": "made-up-secret-of-the-console"}


@contextlib.contextmanager
def real(node, redirect_uri, **client):
    """Start oidc-provider; its issuer."""
    clients_js_plugin.need("Sign-in with a real provider was", clients_js_plugin.missing(JS_HOME))
    values = {**CLIENT, "redirect_uri": redirect_uri, "client": client}
    with subprocess.Popen(
        [node, "provider.mjs"], cwd=JS_HOME, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        started.stdin.write(json.dumps(values))
        started.stdin.close()
        line = ""
        while not line.startswith("http://"):
            line = read_line(started.stdout, "the address of oidc-provider")
            assert line, "oidc-provider ended"
        try:
            yield line.strip()
        finally:
            started.terminate()


class Hostile:
    """A provider that is right in everything but what a test sets."""

    def __init__(self, server):
        self.issuer = f"http://127.0.0.1:{server.server_port}"
        self.key, self.kid = ec.generate_private_key(ec.SECP256R1()), "k1"
        self.asked = []
        self.reset()

    def reset(self):
        """Tell the truth again."""
        self.subject = "somebody"
        self.metadata, self.claims, self.without = {}, {}, ()
        self.answers, self.delay, self.drip = {}, 0, False
        self.signing_key, self.alg, self.id_token = self.key, "ES256", None
        self.asked.clear()
        self.nonces = {}

    def document(self):
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "none", "HS256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def jwks(self):
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "alg": "ES256", "use": "sig"}]}

    def token(self, form):
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": CLIENT["client_id"],
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "nonce": self.nonces.get(form["code"][0]),
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if name not in self.without}
        made = self.id_token or jwt.encode(claims, self.signing_key, algorithm=self.alg, headers={"kid": self.kid})
        self.last_id_token = made
        return {"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": made}

    def authorize(self, url):
        """What a browser that follows ``url`` comes back with; its query."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = base64.urlsafe_b64encode(hashlib.sha256(query["state"].encode()).digest()).decode()
        self.nonces[code] = query.get("nonce")
        return {"code": code, "state": query["state"], "iss": self.issuer}


@contextlib.contextmanager
def hostile():
    """Start a provider of our own."""
    holder = {}

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer({"/.well-known/openid-configuration": it.document, "/jwks": it.jwks}, {})

        def do_POST(self):
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())
            self._answer({"/token": lambda: it.token(form)}, form)

        def _answer(self, known, form):
            it.asked.append((self.path, form, self.headers.get("Authorization", "")))
            if it.delay:
                stop.wait(it.delay)
            status, headers, body = it.answers.get(self.path, (200, {}, None))
            text = (json.dumps(known[self.path]()) if body is None else body).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if not it.drip:
                    self.wfile.write(text)
                while it.drip and not stop.wait(0.2):
                    self.wfile.write(b" ")

        def log_message(self, *_):
            pass

    stop = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.daemon_threads = True
        server.block_on_close = False
        it = holder["it"] = Hostile(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield it
        finally:
            stop.set()
            server.shutdown()
