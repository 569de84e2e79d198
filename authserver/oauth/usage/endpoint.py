"""POST usage: a resource server reports, in JSON, the uses of tokens that it judged without an introspection.

An extension of ours. The request has exactly the members ``report_id`` (a UUID, the same when the report is sent
again) and ``uses``, an array of objects with exactly ``jti``, ``at`` (whole seconds UTC), ``count``, ``method`` and
``route``. The answer has ``accepted``, how many uses counted, and ``dead``: the reported tokens that are dead by now,
each with ``jti`` and ``ended_at``. The caller is authenticated before the body is read, which may be longer than that
of other requests. Reports of one resource server are rate limited. An id that is sent again with other uses is
refused with 422, like an Idempotency-Key that is sent with another request. Unknown tokens and tokens of other
audiences are ignored.
"""

import math
import threading
import time
from collections.abc import Callable

from authserver.actions.preconditions.calling_resource_server import proven
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.actions.report_usage import report_usage, reporter
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    invalid_client,
    presented_resource_server,
)
from authserver.oauth.http import BadRequest, Request, Response, dump, error_response
from authserver.oauth.throttle import Buckets, subject_key
from authserver.oauth.usage.report import Report, read_report
from authserver.ports.errors import Conflict, Invalid, InvalidClient
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder, UsageReports

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of a body; room for 10,000 uses of 400 bytes."""

PER_MINUTE = 6000
"""Rate limit of one resource server at one process: a report costs 1, and 1 more for each 100 uses."""

_USES_PER_UNIT = 100
_MAX_CALLERS = 1000


class UsageEndpoint:
    """Takes usage reports; the caller authenticates in the ``Authorization`` header, by secret or by assertion."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        sessions: Sessions,
        usage: UsageRecorder,
        reports: UsageReports,
        assertions: AssertionContext,
        pepper: bytes,
        per_minute: int = PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hot_path, self._sessions, self._usage = hot_path, sessions, usage
        self._reports, self._pepper, self._clock, self._assertions = reports, pepper, clock, assertions
        self._buckets, self._lock = Buckets(per_minute, _MAX_CALLERS), threading.Lock()

    def __call__(self, request: Request) -> Response:
        """POST usage."""
        presented = presented_resource_server(request, self._pepper)
        if isinstance(presented, Response):
            return presented
        client_id = presented.client_id
        try:
            who = proven(presented, hot_path=self._hot_path, assertions=self._assertions)
            caller = reporter(who, hot_path=self._hot_path)
            wait = self._take_one(client_id)
            if wait:
                return _too_many(wait, client_id)
            report = _report(request)
            self._add_uses(client_id, len(report.uses))
            outcome = report_usage(
                caller,
                report.report_id,
                report.uses,
                report.digest,
                reports=self._reports,
                usage=self._usage,
                sessions=self._sessions,
            )
        except InvalidClient as error:
            return invalid_client(error.reason, client_id, RESOURCE_SERVER)
        except Conflict as error:
            return error_response("report_id_reused", str(error), 422, log_fields={"client": client_id})
        except Invalid as error:
            return error_response("invalid_request", str(error), log_fields={"client": client_id})
        dead = [{"jti": jti, "ended_at": ended_at} for jti, ended_at in outcome.dead]
        log_fields = {"outcome": "reported", "client": client_id}
        return Response(200, dump({"accepted": outcome.accepted, "dead": dead}), log_fields=log_fields)

    def _take_one(self, client_id: str) -> float:
        """Count a report; the seconds to wait when the limit is passed, else 0."""
        with self._lock:
            return self._buckets.take(subject_key(client_id), self._clock())

    def _add_uses(self, client_id: str, uses: int) -> None:
        with self._lock:
            self._buckets.add(subject_key(client_id), self._clock(), uses // _USES_PER_UNIT)


def _report(request: Request) -> Report:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        msg = "Send the report as application/json."
        raise BadRequest(msg, 415)
    if request.stream is None:
        msg = "The report is missing."
        raise BadRequest(msg)
    return read_report(request.stream)


def _too_many(wait: float, client_id: str) -> Response:
    """429 (RFC 6585 §4)."""
    log_fields = {"outcome": "throttled", "reason": "usage_reports", "client": client_id}
    text = "Too many usage reports. Send what has gathered as one report later; 10,000 uses fit in one."
    headers = (("Retry-After", str(math.ceil(wait))),)
    return error_response("temporarily_unavailable", text, 429, headers, log_fields)
