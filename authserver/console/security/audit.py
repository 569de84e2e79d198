"""Security: the audit trail with its filters, the state of its chain, and an export."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from flask import Response, redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.audit import Record
from authserver.audit_export.checkpoints import LATE_AFTER
from authserver.console.blueprint import console
from authserver.console.context import ConsoleContext, console_context
from authserver.console.frame import query_args
from authserver.console.frame.access import requires
from authserver.console.frame.dates import iso
from authserver.console.frame.flash import flash
from authserver.console.frame.layout import page
from authserver.console.frame.request_origin import origin
from authserver.console.i18n.messages import _, ngettext
from authserver.ports.console_reads.audit import AuditPlace, AuditQuery
from authserver.rules import permission
from authserver.rules.names import CLIENT_ID

_CHECKPOINTS = 5


@console.get("/security/audit")
@requires(permission.SECURITY)
def audit() -> ResponseReturnValue:
    """Show records, newest first, whether the chain holds, and the newest checkpoints."""
    context, query = console_context(), _query()
    reads, checkpoints = context.store.audit_reads, context.store.checkpoints.last(_CHECKPOINTS)
    return page(
        "audit/list.html",
        found=reads.audit_page(query, after=_position()),
        events=reads.audit_events(),
        chain=reads.chain_status(),
        watched=context.store.outbox.state().chain,
        checkpoints=checkpoints,
        late=bool(checkpoints) and context.now - checkpoints[0].at > LATE_AFTER,
        query=query,
        url_with=query_args.url_with,
        export_href=query_args.path_with_query(url_for("console.audit_export"), after=None),
        details=_details,
        origin=origin,
        target_title=_target_title,
        filtered=query != AuditQuery(),
    )


@console.post("/security/audit/verify")
@requires(permission.SECURITY)
def verify_audit() -> ResponseReturnValue:
    """Walk the whole chain."""
    verdict = console_context().accounts.audit_verify()
    if verdict.fault:
        flash(_("Record %(number)s: %(fault)s.", number=verdict.first_bad, fault=_(verdict.fault)), kind="alert")
    else:
        text = ngettext("All of %(num)d record holds.", "All %(num)d records hold.", verdict.records)
        flash(text % {"num": verdict.records})
    return redirect(url_for("console.audit"), 303)


@console.get("/security/audit.jsonl")
@requires(permission.SECURITY)
def audit_export() -> ResponseReturnValue:
    """Hand out what a query finds, oldest first, a JSON object a line; with the hashes, so it can be checked."""
    response = Response(_json_lines(console_context(), _query()), content_type="application/jsonl; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _query() -> AuditQuery:
    event, target = query_args.text("event"), query_args.text("target")
    whole = CLIENT_ID.fullmatch(target) is not None  # has an index to go by; a part of a target has none
    return AuditQuery(
        actor=query_args.text("actor"),
        events=(event,) if event else (),
        target=target if whole else "",
        text="" if whole else target,
        since=query_args.day("since"),
        until=query_args.day("until", behind=True),
    )


def _position() -> AuditPlace | None:
    at, _dot, seq = query_args.text("after").partition(".")
    if not (at.isascii() and at.isdigit() and seq.isascii() and seq.isdigit()):
        return None
    return AuditPlace(min(int(at), 2**53), min(int(seq), 2**53))


def _json_lines(context: ConsoleContext, query: AuditQuery) -> Iterator[str]:
    # The whole trail is exported with its chain, so that it can be verified; a part cannot be.
    unfiltered = replace(query, text="") == AuditQuery()
    part = query.text.casefold()
    for record in context.accounts.audit_records() if unfiltered else context.store.audit_reads.audit_export(query):
        if part in record.target.casefold():
            yield json.dumps(_json_record(record), ensure_ascii=False) + "\n"


def _json_record(record: Record) -> dict[str, Any]:
    return {**asdict(record), "at": iso(record.at), "detail": json.loads(record.detail)}


def _details(record: Record) -> list[tuple[str, str]]:
    """The details of a record as pairs, even if the row was altered."""
    try:
        found = json.loads(record.detail)
    except (TypeError, ValueError):
        return [("", str(record.detail))]
    if not isinstance(found, dict):
        return [("", str(record.detail))]
    return [(name, _plain(value)) for name, value in found.items()]


def _target_title(record: Record) -> str:
    """What people call the target of a record whose target is an id."""
    details = dict(_details(record))
    title = details.get("username") or details.get("name", "")
    return "" if title == record.target else title


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
