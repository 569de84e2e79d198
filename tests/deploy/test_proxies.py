"""The files in ``deploy/proxies``, run by the real proxies before the real server, its issuer below a path.

Their lines for mTLS are in use, and the certificates of the clients are made by the commands of ``docs/mtls.md``.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from urllib.parse import quote

import httpx
import pytest

from app import create_app
from authserver.actions.client_authentication import certificates
from authserver.config import Config
from keys.master import MasterKey
from tests.faults.test_history import seed
from tests.support import servers
from tests.support.clients_js_plugin import need
from tests.support.deadlines import wait_until
from tests.support.processes import ROOT
from tests.support.servers import free_port

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
FILES = ROOT / "deploy" / "proxies"
MODULES = (
    *("mpm_event", "authz_core", "env", "ssl", "http2", "headers", "proxy", "proxy_http", "rewrite", "unique_id"),
    "socache_shmcb",
)


def shipped(name, *changes):
    """A file as it is shipped, but for addresses and certificates, and with its lines for mTLS."""
    text = (FILES / name).read_text(encoding="utf-8").replace("#mtls ", "")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


class Place:
    """Where a proxy listens and what it needs: two ports, a certificate, the server's port, a folder."""

    def __init__(self, folder, upstream, ports):
        self.folder, self.upstream = folder, upstream
        self.plain, self.secure = ports
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        subprocess.run(
            ["openssl", *options, *names, "-keyout", self.key, "-out", self.certificate],
            check=True,
            capture_output=True,
            timeout=60,
        )
        both = self.certificate.read_text(encoding="ascii") + self.key.read_text(encoding="ascii")
        (folder / "combined.pem").write_text(both, encoding="ascii")
        page = (ROOT / "docs" / "mtls.md").read_text(encoding="utf-8")
        self.printed = [
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", each],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
                timeout=60,
            ).stdout
            for each in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        ]

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


def nginx(place):
    text = shipped(
        "nginx/authserver.conf",
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{place.upstream}"),
        ("listen 80;", f"listen 127.0.0.1:{place.plain};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{place.secure} ssl http2;"),
        ("/etc/ssl/authserver/fullchain.pem", str(place.certificate)),
        ("/etc/ssl/authserver/privkey.pem", str(place.key)),
    )
    folder, user = place.folder, "user root;" if os.getuid() == 0 else ""
    paths = "".join(f"{each}_temp_path {folder}/{each};" for each in ("proxy", "fastcgi", "uwsgi", "scgi"))
    whole = (
        f"{user} pid {folder}/pid; error_log {folder}/error.log; daemon off; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; {paths}\n{text}\n}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", place.write("nginx.conf", whole)], {}


def haproxy(place):
    combined = place.folder / "combined.pem"
    text = shipped(
        "haproxy/haproxy.cfg",
        ("bind :80", f"bind 127.0.0.1:{place.plain}"),
        ("    bind :443 ssl crt /etc/ssl/authserver/combined.pem alpn h2,http/1.1\n", ""),  # in its place:
        ("bind :443 ssl crt /etc/ssl/authserver/combined.pem", f"bind 127.0.0.1:{place.secure} ssl crt {combined}"),
        ("/etc/ssl/authserver/client-ca.pem", str(place.folder / "client-ca.pem")),
        ("server node1 127.0.0.1:8000", f"server node1 127.0.0.1:{place.upstream}"),
    )
    return ["haproxy", "-db", "-f", place.write("haproxy.cfg", text)], {}


def apache2(place):
    text = shipped(
        "apache/authserver.conf",
        ("*:80>", f"127.0.0.1:{place.plain}>"),
        ("*:443>", f"127.0.0.1:{place.secure}>"),
        ("ServerName auth.example.com", "ServerName localhost"),
        ("/etc/ssl/authserver/fullchain.pem", str(place.certificate)),
        ("/etc/ssl/authserver/privkey.pem", str(place.key)),
        ("http://127.0.0.1:8000/", f"http://127.0.0.1:{place.upstream}/"),
    )
    folder = place.folder
    loads = "".join(f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so\n" for each in MODULES)
    user = "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""
    head = (
        f"ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\nMutex file:{folder} default\n"
        f"ErrorLog {folder}/error.log\nServerName localhost\n{user}{loads}"
        f"Listen 127.0.0.1:{place.plain}\nListen 127.0.0.1:{place.secure} https\n"
    )
    return ["apache2", "-f", place.write("httpd.conf", head + text), "-DFOREGROUND"], {}


def caddy(place):
    option = "\tauto_https disable_redirects\n"
    text = shipped("caddy/Caddyfile", (option, f"{option}\tadmin off\n"))
    environ = {
        "AUTHSERVER_SITE": f"https://localhost:{place.secure}",
        "AUTHSERVER_PLAIN_SITE": f"http://localhost:{place.plain}",
        "AUTHSERVER_UPSTREAM": f"127.0.0.1:{place.upstream}",
        "AUTHSERVER_TLS": place.write(
            "tls", f"tls {place.certificate} {place.key} {{\n\tclient_auth {{\n\t\tmode request\n\t}}\n}}\n"
        ),
        "HOME": str(place.folder),
    }
    return ["caddy", "run", "--adapter", "caddyfile", "--config", place.write("Caddyfile", text)], environ


def known_by_certificate(url, key, client_id, folder):
    """Let the certificate of ``docs/mtls.md`` stand for a credential, and a name on those of its authority."""
    services = create_app(Config(database_url=url, master_key=key), background=False).extensions["services"]
    who = {"actor": "test", "now": services.clock.now()}
    own = certificates.registered((folder / "client-cert.pem").read_text(encoding="ascii"), who["now"])
    for each in (own, certificates.named("san_uri", "spiffe://example.org/payroll")):
        certificates.add(services.store().accounts, client_id, each, **who)
    services.close()


PROXIES = {"nginx": nginx, "haproxy": haproxy, "apache2": apache2, "caddy": caddy}


class Site:
    """A proxy before a server: a client that trusts its certificate, and what the server logged."""

    def __init__(self, place, start, made, api, issuer):
        self.place, self.start, self.made, self.api, self.issuer = place, start, made, api, issuer
        self.node = start()
        context = ssl.create_default_context(cafile=str(place.certificate))
        self.http = httpx.Client(http2=True, verify=context, timeout=20, base_url=issuer)

    def token(self, **headers):
        client = self.made[0]["client"], self.made[0]["secret"]
        return self.http.post(
            f"{self.issuer}/oauth/token", data={"grant_type": "client_credentials"}, auth=client, headers=headers
        )

    def lines(self):
        return [json.loads(line) for line in self.node.log().splitlines() if line.startswith("{")]


@pytest.fixture(scope="module", params=sorted(PROXIES))
def site(request, tmp_path_factory):
    name = request.param
    need(f"{name} as a proxy was", "" if shutil.which(name, path=PATH) else f"it is not installed: apt install {name}")
    folder = tmp_path_factory.mktemp(name)
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)  # Apache's workers run as another account
    ports, key, port = (free_port(), free_port()), MasterKey.fresh(), free_port()
    issuer = f"https://localhost:{ports[1]}/auth"
    url = f"sqlite:///{folder}/auth.db"
    made, api = seed(url, key)
    place = Place(folder, port, ports)
    command, environ = PROXIES[name](place)
    own = {
        "AUTHSERVER_ISSUER": issuer,
        "AUTHSERVER_TRUSTED_PROXIES": "127.0.0.1",
        "AUTHSERVER_LOG_FORMAT": "json",
        "AUTHSERVER_DEMO": "0",
        "AUTHSERVER_CLIENT_CERT_HEADER": "Client-Cert",
        "AUTHSERVER_CLIENT_CA_FILE": str(folder / "client-ca.pem"),
    }
    known_by_certificate(url, key, made[1]["client"], folder)
    running = Site(place, lambda: servers.start(url, key, port=port, env=own), made, api, issuer)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, "PATH": PATH, **environ}, stdout=out, stderr=out, start_new_session=True
        )

        def serves():
            assert process.poll() is None, (folder / "out").read_text(encoding="utf-8")
            with contextlib.suppress(httpx.HTTPError):
                return running.http.get(f"{issuer}/.well-known/jwks.json").status_code == 200
            return False

        try:
            wait_until(f"{name} with its server", serves, seconds=30)
            yield running
        finally:
            running.http.close()
            running.node.close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def test_tls_http2_and_the_path_of_the_issuer(site):
    answer = site.token()
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    document = site.http.get(f"{site.issuer}/.well-known/oauth-authorization-server").json()
    assert document["token_endpoint"] == f"{site.issuer}/oauth/token"
    before = site.http.get(site.issuer.replace("/auth", "/.well-known/oauth-authorization-server/auth"))
    assert before.json()["issuer"] == site.issuer
    looked = site.http.post(
        f"{site.issuer}/oauth/introspect", data={"token": answer.json()["access_token"]}, auth=tuple(site.api)
    )
    assert looked.json()["active"]
    console = site.http.get(f"{site.issuer}/console/", follow_redirects=False)
    assert console.status_code in {302, 303}
    assert "/auth/console/" in console.headers["Location"]


def test_the_callers_address_and_request_id_reach_the_log_and_a_forged_address_does_not(site):
    forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    answer = site.token(**{"X-Request-Id": "asked-by-me"}, **forged)
    assert answer.status_code == 200
    assert answer.headers["X-Request-Id"] == "asked-by-me"
    strange = site.token(**{"X-Request-Id": "not (one of ours)"})
    assert strange.status_code == 200
    assert strange.headers["X-Request-Id"] != "not (one of ours)"

    def logged():
        return [line for line in site.lines() if line.get("request_id") == "asked-by-me"]

    (line,) = wait_until("the log line", logged, seconds=10)
    assert line["peer"] == "127.0.0.1"
    assert all(line.get("peer") != "203.0.113.9" for line in site.lines())


def test_what_is_too_large_and_what_is_inside_is_refused(site):
    context = ssl.create_default_context(cafile=str(site.place.certificate))
    # HTTP/1.1, because httpx does not read an early answer while it waits for a window of HTTP/2.
    with httpx.Client(verify=context, timeout=20) as http:
        # With a declared length, and in chunks, whose length only the reader learns.
        for content in (b"a" * 70_000, iter([b"a" * 1_000] * 70)):
            large = http.post(f"{site.issuer}/oauth/token", content=content)
            assert large.status_code == 413
            assert large.json()["error"] == "invalid_request"
    for name in ("livez", "readyz", "metrics"):
        for at in (site.issuer, site.issuer.removesuffix("/auth")):
            assert site.http.get(f"{at}/{name}").status_code == 404
    # Who sends too much takes no node out for others.
    assert site.token().status_code == 200


def test_plain_http_leads_browsers_to_tls_and_refuses_clients(site):
    plain = f"http://localhost:{site.place.plain}/auth"
    browser = httpx.get(f"{plain}/console/", follow_redirects=False, timeout=10)
    assert browser.status_code == 301
    assert browser.headers["Location"].startswith("https://localhost")
    client = httpx.post(f"{plain}/oauth/token", data={"grant_type": "client_credentials"}, timeout=10)
    assert client.status_code == 403


def test_old_tls_is_refused_and_keep_alive_serves_many_requests_of_one_connection(site):
    context = ssl.create_default_context(cafile=str(site.place.certificate))
    raw = socket.create_connection(("localhost", site.place.secure), timeout=10)
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        assert tls.version() in {"TLSv1.2", "TLSv1.3"}
        for _ in range(5):
            tls.sendall(b"GET /auth/.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += tls.recv(65536)
            assert head.startswith(b"HTTP/1.1 200"), head[:80]
            head, _, body = head.partition(b"\r\n\r\n")
            length = int(next(each for each in head.lower().split(b"\r\n") if b"content-length" in each)[16:])
            while len(body) < length:
                body += tls.recv(65536)


def test_a_server_that_is_away_is_an_honest_503(site):
    site.node.close()
    try:
        answer = site.token()
        assert answer.status_code in {502, 503}
        assert answer.json()["error"] == "temporarily_unavailable"
    finally:
        site.node = site.start()
    wait_until("the proxy to pass on again", lambda: site.token().status_code == 200, seconds=20)


def test_X_03_a_certificate_reaches_the_server_and_a_forged_header_does_not(site):
    folder, client_id = site.place.folder, site.made[1]["client"]
    form = {"grant_type": "client_credentials", "client_id": client_id}
    pem = (folder / "client-cert.pem").read_text(encoding="ascii")
    forged = {name: quote(pem, safe="") for name in ("Client-Cert", "Client_Cert")}
    for name in ("client", "issued"):
        context = ssl.create_default_context(cafile=str(site.place.certificate))
        context.load_cert_chain(folder / f"{name}-cert.pem", folder / f"{name}-key.pem")
        with httpx.Client(http2=True, verify=context, timeout=20) as http:
            answer = http.post(f"{site.issuer}/oauth/token", data=form, headers=forged)
            assert answer.status_code == 200, answer.text
            text = answer.json()["access_token"]
            found = site.http.post(f"{site.issuer}/oauth/introspect", data={"token": text}, auth=tuple(site.api)).json()
            assert found["active"]
            if name == "client":
                assert found["cnf"] == {"x5t#S256": site.place.printed[0].strip()}
    for headers in ({}, forged, {"Client_Cert": forged["Client_Cert"]}):
        stolen = site.http.post(f"{site.issuer}/oauth/token", data=form, headers=headers)
        assert (stolen.status_code, stolen.json()["error"]) == (401, "invalid_client"), headers
    assert site.token(**forged).status_code == 200  # without a certificate a secret works as ever


def test_an_address_in_a_name_with_underscores_is_no_address(site):
    spellings = ("X_Forwarded_For", "X_Forwarded-For", "X-Forwarded_For")
    for number, name in enumerate(spellings):
        assert site.token(**{"X-Request-Id": f"underscore-{number}", name: "203.0.113.9"}).status_code == 200

    def logged():
        found = [line for line in site.lines() if str(line.get("request_id")).startswith("underscore-")]
        return found if len(found) == len(spellings) else None

    assert {line["peer"] for line in wait_until("the log lines", logged, seconds=10)} == {"127.0.0.1"}
