"""GET /.well-known/ssf-configuration: how to make a stream (SSF 1.0 §7.1)."""

from collections.abc import Callable

from authserver.oauth.http import Request, Response, dump
from authserver.ports.shared_signals.streams import METHODS

CONFIGURATION = "/.well-known/ssf-configuration"
STREAMS = "/ssf/streams"
STATUS = "/ssf/status"
ADD_SUBJECT = "/ssf/subjects/add"
REMOVE_SUBJECT = "/ssf/subjects/remove"
VERIFY = "/ssf/verify"
POLL = "/ssf/poll"

MAX_AGE = 3600
_BASIC = "urn:ietf:rfc:7617"


def document(issuer: str) -> dict[str, object]:
    """SSF 1.0 §7.1.1. All users' events are told unless the receiver removes some."""
    return {
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "delivery_methods_supported": list(METHODS),
        "configuration_endpoint": f"{issuer}{STREAMS}",
        "status_endpoint": f"{issuer}{STATUS}",
        "add_subject_endpoint": f"{issuer}{ADD_SUBJECT}",
        "remove_subject_endpoint": f"{issuer}{REMOVE_SUBJECT}",
        "verification_endpoint": f"{issuer}{VERIFY}",
        "authorization_schemes": [{"spec_urn": _BASIC}],
        "default_subjects": "ALL",
    }


def configuration_endpoint(issuer: str) -> Callable[[Request], Response]:
    """Make the endpoint; the document never changes while a process runs."""
    headers = (("Cache-Control", f"public, max-age={MAX_AGE}"), ("Access-Control-Allow-Origin", "*"))
    response = Response(200, dump(document(issuer)), headers=headers, log_fields={"outcome": "configuration"})
    return lambda _request: response
