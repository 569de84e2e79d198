"""Application credentials: a user sees their own only (INV-09)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_, _, gettext
from authserver.ports.console_reads.credentials import (
    CredentialOrder,
    CredentialQuery,
    CredentialRow,
    DayCount,
    Expiring,
)
from authserver.rules.credential_status import UNUSED_FOR, Status
from authserver.rules.lifetime import DAY

ROWS: Final = 25
_MIN_SCALE: Final = 5
_MAX_EXPIRING: Final = 5
_PLACEHOLDER_ID: Final = "00000000-0000-4000-8000-000000000000"
_PAGE_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}")

STATES: Final = {
    Status.ACTIVE: ("good", N_("Active")),
    Status.EXPIRING: ("soon", N_("Expiring")),
    Status.EXPIRED: ("bad", N_("Expired")),
    Status.DISABLED: ("off", N_("Disabled")),
    Status.ROTATING: ("busy", N_("Rotating")),
    Status.REDUCED: ("less", N_("Reduced")),
}
"""How each status looks, and what it is called; in the order of the filter."""

_ORDERS: Final[dict[str, CredentialOrder]] = {
    "name": "name",
    "expires": "expires_at",
    "used": "last_used_at",
    "created": "created_at",
}


@dataclass(frozen=True, slots=True)
class ListArgs:
    """What the list shows, as its address says it; what cannot be is left out, never refused."""

    search: str = ""
    status: str = ""
    sort: str = "-created"
    number: int = 1

    @classmethod
    def from_request(cls) -> "ListArgs":
        """As this request says."""
        args = request.args
        status, sort, number = args.get("status", ""), args.get("sort", ""), args.get("page", "")
        return cls(
            search=args.get("q", "").strip()[:100],
            status=status if status in set(Status) else "",
            sort=sort if sort.removeprefix("-") in _ORDERS else "-created",
            number=int(number) if _PAGE_NUMBER.fullmatch(number) else 1,
        )

    @property
    def query(self) -> CredentialQuery:
        """The same for the store."""
        return CredentialQuery(
            search=self.search,
            status=Status(self.status) if self.status else None,
            order=_ORDERS[self.sort.removeprefix("-")],
            descending=self.sort.startswith("-"),
            page=self.number,
            size=ROWS,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether some credentials may be left out."""
        return bool(self.search or self.status)

    def href(self, **other: Any) -> str:
        """The URL of the list with other arguments; its first page unless they name one."""
        at = replace(self, **{"number": 1, **other})
        args: dict[str, Any] = {
            "q": at.search,
            "status": at.status,
            "sort": "" if at.sort == "-created" else at.sort,
            "page": at.number if at.number > 1 else "",
        }
        return url_for("console.credentials", **{key: value for key, value in args.items() if value})

    def sorted_by(self, key: str) -> str:
        """The URL of a column's head: sorts by it, in the other direction if it sorts already."""
        return self.href(sort=f"-{key}" if self.sort == key else key)


def badges(row: CredentialRow) -> list[tuple[str, str]]:
    """Look and text of all statuses that hold, the most urgent first."""
    shown = []
    for status in row.statuses:
        style, text = STATES[status]
        label = gettext(text)
        if status is Status.ROTATING and row.rotation_ends_at is not None:
            hours = -(-(row.rotation_ends_at - console_context().now) // 3600)
            label = _("Rotating (%(hours)s h left)", hours=hours)
        shown.append((style, label))
    return shown


def unused(row: CredentialRow) -> int | None:
    """For how many days it was not used, where that is long enough to be shown; counted from its creation if never."""
    idle = console_context().now - (row.last_used_at or row.created_at)
    return idle // DAY if idle >= UNUSED_FOR else None


def old_secret(row: CredentialRow, notice_days: int) -> int | None:
    """How many days old its oldest live secret is, where the setting ``secret_notice_days`` says to tell."""
    oldest = min((each.created_at for each in row.secrets), default=None)
    if not notice_days or oldest is None or row.disabled_at is not None:
        return None
    age = (console_context().now - oldest) // DAY
    return age if age >= notice_days else None


def bars(days: Sequence[DayCount], height: int) -> list[dict[str, Any]]:
    """Granted and refused requests of each day as parts of ``height``; a number above 0 is at least 2 high.

    Few requests look few: the full height stands for ``_MIN_SCALE`` requests or more.
    """
    scale = max(_MIN_SCALE, *(each.granted + each.refused for each in days))

    def scaled(count: int) -> int:
        return max(2, round(count * height / scale)) if count else 0

    return [{"of": each, "granted": scaled(each.granted), "refused": scaled(each.refused)} for each in days]


def spark(days: Sequence[DayCount]) -> Markup:
    """30 days of token requests as a small picture; made here, because a list has a thousand bars."""
    granted, refused = sum(each.granted for each in days), sum(each.refused for each in days)
    if not granted and not refused:
        return Markup('<span class="muted">{}</span>').format(_("No requests"))
    label = _("Token requests in 30 days: %(granted)s granted, %(refused)s refused", granted=granted, refused=refused)
    shape = 'viewBox="0 0 150 32" width="120" height="32" preserveAspectRatio="none"'
    parts = [f'<svg class="spark" {shape} role="img" aria-label="{escape(label)}">']
    for number, each in enumerate(bars(days, 28)):
        x, granted_height, refused_height = 5 * number, each["granted"], each["refused"]
        if not granted_height and not refused_height:
            parts.append(f'<rect class="none" x="{x}" y="31" width="4" height="1"/>')
        if granted_height:
            parts.append(_rect("granted", x, 32 - granted_height, granted_height))
        if refused_height:
            parts.append(_rect("refused", x, 32 - granted_height - refused_height, refused_height))
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - of numbers, and a label that was escaped


def _rect(kind: str, x: int, y: int, height: int) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="4" height="{height}" rx="1"/>'


def url_builder() -> Callable[[str, CredentialRow | Expiring], str]:
    """Makes a function for the URL of a page about a row; each pattern is built once, since a list has hundreds."""
    built: dict[str, str] = {}

    def row_url(name: str, row: CredentialRow | Expiring) -> str:
        if name not in built:
            built[name] = url_for(f"console.{name}", client_id=_PLACEHOLDER_ID)
        return built[name].replace(_PLACEHOLDER_ID, row.client_id)

    return row_url


@console.get("")
@console.get("/")
def front() -> ResponseReturnValue:
    """Lead to the credentials."""
    return redirect(url_for("console.credentials"), 303)


@console.get("/credentials")
def credentials() -> ResponseReturnValue:
    """List the credentials of the signed-in user."""
    context, list_args = console_context(), ListArgs.from_request()
    reads, me = context.store.credential_reads, context.signed_in.user.id
    found = reads.page(list_args.query, context.now, owner_id=me)
    plain = not list_args.is_filtered and list_args.number == 1
    expiring = context.store.expiring_reads.soon(me, context.now) if plain and found.total else ()
    return page(
        "credentials/list.html",
        notice_days=context.accounts.general().secret_notice_days,
        old_secret=old_secret,
        expiring=expiring[:_MAX_EXPIRING],
        not_listed=len(expiring) - _MAX_EXPIRING,
        list_args=list_args,
        found=found,
        counts=reads.counts(context.now, owner_id=me),
        filters=[(status, gettext(text)) for status, (_look, text) in STATES.items()],
        badges=badges,
        spark=spark,
        unused=unused,
        row_url=url_builder(),
    )
