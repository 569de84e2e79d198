"""POST usage: a resource server reports, in JSON, the tokens it judged without asking.

An extension of ours. The request has exactly the members ``report_id`` (a UUID, the same when the report is sent
again) and ``uses``, an array of objects with exactly ``jti``, ``at`` (whole seconds UTC), ``count``, ``method`` and
``route``. The answer has ``accepted``, how many uses counted, and ``dead``: the reported tokens that are dead by now,
each with ``jti`` and ``ended_at``. A report is read only when it is known who sends it, and may be longer than other
requests. How many are taken of one resource server is limited. An id that comes again with other uses is refused with
422, as an Idempotency-Key is that comes with another request. Tokens of other audiences and
unknown ones are passed over in silence.
"""

import math
import threading
import time
from collections.abc import Callable

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

MOST_BYTES = 4 * 1024 * 1024
"""Room for 10,000 uses of 400 bytes."""

PER_MINUTE = 6000
"""What a resource server may report in a minute to one process: a report counts 1, and 1 more for each 100 uses."""

_USES_OF_ONE = 100
_REMEMBERED = 1000


class UsageEndpoint:
    """Takes usage reports; the caller authenticates by HTTP Basic, as at introspection."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        sessions: Sessions,
        usage: UsageRecorder,
        reports: UsageReports,
        pepper: bytes,
        per_minute: int = PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hot_path, self._sessions, self._usage = hot_path, sessions, usage
        self._reports, self._pepper, self._clock = reports, pepper, clock
        self._budgets, self._lock = Buckets(per_minute, _REMEMBERED), threading.Lock()

    def __call__(self, request: Request) -> Response:
        """POST usage."""
        caller = presented_resource_server(request, {}, self._pepper)
        if isinstance(caller, Response):
            return caller
        try:
            reporter(caller, hot_path=self._hot_path)
            wait = self._spent(caller.client_id)
            if wait:
                return _too_many(wait, caller.client_id)
            report = _report(request)
            self._spend(caller.client_id, len(report.uses))
            outcome = report_usage(
                caller,
                report.report_id,
                report.uses,
                report.digest,
                hot_path=self._hot_path,
                reports=self._reports,
                usage=self._usage,
                sessions=self._sessions,
            )
        except InvalidClient as error:
            return invalid_client(error.reason, caller.client_id, RESOURCE_SERVER)
        except Conflict as error:
            return error_response("report_id_reused", str(error), 422, log_fields={"client": caller.client_id})
        except Invalid as error:
            return error_response("invalid_request", str(error), log_fields={"client": caller.client_id})
        dead = [{"jti": jti, "ended_at": ended_at} for jti, ended_at in outcome.dead]
        log_fields = {"outcome": "reported", "client": caller.client_id}
        return Response(200, dump({"accepted": outcome.accepted, "dead": dead}), log_fields=log_fields)

    def _spent(self, client_id: str) -> float:
        """Count a report; the seconds to wait when there were too many."""
        with self._lock:
            return self._budgets.take(subject_key(client_id), self._clock())

    def _spend(self, client_id: str, uses: int) -> None:
        with self._lock:
            self._budgets.add(subject_key(client_id), self._clock(), uses // _USES_OF_ONE)


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
