"""When a credential shall end: chosen in days or as a date, and always the end of that day where its owner is."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from authserver.console.context import console_context
from authserver.console.frame import dates
from authserver.console.frame.forms import Form
from authserver.console.i18n.messages import _
from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY

PRESETS: Final = (7, 30, 60, 90, 180, 365)
USUAL: Final = 90
LONG: Final = 180
"""More days than this are worth a remark."""

ON_A_DATE: Final = "date"


def longest() -> int:
    """How many days a credential may live."""
    return console_context().accounts.general().max_credential_days


def presets() -> list[int]:
    """The presets that the settings allow."""
    allowed = longest()
    return [days for days in PRESETS if days <= allowed]


def usual() -> str:
    """What is chosen at first."""
    offered = presets()
    return str(USUAL if USUAL in offered else offered[-1]) if offered else ON_A_DATE


def zone_of(form: Form) -> ZoneInfo:
    """The zone a day ends in: as the user chose, else as the browser says, else UTC."""
    chosen = dates.zone()
    if chosen is not None:
        return chosen
    said = form["zone"]
    return ZoneInfo(said) if said in dates.known_zones() else ZoneInfo("UTC")


def first_day(where: ZoneInfo) -> date:
    """Today in a zone."""
    return datetime.fromtimestamp(console_context().now, UTC).astimezone(where).date()


def last_day(where: ZoneInfo) -> date:
    """The last day that may be chosen."""
    return datetime.fromtimestamp(console_context().now + longest() * DAY, UTC).astimezone(where).date()


def chosen(form: Form) -> Instant | None:
    """The instant a form asks for, or None with a fault beside the field.

    Fields: ``expires`` holds days or ``date``, ``date`` a day as ISO 8601, ``zone`` what the browser calls its zone.
    The longest life counts from now, so the last day there is may end before midnight.
    """
    where = zone_of(form)
    asked, day = form["expires"], None
    if asked in {str(days) for days in presets()}:
        day = first_day(where) + timedelta(days=int(asked))
    elif asked == ON_A_DATE:
        day = _date(form)
    else:
        form.fault("expires", _("Choose when it expires."))
    if day is None:
        return None
    if not first_day(where) <= day <= last_day(where):
        form.fault(
            "date" if asked == ON_A_DATE else "expires",
            _(
                "Choose a day from %(first)s to %(last)s.",
                first=dates.date_said(first_day(where)),
                last=dates.date_said(last_day(where)),
            ),
        )
        return None
    return min(_end_of(day, where), console_context().now + longest() * DAY)


def _date(form: Form) -> date | None:
    try:
        return date.fromisoformat(form["date"])
    except ValueError:
        form.fault("date", _("Give a date, such as %(date)s.", date=last_day(zone_of(form)).isoformat()))
        return None


def _end_of(day: date, where: ZoneInfo) -> Instant:
    """The last second of a day in a zone."""
    return int(datetime.combine(day, time(23, 59, 59), where).timestamp())
