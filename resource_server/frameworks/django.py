"""Django: a middleware and a decorator for views.

``settings.py``::

    MIDDLEWARE = [..., "resource_server.frameworks.django.BearerMiddleware"]
    RESOURCE_SERVER = {
        "verifier": {"issuer": ISSUER, "audience": AUDIENCE, "credentials": (API_ID, API_SECRET)},
        "protect": ["/api/"],
    }

Under the paths of ``protect`` every call needs a good token; ``require_roles`` asks for roles as well. Without
``verifier`` the ``RESOURCE_SERVER_*`` environment variables are read.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse

from resource_server.errors import ConfigurationError, Refused
from resource_server.frameworks.wsgi import certificate_of, is_public
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

View = Callable[..., HttpResponse]
_MEMBERS = {"verifier", "protect", "metadata"}
_making = threading.Lock()
_made: list[tuple[object, Verifier]] = []


def configured_verifier() -> Verifier:
    """The verifier of ``settings.RESOURCE_SERVER``, made once per process.

    Raises:
        ConfigurationError: the settings are wrong.
    """
    configuration = _configuration()
    with _making:
        if not _made or _made[0][0] != configuration:
            options = configuration.get("verifier")
            verifier = Verifier.from_environment() if options is None else Verifier(**options)
            for _, previous in _made:
                previous.close()
            _made[:] = [(configuration, verifier)]
        return _made[0][1]


class BearerMiddleware:
    """Answers refusals, serves the metadata of RFC 9728 and protects paths."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._next = get_response
        self._verifier = configured_verifier()
        configuration = _configuration()
        self._protected = tuple(configuration.get("protect", ()))
        self._members = dict(configuration.get("metadata", {}))
        settings = self._verifier.settings
        self._metadata_path = metadata_path(settings) if metadata_url(settings) else None

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve a request."""
        settings = self._verifier.settings
        if request.path == self._metadata_path and request.method in {"GET", "HEAD"}:
            return _django(metadata_response(metadata(settings, **self._members)))
        return self._next(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """Check calls under protected paths, once Django knows the route."""
        if is_public(request.path, self._protected):
            try:
                check(request)
            except Refused as refused:
                return _django(refusal(self._verifier.settings, refused))
        return None

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a refusal that a view let out."""
        return _django(refusal(self._verifier.settings, error)) if isinstance(error, Refused) else None


def check(request: HttpRequest, *roles: str) -> Token:
    """Check a request, and keep the token as ``request.access_token``.

    Raises:
        Refused: the middleware answers it.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    proof_header, verifier = request.META.get("HTTP_DPOP"), configured_verifier()
    text, proof = token_and_proof(
        verifier.settings,
        [header] if header else [],
        request.META.get("QUERY_STRING", ""),
        proofs=[proof_header] if proof_header else [],
        method=request.method or "",
        path=request.path,
        url=f"{request.scheme}://{request.META.get('HTTP_HOST', '')}{request.path}",
    )
    known = getattr(request, "access_token", None)
    if isinstance(known, Token):  # the middleware let this very request in
        known.require(*roles)
        return known
    route = getattr(request.resolver_match, "route", "") if request.resolver_match else ""
    token = verifier.verify(
        text,
        roles=roles,
        method=request.method or "",
        route=f"/{route}",
        proof=proof,
        certificate=certificate_of(verifier.settings, request.META),
    )
    request.access_token = token
    return token


def require_roles(*roles: str) -> Callable[[View], View]:
    """Let calls into a view only with a good token that has all of these roles."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            check(request, *roles)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _configuration() -> dict[str, Any]:
    configuration = getattr(django_settings, "RESOURCE_SERVER", {})
    if not isinstance(configuration, dict) or not set(configuration) <= _MEMBERS:
        raise ConfigurationError("RESOURCE_SERVER in the settings is a dict of verifier, protect and metadata")
    if isinstance(configuration.get("protect"), str):
        raise ConfigurationError('protect in RESOURCE_SERVER is a list of paths, such as ["/api/"]')
    return configuration


def _django(response: Response) -> HttpResponse:
    return HttpResponse(response.body, status=response.status, headers=dict(response.headers))
