"""GET changes: a signed document of what ended, whole or since a cursor, for offline verifiers (docs/adr/0013).

``?after=CURSOR`` asks for what was added since; without it the answer is the whole state. A poll with the ``ETag`` of
the document at hand costs one statement and is answered 304 while nothing has changed. ``wait`` is accepted for
clients that offer to wait, and is answered at once: a waiting request would hold one of the few threads.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from authserver.actions.change_feed import CursorTooOld, change_feed
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    NoCredentials,
    invalid_client,
    presented_credentials,
    unauthenticated,
)
from authserver.oauth.http import BadRequest, Request, Response, error_response
from authserver.ports.changes import ChangeReads
from authserver.ports.errors import InvalidClient
from authserver.rules.presented_secret import MalformedSecret, presented_secret
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX

Sign = Callable[[dict[str, Any], str, str], str]
"""Claims, algorithm, ``typ`` -> the text of a JWT."""

TYP = "changes+jwt"
_PARAMETERS = {"after", "wait"}
_CACHE = (("Cache-Control", "private, no-cache"), ("Vary", "Authorization"))


class ChangesEndpoint:
    """Serves the change feed; the caller authenticates by HTTP Basic, as at introspection."""

    def __init__(self, *, changes: ChangeReads, sign: Sign, issuer: str, pepper: bytes) -> None:
        self._changes, self._sign, self._issuer, self._pepper = changes, sign, issuer, pepper

    def __call__(self, request: Request) -> Response:
        """GET changes."""
        query = _query(request.query)
        try:
            who = presented_credentials(request, {})
            caller = presented_secret(who.client_id, who.secret, prefix=RESOURCE_SERVER_PREFIX, pepper=self._pepper)
            tag = request.headers.get("if-none-match", "")
            feed = change_feed(caller, query.get("after", ""), tag, changes=self._changes, issuer=self._issuer)
        except NoCredentials as error:
            return unauthenticated(error)
        except (InvalidClient, MalformedSecret) as error:
            return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
        except CursorTooOld:
            fields = {"outcome": "cursor_too_old", "client": who.client_id}
            return error_response("cursor_too_old", "Ask for the whole state, without after.", 410, log_fields=fields)
        headers = (*_CACHE, ("ETag", feed.tag))
        log_fields = {"outcome": "unchanged" if feed.claims is None else "changes", "client": who.client_id}
        if feed.claims is None:
            return Response(304, headers=headers, log_fields=log_fields)
        text = self._sign(feed.claims, feed.alg, TYP)
        return Response(200, text.encode(), "application/jwt", headers, log_fields)


def _query(text: str) -> dict[str, str]:
    """Read the query; each parameter once, and none that is unknown."""
    pairs = parse_qsl(text, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names) or not _PARAMETERS.issuperset(names):
        msg = "Send after and wait at most, each once."
        raise BadRequest(msg)
    return dict(pairs)
