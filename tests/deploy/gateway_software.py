"""Starts the gateways of ``deploy/gateways`` as they are shipped, but for addresses, TLS and the secret."""

import os
import re
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.processes import ROOT
from tests.support.wsgi_client import basic

RECIPES = ROOT / "deploy/gateways"
APACHE_MODULES = (
    *("mpm_event", "authn_core", "authz_core", "authz_user", "headers", "env", "alias"),
    *("proxy", "proxy_http"),
)


class Place:
    """Where a gateway listens, what it stands before and whom it asks."""

    def __init__(self, folder, port, api_port, server):
        self.folder, self.port, self.api_port, self.server = folder, port, api_port, server
        self.closers = []
        for each in (folder, *folder.parents[:2]):
            each.chmod(0o755)  # workers may run as another account

    @property
    def issuer(self):
        return f"http://127.0.0.1:{self.server.server.port}"

    def tls_issuer(self):
        """The server behind TLS, for software that asks by https alone."""
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        options = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        command = ["openssl", *options, *names, "-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        front = ThreadingHTTPServer(("127.0.0.1", 0), front_of(self.issuer))
        front.daemon_threads = True
        front.socket = context.wrap_socket(front.socket, server_side=True)
        threading.Thread(target=front.serve_forever, daemon=True).start()
        self.closers += [front.shutdown, front.server_close]
        return f"https://localhost:{front.server_address[1]}"

    def close(self):
        for closer in self.closers:
            closer()

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def shipped(self, name, *changes):
        text = (RECIPES / name).read_text(encoding="utf-8")
        for old, new in (*changes, ("127.0.0.1:9000", f"127.0.0.1:{self.api_port}")):
            assert old in text, old
            text = text.replace(old, new)
        return text


def front_of(issuer):
    """Hands requests on to the server, as a proxy that ends TLS."""

    class Front(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            names = ("Authorization", "Content-Type")
            headers = {name: self.headers[name] for name in names if self.headers[name]}
            request = urllib.request.Request(issuer + self.path, body, headers)
            try:
                answer = urllib.request.urlopen(request, timeout=10)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                told = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

    return Front


def nginx(place):
    text = place.shipped(
        "nginx/api.conf",
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{place.server.server.port}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{place.port}"),
        ("/dev/shm/nginx-forward-auth", str(place.folder / "cache")),  # noqa: S108 - the recipe's own
        ("Basic BASE64_OF_ID_AND_SECRET", basic(*place.server.api)),
    )
    text = re.sub(r"\n\s*ssl_certificate\S*\s.*", "", text)
    folder, user = place.folder, "user root;" if os.getuid() == 0 else ""
    whole = (
        f"{user} pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; daemon off; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{text}\n}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", place.write("nginx.conf", whole)], {}


def caddy(place):
    text = place.shipped(
        "caddy/Caddyfile",
        ("api.example.com {", f"http://127.0.0.1:{place.port} {{"),
        ("127.0.0.1:8000", f"127.0.0.1:{place.server.server.port}"),
    )
    path = place.write("Caddyfile", "{\n\tadmin off\n}\n" + text)
    environ = {"HOME": str(place.folder), "AUTH_BASIC": basic(*place.server.api)}
    return ["caddy", "run", "--adapter", "caddyfile", "--config", path], environ


def haproxy(place):
    lua = place.write("forward_auth.lua", (RECIPES / "haproxy/forward_auth.lua").read_text(encoding="utf-8"))
    text = place.shipped(
        "haproxy/haproxy.cfg",
        ("/etc/haproxy/forward_auth.lua", lua),
        ("https://auth.example.com", place.issuer),
        ("Basic BASE64_OF_ID_AND_SECRET", basic(*place.server.api)),
        (
            "bind :443 ssl crt /etc/ssl/api/combined.pem alpn h2,http/1.1",
            f"bind 127.0.0.1:{place.port}",
        ),
    )
    return ["haproxy", "-db", "-f", place.write("haproxy.cfg", text)], {}


def apache2(place):
    client_id, secret = place.server.api
    text = place.shipped(
        "apache/api.conf",
        ("*:443>", f"127.0.0.1:{place.port}>"),
        ("https://auth.example.com", place.tls_issuer()),
        ("CLIENT_ID\n", f"{client_id}\n"),
        ("CLIENT_SECRET\n", f"{secret}\n"),
    )
    return _apache(place, "auth_openidc", re.sub(r"\n\s*SSL\S+ .*", "\n    OIDCOAuthSSLValidateServer Off", text))


def apache2_oauth2(place):
    client_id, secret = place.server.api
    text = place.shipped(
        "apache/mod_oauth2.conf",
        ("*:443>", f"127.0.0.1:{place.port}>"),
        ("https://auth.example.com", place.tls_issuer()),
        ("CLIENT_ID&", f"{client_id}&introspect.ssl_verify=false&"),
        ("CLIENT_SECRET&", f"{secret}&"),
    )
    return _apache(place, "oauth2", re.sub(r"\n\s*SSL\S+ .*", "", text))


def _apache(place, module, text):
    modules = (*APACHE_MODULES, module)
    loads = "".join(f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so\n" for each in modules)
    folder, user = place.folder, "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""
    head = (
        f"ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\nMutex file:{folder} default\n"
        f"ErrorLog {folder}/error.log\nServerName localhost\n{user}{loads}Listen 127.0.0.1:{place.port}\n"
        "StartServers 1\nMinSpareThreads 5\nThreadsPerChild 10\nMaxRequestWorkers 10\n"
    )
    return ["apache2", "-f", place.write("httpd.conf", head + text), "-DFOREGROUND"], {}


GATEWAYS = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
    "apache2": apache2,
    "apache2 with mod_oauth2": apache2_oauth2,
}
NEEDED = {
    "apache2": ("/usr/lib/apache2/modules/mod_auth_openidc.so", "libapache2-mod-auth-openidc"),
    "apache2 with mod_oauth2": ("/usr/lib/apache2/modules/mod_oauth2.so", "libapache2-mod-oauth2"),
}
"""Beside the program itself: a file, and the package that has it."""
