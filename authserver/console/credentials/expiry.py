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
DEFAULT_DAYS: Final = 90
LONG_DAYS: Final = 180
"""More days than this are worth a remark."""

ON_A_DATE: Final = "date"


def max_days() -> int:
    """How many days a credential may live."""
    return console_context().accounts.general().max_credential_days


def presets() -> list[int]:
    """The presets that the settings allow."""
    allowed = max_days()
    return [days for days in PRESETS if days <= allowed]


def default_choice() -> str:
    """What is chosen at first."""
    offered = presets()
    return str(DEFAULT_DAYS if DEFAULT_DAYS in offered else offered[-1]) if offered else ON_A_DATE


def zone_of(form: Form) -> ZoneInfo:
    """The zone a day ends in: as the user chose, else as the browser says, else UTC."""
    chosen_expiry = dates.zone()
    if chosen_expiry is not None:
        return chosen_expiry
    browser_zone = form["zone"]
    return ZoneInfo(browser_zone) if browser_zone in dates.known_zones() else ZoneInfo("UTC")


def first_day(tz: ZoneInfo) -> date:
    """Today in a zone."""
    return datetime.fromtimestamp(console_context().now, UTC).astimezone(tz).date()


def last_day(tz: ZoneInfo) -> date:
    """The last day that may be chosen."""
    return datetime.fromtimestamp(console_context().now + max_days() * DAY, UTC).astimezone(tz).date()


def chosen_expiry(form: Form) -> Instant | None:
    """The instant a form asks for, or None with a fault beside the field.

    Fields: ``expires`` holds days or ``date``, ``date`` a day as ISO 8601, ``zone`` what the browser calls its zone.
    The longest life counts from now, so the last day there is may end before midnight.
    """
    tz = zone_of(form)
    choice, day = form["expires"], None
    if choice in {str(days) for days in presets()}:
        day = first_day(tz) + timedelta(days=int(choice))
    elif choice == ON_A_DATE:
        day = _date(form)
    else:
        form.add_error("expires", _("Choose when it expires."))
    if day is None:
        return None
    if not first_day(tz) <= day <= last_day(tz):
        form.add_error(
            "date" if choice == ON_A_DATE else "expires",
            _(
                "Choose a day from %(first)s to %(last)s.",
                first=dates.format_day(first_day(tz)),
                last=dates.format_day(last_day(tz)),
            ),
        )
        return None
    return min(_end_of(day, tz), console_context().now + max_days() * DAY)


def _date(form: Form) -> date | None:
    try:
        return date.fromisoformat(form["date"])
    except ValueError:
        form.add_error("date", _("Give a date, such as %(date)s.", date=last_day(zone_of(form)).isoformat()))
        return None


def _end_of(day: date, tz: ZoneInfo) -> Instant:
    """The last second of a day in a zone."""
    return int(datetime.combine(day, time(23, 59, 59), tz).timestamp())
