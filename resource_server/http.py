"""Bearer tokens over HTTP: parses the header (RFC 6750 §2.1), makes challenges (§3) and metadata (RFC 9728)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from resource_server.dpop import PROOF_ALGORITHMS, Proof
from resource_server.errors import (
    ConfigurationError,
    InsufficientScope,
    InvalidProof,
    InvalidRequest,
    MissingToken,
    Refused,
    Unavailable,
    UseNonce,
)
from resource_server.settings import Settings, loopback

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_MAX_QUERY_FIELDS = 1000


def bearer_token(authorization: Sequence[str], query: str = "") -> str:
    """The token of a request.

    Args:
        authorization: the values of its Authorization headers.
        query: its query string; a token in it is refused (RFC 9700 §4.3.2), since URLs end up in logs.

    Raises:
        MissingToken: there is none.
        InvalidRequest: there are several, or it is written in another way.
    """
    if "access_token" in query and _in_query(query):
        raise InvalidRequest("token_in_query", "The token was sent in the URL; it may be in logs now.")
    if len(authorization) > 1:
        raise InvalidRequest("several_headers", "There is more than one Authorization header.")
    scheme, _, text = (authorization[0] if authorization else "").partition(" ")
    if scheme.lower() != "bearer":
        raise MissingToken
    text = text.strip(" ")
    if not text or " " in text or "," in text:
        raise InvalidRequest("header", "The Authorization header is not: Bearer <token>.")
    return text


def token_and_proof(
    settings: Settings,
    authorization: Sequence[str],
    query: str = "",
    *,
    proofs: Sequence[str] = (),
    method: str = "",
    path: str = "/",
    url: str = "",
) -> tuple[str, Proof | None]:
    """The token of a request, and the proof that came with it (RFC 9449 §7.1); None for a bearer token.

    Args:
        settings: of the verifier; their ``resource``, else the audience, says how clients write this API's address, so
            that neither a header nor a proxy decides what a proof is for.
        authorization: the values of its Authorization headers.
        query: its query string.
        proofs: the values of its DPoP headers.
        method: the HTTP method.
        path: the path of the request.
        url: its address as the framework knows it, used where the settings have none.

    Raises:
        MissingToken, InvalidRequest: as ``bearer_token``.
        InvalidProof: there is not just one proof (RFC 9449 §4.3 no. 1).
    """
    scheme, _, text = (authorization[0] if len(authorization) == 1 else "").partition(" ")
    if scheme.lower() != "dpop":
        return bearer_token(authorization, query), None
    token = bearer_token([f"Bearer {text}"], query)
    if len(proofs) != 1 or not method:
        raise InvalidProof("malformed_proof")
    return token, Proof(proofs[0], method, called_url(settings, path) or url)


def called_url(settings: Settings, path: str) -> str:
    """The address of a call as its client wrote it; "" where neither resource nor audience is a URL.

    A proxy may have taken the path of the resource away; it is put back.
    """
    resource = _resource(settings)
    if not resource:
        return ""
    parts = urlsplit(resource)
    prefix = parts.path.rstrip("/")
    inside = path if path == prefix or path.startswith(f"{prefix}/") else f"{prefix}{path}"
    return f"{parts.scheme}://{parts.netloc}{inside}"


def _in_query(query: str) -> bool:
    try:
        return any(name == "access_token" for name, _ in parse_qsl(query, True, max_num_fields=_MAX_QUERY_FIELDS))
    except ValueError:
        return True


@dataclass(frozen=True, slots=True)
class Response:
    """A response in place of the API's own, which any framework can send."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


def refusal(settings: Settings, refused: Refused) -> Response:
    """The response to a refused request: 400, 401, 403 with a challenge, or 503 with ``Retry-After``."""
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if isinstance(refused, Unavailable):
        headers.append(("Retry-After", str(refused.retry_after)))
    else:
        headers.append(("WWW-Authenticate", challenge(settings, refused)))
    if isinstance(refused, UseNonce):
        headers.append(("DPoP-Nonce", refused.nonce))
    members = {"error": refused.error or "unauthorized"}
    if refused.description:
        members["error_description"] = refused.description
    return Response(refused.status, tuple(headers), json.dumps(members).encode())


def challenge(settings: Settings, refused: Refused) -> str:
    """The value of ``WWW-Authenticate`` (RFC 6750 §3, RFC 9728 §5.1)."""
    parameters = {"realm": settings.audience}
    if isinstance(refused, InvalidProof):
        parameters["algs"] = " ".join(PROOF_ALGORITHMS)
    if refused.error:
        parameters |= {"error": refused.error, "error_description": refused.description}
    if isinstance(refused, InsufficientScope):
        parameters["scope"] = " ".join(refused.roles)
    url = metadata_url(settings)
    if url:
        parameters["resource_metadata"] = url
    scheme = "DPoP" if isinstance(refused, InvalidProof) else "Bearer"
    return f"{scheme} " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in parameters.items())


def metadata_url(settings: Settings) -> str:
    """The URL of this API's metadata (RFC 9728 §3.1); "" when neither resource nor audience is a URL."""
    if settings.resource_metadata:
        return settings.resource_metadata
    resource = _resource(settings)
    if not resource:
        return ""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.rstrip('/')}"


def metadata_path(settings: Settings) -> str:
    """The path of the metadata on this API's own host.

    Raises:
        ConfigurationError: neither ``resource`` nor the audience is a URL.
    """
    return urlsplit(metadata_url(settings) or _no_resource()).path


def metadata(settings: Settings, roles: Iterable[str] = (), **more: Any) -> dict[str, Any]:
    """Protected-resource metadata (RFC 9728 §2).

    Args:
        settings: of the verifier.
        roles: for ``scopes_supported``.
        **more: other members, such as ``resource_name`` and ``resource_documentation``.

    Raises:
        ConfigurationError: neither ``resource`` nor the audience is a URL.
    """
    document: dict[str, Any] = {
        "resource": _resource(settings) or _no_resource(),
        "authorization_servers": [settings.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
    }
    if settings.client_certificate_header:
        document["tls_client_certificate_bound_access_tokens"] = True
    scopes = sorted(set(roles))
    if scopes:
        document["scopes_supported"] = scopes
    return {**document, **more}


def metadata_response(document: dict[str, Any]) -> Response:
    """The metadata as a response; anybody may read it, browsers of other origins too."""
    headers = (
        ("Content-Type", "application/json"),
        ("Cache-Control", "public, max-age=300"),
        ("Access-Control-Allow-Origin", "*"),
    )
    return Response(200, headers, json.dumps(document).encode())


def _resource(settings: Settings) -> str:
    url = settings.resource or settings.audience
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (parts.scheme == "http" and loopback(parts.hostname or ""))
    return url if secure and parts.netloc and not parts.fragment and not parts.query else ""


def _no_resource() -> str:
    raise ConfigurationError(
        "The audience is no https URL, so there is no place for the metadata (RFC 9728);"
        " give resource=, the URL of this API as its clients write it"
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
