"""Flask: a decorator for views.

::

    guard = Guard(verifier, app)

    @app.get("/things/<id>")
    @guard.require_roles("reader")
    def thing(id):
        return {"for": current_token().sub}
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import flask

from resource_server.errors import Refused
from resource_server.frameworks.wsgi import certificate_of
from resource_server.http import (
    Response,
    metadata,
    metadata_path,
    metadata_response,
    metadata_url,
    refusal,
    token_and_proof,
)
from resource_server.token import Token
from resource_server.verifier import Verifier

P = ParamSpec("P")
R = TypeVar("R")


class Guard:
    """Guards views with a verifier.

    Args:
        verifier: decides.
        app: serves the metadata and answers refusals; or call ``init_app`` later.
        **members: further members of the metadata, such as ``resource_name``.
    """

    def __init__(self, verifier: Verifier, app: flask.Flask | None = None, **members: Any) -> None:
        self.verifier, self._members = verifier, members
        self._roles: set[str] = set()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Serve the metadata (RFC 9728) and answer refusals as RFC 6750 says."""
        app.register_error_handler(Refused, self._refused)
        if metadata_url(self.verifier.settings):
            path = metadata_path(self.verifier.settings)
            app.add_url_rule(path, "oauth_protected_resource", self._metadata, methods=["GET"])

    def require_roles(self, *roles: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Let calls into a view only with a good token that has all of these roles (none: any good token)."""
        self._roles.update(roles)

        def decorate(view: Callable[P, R]) -> Callable[P, R]:
            @functools.wraps(view)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                self.check(*roles)
                result: R = flask.current_app.ensure_sync(view)(*args, **kwargs)
                return result

            return guarded

        return decorate

    def check(self, *roles: str) -> Token:
        """Check the current request; for use in ``before_request`` of a blueprint.

        Raises:
            Refused: which Flask answers by itself after ``init_app``.
        """
        request = flask.request
        header = request.headers.get("Authorization")
        text, proof = token_and_proof(
            self.verifier.settings,
            [header] if header else [],
            request.query_string.decode("latin-1"),
            proofs=request.headers.getlist("DPoP"),
            method=request.method,
            path=request.script_root + request.path,
            url=request.base_url,
        )
        route = request.url_rule.rule if request.url_rule else ""
        flask.g.resource_server_token = token = self.verifier.verify(
            text,
            roles=roles,
            method=request.method,
            route=route,
            proof=proof,
            certificate=certificate_of(self.verifier.settings, request.environ),
        )
        return token

    def _refused(self, refused: Refused) -> flask.Response:
        return _flask(refusal(self.verifier.settings, refused))

    def _metadata(self) -> flask.Response:
        return _flask(metadata_response(metadata(self.verifier.settings, self._roles, **self._members)))


def current_token() -> Token:
    """The verified token of the current request.

    Raises:
        RuntimeError: the view is not guarded.
    """
    token: Token | None = flask.g.get("resource_server_token")
    if token is None:
        raise RuntimeError("This view is not guarded: put @guard.require_roles() on it, below the route.")
    return token


def _flask(response: Response) -> flask.Response:
    return flask.Response(response.body, response.status, list(response.headers))
