"""Security: the credentials of all users, metadata only, with filters and an export."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Final

from flask import Response, url_for
from flask.typing import ResponseReturnValue

from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials.listing import STATES
from authserver.console.frame import query_args
from authserver.console.frame.access import may, requires
from authserver.console.frame.dates import iso
from authserver.console.frame.layout import page
from authserver.ports.console_reads.credentials import CredentialOrder, CredentialQuery, CredentialRow
from authserver.rules import permission
from authserver.rules.credential_status import UNUSED_FOR, Status
from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY
from authserver.rules.names import USERNAME

ORDERS: Final[dict[str, CredentialOrder]] = {
    "name": "name",
    "owner": "owner",
    "created": "created_at",
    "expires": "expires_at",
    "used": "last_used_at",
}
OLD_DAYS: Final = 180
UNUSED_DAYS: Final = UNUSED_FOR // DAY
_PLACEHOLDER: Final = "somebody"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_COLUMNS: Final = (
    "client_id",
    "name",
    "owner",
    "owner_disabled",
    "status",
    "roles",
    "roles_lost",
    "created_at",
    "expires_at",
    "last_used_at",
    "secrets_live",
)


@console.get("/security/credentials")
@requires(permission.SECURITY)
def inventory() -> ResponseReturnValue:
    """List the credentials that a query finds."""
    context, query = console_context(), _query()
    found = context.store.credential_reads.page(query, context.now, days=False)
    return page(
        "inventory/list.html",
        found=found,
        query=query,
        sort=query_args.one_of("sort", _SORTS, "-created"),
        url_with=query_args.url_with,
        statuses=STATES,
        csv_href=query_args.path_with_query(url_for("console.inventory_csv"), page=None),
        json_href=query_args.path_with_query(url_for("console.inventory_json"), page=None),
        old_days=OLD_DAYS,
        unused_days=UNUSED_DAYS,
        user_url=_user_url_builder(),
        choosing=may(permission.USERS) and any(row.disabled_at is None for row in found.rows),
    )


def _user_url_builder() -> Callable[[str], str]:
    """Tells the address of a user's page; what is before the name is built once, because a list has fifty."""
    prefix = url_for("console.user", username=_PLACEHOLDER).removesuffix(_PLACEHOLDER)

    def user_url(name: str) -> str:
        # Such a name stands in an address as it is.
        return prefix + name if USERNAME.fullmatch(name) else url_for("console.user", username=name)

    return user_url


@console.get("/security/credentials.csv")
@requires(permission.SECURITY)
def inventory_csv() -> ResponseReturnValue:
    """Hand out what a query finds as CSV (RFC 4180) that no spreadsheet takes for a formula."""
    context, query = console_context(), _query()
    return _download(_csv(context.store.credential_reads.export(query, context.now)), "text/csv; charset=utf-8", "csv")


@console.get("/security/credentials.json")
@requires(permission.SECURITY)
def inventory_json() -> ResponseReturnValue:
    """Hand out what a query finds as one JSON array."""
    context, query = console_context(), _query()
    return _download(_json(context.store.credential_reads.export(query, context.now)), "application/json", "json")


_SORTS: Final = frozenset({*ORDERS, *(f"-{name}" for name in ORDERS)})


def _query() -> CredentialQuery:
    sort = query_args.one_of("sort", _SORTS, "-created")
    status = query_args.one_of("status", {each.value for each in Status})
    return CredentialQuery(
        search=query_args.text("q"),
        status=Status(status) if status else None,
        never_used=query_args.text("never") == "on",
        older_than_days=OLD_DAYS if query_args.text("old") == "on" else None,
        unused_days=UNUSED_DAYS if query_args.text("unused") == "on" else None,
        owner_disabled=query_args.text("left") == "on",
        order=ORDERS[sort.removeprefix("-")],
        descending=sort.startswith("-"),
        page=query_args.number("page"),
    )


def _download(parts: Iterator[str], content_type: str, extension: str) -> Response:
    response = Response(parts, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="credentials.{extension}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _values(row: CredentialRow) -> dict[str, object]:
    return {
        "client_id": row.client_id,
        "name": row.name,
        "owner": row.owner,
        "owner_disabled": row.owner_disabled,
        "status": [status.value for status in row.statuses],
        "roles": list(row.chosen),
        "roles_lost": list(row.lost),
        "created_at": _iso_or_none(row.created_at),
        "expires_at": _iso_or_none(row.expires_at),
        "last_used_at": _iso_or_none(row.last_used_at),
        "secrets_live": len(row.secrets),
    }


def _csv(rows: Iterator[CredentialRow]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for row in rows:
        values = _values(row)
        writer.writerow([_cell(values[name]) for name in _COLUMNS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: object) -> str:
    """A cell that a spreadsheet shows and never computes."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(rows: Iterator[CredentialRow]) -> Iterator[str]:
    prefix = "[\n"
    for row in rows:
        yield prefix + json.dumps(_values(row), ensure_ascii=False)
        prefix = ",\n"
    yield "[]\n" if prefix == "[\n" else "\n]\n"


def _iso_or_none(at: Instant | None) -> str | None:
    return None if at is None else iso(at)
