"""GET authorize: says that no grant of this server uses it.

Some clients refuse metadata without ``authorization_endpoint`` (RFC 8414 §2 makes it optional here). The endpoint never
redirects: there are no registered redirect URIs, so a redirect would be an open one (RFC 6749 §3.1.2.4).
"""

import re

from authserver.oauth.http import NO_STORE, Request, Response, error_response

PATH = "/oauth/authorize"
SENTENCE = "No grant of this server uses the authorization endpoint; get tokens with client_credentials."
_HTML = re.compile(r"(?:^|[,\s])(?:text/html|application/xhtml\+xml)\s*(?:;|,|$)", re.IGNORECASE)
_PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Nothing to authorize</title></head>
<body><main><h1>Nothing to authorize</h1><p>{SENTENCE}</p><p><a href="{{console}}">Console</a></p></main></body>
</html>
"""


class AuthorizationEndpoint:
    """Answers 400 ``unsupported_response_type`` (RFC 6749 §4.1.2.1): a page for browsers, JSON for programs."""

    def __init__(self, issuer: str) -> None:
        self._page = _PAGE.format(console=f"{issuer}/console/").encode()

    def __call__(self, request: Request) -> Response:
        """Whatever is asked, the answer is the same."""
        if not _HTML.search(request.headers.get("accept", "")):
            return error_response("unsupported_response_type", SENTENCE)
        policy = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
        log_fields = {"outcome": "unsupported_response_type", "reason": "unsupported_response_type"}
        return Response(400, self._page, "text/html; charset=utf-8", (*NO_STORE, policy), log_fields)


__all__ = ["PATH", "AuthorizationEndpoint"]
