"""POST usage: a resource server reports, in JSON, the tokens it judged without asking.

An extension of ours. The request has exactly the members ``report_id`` (a UUID, the same when the report is sent
again) and ``uses``, an array of objects with exactly ``jti``, ``at`` (whole seconds UTC), ``count``, ``method`` and
``route``. The answer has ``accepted``, how many uses counted, and ``dead``: the reported tokens that are dead by now,
each with ``jti`` and ``ended_at``. Tokens of other audiences and unknown ones are passed over in silence.
"""

import re
from typing import Any

from authserver.actions.report_usage import report_usage
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    NoCredentials,
    invalid_client,
    presented_credentials,
    unauthenticated,
)
from authserver.oauth.http import BadRequest, Request, Response, dump, error_response
from authserver.oauth.introspection_endpoint import http_method, http_route
from authserver.ports.errors import Invalid, InvalidClient
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import Sessions
from authserver.ports.usage import ReportedUse, UsageRecorder, UsageReports
from authserver.rules.claims import is_id
from authserver.rules.presented_secret import MalformedSecret, presented_secret
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX
from keys import strict_json

MOST_USES = 10_000
_MOST_TIMES = 1_000_000_000
_LAST_INSTANT = 2**40
_MEMBERS = {"jti", "at", "count", "method", "route"}
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


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
    ) -> None:
        self._hot_path, self._sessions, self._usage = hot_path, sessions, usage
        self._reports, self._pepper = reports, pepper

    def __call__(self, request: Request) -> Response:
        """POST usage."""
        try:
            who = presented_credentials(request, {})
            caller = presented_secret(who.client_id, who.secret, prefix=RESOURCE_SERVER_PREFIX, pepper=self._pepper)
            report_id, uses = _report(request)
            outcome = report_usage(
                caller,
                report_id,
                uses,
                hot_path=self._hot_path,
                reports=self._reports,
                usage=self._usage,
                sessions=self._sessions,
            )
        except NoCredentials as error:
            return unauthenticated(error)
        except (InvalidClient, MalformedSecret) as error:
            return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
        except Invalid as error:
            return error_response("invalid_request", str(error), log_fields={"client": who.client_id})
        dead = [{"jti": jti, "ended_at": ended_at} for jti, ended_at in outcome.dead]
        log_fields = {"outcome": "reported", "client": who.client_id}
        return Response(200, dump({"accepted": outcome.accepted, "dead": dead}), log_fields=log_fields)


def _report(request: Request) -> tuple[str, list[ReportedUse]]:
    """Read the body.

    Raises:
        BadRequest: it is no report.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        msg = "Send the report as application/json."
        raise BadRequest(msg, 415)
    try:
        report = strict_json.loads(request.body)
    except (ValueError, RecursionError) as error:
        msg = "The report is no JSON in UTF-8, or an object has a member twice."
        raise BadRequest(msg) from error
    if not isinstance(report, dict) or report.keys() != {"report_id", "uses"}:
        msg = "A report is an object with report_id and uses."
        raise BadRequest(msg)
    report_id, uses = report["report_id"], report["uses"]
    if not isinstance(report_id, str) or not _UUID.fullmatch(report_id):
        msg = "report_id is a UUID in lower case."
        raise BadRequest(msg)
    if not isinstance(uses, list) or len(uses) > MOST_USES:
        msg = f"uses is an array of at most {MOST_USES} objects."
        raise BadRequest(msg)
    return report_id, [_use(each) for each in uses]


def _use(told: Any) -> ReportedUse:
    if isinstance(told, dict) and told.keys() == _MEMBERS:
        jti, at, times, method, route = (told[name] for name in ("jti", "at", "count", "method", "route"))
        texts = isinstance(method, str) and isinstance(route, str)
        if is_id(jti) and texts and _whole(at, 0, _LAST_INSTANT) and _whole(times, 1, _MOST_TIMES):
            return ReportedUse(jti, at, times, http_method(method), http_route(route))
    msg = "A use is an object with jti, at (whole seconds UTC), count (1 or more), method and route."
    raise BadRequest(msg)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
