"""Any WSGI application behind a verifier (PEP 3333)."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.util import request_uri

from resource_server.certificate import certificate_of_call, wsgi_name
from resource_server.errors import Refused
from resource_server.http import (
    Response,
    metadata,
    metadata_path,
    metadata_response,
    metadata_url,
    refusal,
    token_and_proof,
)
from resource_server.settings import Settings
from resource_server.verifier import Verifier

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TOKEN = "resource_server.token"  # noqa: S105 - the name of a variable
"""Where the verified ``Token`` is in the environment of a request."""


class BearerMiddleware:
    """Lets only good tokens through to an application, and serves the metadata of RFC 9728.

    Args:
        app: the application.
        verifier: decides.
        roles: what every call needs.
        public: paths that need no token; one that ends with a slash stands for all below it.
    """

    def __init__(
        self, app: "WSGIApplication", verifier: Verifier, *, roles: Iterable[str] = (), public: Iterable[str] = ()
    ) -> None:
        self._app, self._verifier, self._roles = app, verifier, tuple(roles)
        self._public = tuple(public)
        settings = verifier.settings
        self._metadata_path = metadata_path(settings) if metadata_url(settings) else None

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve a request."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        settings = self._verifier.settings
        environ.pop(TOKEN, None)
        if path == self._metadata_path and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return _send(metadata_response(metadata(settings, self._roles)), start_response)
        if not is_public(path, self._public):
            header = environ.get("HTTP_AUTHORIZATION")
            try:
                method = environ["REQUEST_METHOD"]
                proof_header = environ.get("HTTP_DPOP")
                text, proof = token_and_proof(
                    settings,
                    [header] if header else [],
                    environ.get("QUERY_STRING", ""),
                    proofs=[proof_header] if proof_header else [],
                    method=method,
                    path=path,
                    url=request_uri(environ, include_query=False),
                )
                environ[TOKEN] = self._verifier.verify(
                    text, roles=self._roles, method=method, proof=proof, certificate=certificate_of(settings, environ)
                )
            except Refused as refused:
                return _send(refusal(settings, refused), start_response)
        return self._app(environ, start_response)


def certificate_of(settings: Settings, environ: Mapping[str, Any]) -> str:
    """The TLS certificate of a call, from the header that the settings name, else from the server itself."""
    value = environ.get(wsgi_name(settings), "")
    return certificate_of_call(settings, [value] if value else [], environ.get("SSL_CLIENT_CERT", ""))


def is_public(path: str, public: Iterable[str]) -> bool:
    """Whether a path needs no token."""
    return any(path == each or (each.endswith("/") and path.startswith(each)) for each in public)


def _send(response: Response, start_response: "StartResponse") -> Iterable[bytes]:
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
    return [response.body]
