"""GET changes: a signed document of what ended, whole or since a cursor, for offline verifiers (docs/adr/0013).

``?after=CURSOR`` asks for what was added since; without it the answer is the whole state. A poll with the ``ETag`` of
the document at hand costs one statement and is answered 304 while nothing has changed. With ``wait=SECONDS`` the
answer comes when something has ended, or after so long, ``MAX_LONG_POLL_SECONDS`` at most. A waiting request holds a
thread, so some may wait at a time; the others are answered at once, and ask again.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from authserver.actions.change_feed import CursorTooOld, Feed, change_feed
from authserver.actions.preconditions.calling_resource_server import ProvenCaller, proven
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    invalid_client,
    presented_resource_server,
)
from authserver.oauth.http import BadRequest, Request, Response, error_response
from authserver.ports.changes import ChangeReads, FeedFetches
from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import HotPathReads
from authserver.rules.presented_secret import PresentedSecret

Sign = Callable[[dict[str, Any], str, str], str]
"""Claims, algorithm, ``typ`` -> the text of a JWT."""

TYP = "changes+jwt"
MAX_LONG_POLL_SECONDS = 5
"""Seconds; shorter than a process that is told to stop leaves the requests under way."""

POLL_SECONDS = 0.2
"""How often a waiting request looks whether something has ended: one prepared statement."""

_PARAMETERS = {"after", "wait"}
_SECONDS = re.compile("[0-9]{1,6}")
_CACHE = (("Cache-Control", "private, no-cache"), ("Vary", "Authorization"))


class ChangesEndpoint:
    """Serves the change feed; the caller authenticates in the ``Authorization`` header, by secret or by assertion."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        assertions: AssertionContext,
        changes: ChangeReads,
        fetches: FeedFetches,
        sign: Sign,
        issuer: str,
        pepper: bytes,
        seats: threading.BoundedSemaphore | None = None,
    ) -> None:
        """A request that waits takes one of the ``seats``, which all long polls of this process share."""
        self._changes, self._fetches, self._sign = changes, fetches, sign
        self._hot_path, self._assertions, self._issuer, self._pepper = hot_path, assertions, issuer, pepper
        self._seats = seats

    def __call__(self, request: Request) -> Response:
        """GET changes."""
        after, wait = _query(request.query)
        caller = presented_resource_server(request, self._pepper)
        if isinstance(caller, Response):
            return caller
        try:
            who = proven(caller, hot_path=self._hot_path, assertions=self._assertions)
            tag = request.headers.get("if-none-match", "")
            feed = self._feed(who, after, tag)
            if wait and after and feed.unchanged:
                feed = self._wait_for_change(who, after, tag, feed, wait)
        except InvalidClient as error:
            return invalid_client(error.reason, caller.client_id, RESOURCE_SERVER)
        except CursorTooOld:
            fields = {"outcome": "cursor_too_old", "client": caller.client_id}
            return error_response("cursor_too_old", "Ask for the whole state, without after.", 410, log_fields=fields)
        self._fetches.fetched(feed.server_id, feed.as_of, feed.last)
        headers = (*_CACHE, ("ETag", feed.tag))
        log_fields = {"outcome": "unchanged" if feed.claims is None else "changes", "client": caller.client_id}
        if feed.claims is None:
            return Response(304, headers=headers, log_fields=log_fields)
        text = self._sign(feed.claims, feed.alg, TYP)
        return Response(200, text.encode(), "application/jwt", headers, log_fields)

    def _feed(self, caller: PresentedSecret | ProvenCaller, after: str, tag: str) -> Feed:
        return change_feed(caller, after, tag, changes=self._changes, issuer=self._issuer)

    def _wait_for_change(
        self, caller: PresentedSecret | ProvenCaller, after: str, tag: str, feed: Feed, wait: int
    ) -> Feed:
        """What ended meanwhile, as soon as it did; who may call is judged each time."""
        if self._seats is None or not self._seats.acquire(blocking=False):
            return feed
        try:
            until = time.monotonic() + wait
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(POLL_SECONDS, left))
                later = self._feed(caller, after, feed.tag)
                if not later.unchanged:
                    return later
        finally:
            self._seats.release()
        return self._feed(caller, after, tag)


def _query(text: str) -> tuple[str, int]:
    """The cursor, and how long to wait; each parameter once, and none that is unknown.

    Raises:
        BadRequest: it is not so.
    """
    pairs = parse_qsl(text, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names) or not _PARAMETERS.issuperset(names):
        msg = "Send after and wait at most, each once."
        raise BadRequest(msg)
    query = dict(pairs)
    wait = query.get("wait", "0")
    if not _SECONDS.fullmatch(wait):
        msg = f"wait is a whole number of seconds; {MAX_LONG_POLL_SECONDS} is the longest that is waited."
        raise BadRequest(msg)
    return query.get("after", ""), min(int(wait), MAX_LONG_POLL_SECONDS)
