"""Formats instants in the reader's time zone and language, exact and relative ("3 days ago")."""

import functools
import math
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_timedelta
from markupsafe import Markup, escape

from authserver.console.context import console_context
from authserver.console.i18n.messages import gettext, language
from authserver.ports.sign_in import CurrentUser
from authserver.rules.facts import Instant, Span

Unit = Literal["year", "month", "day", "hour", "minute", "second"]

_LOCALES: Final = {"en": Locale("en", "GB"), "de": Locale("de", "DE")}
_YEARS: Final = (1, 253402300799)
_MINUTE, _HOUR, _DAY, _MONTH, _YEAR = 60, 3600, 86400, 30 * 86400, 365 * 86400
_UNITS: Final[tuple[tuple[Unit, int, int], ...]] = (
    ("year", _YEAR, 2 * _YEAR),
    ("month", _MONTH, 121 * _DAY),
    ("day", _DAY, 2 * _DAY),
    ("hour", _HOUR, _HOUR),
    ("minute", _MINUTE, _MINUTE),
    ("second", 1, 0),
)
"""Units of a distance, each with its seconds and from how many on it is used: whoever chose 90 days reads days.
What lacks a thousandth of a unit counts as whole. The script in console.js does the same."""


@functools.cache
def known_zones() -> frozenset[str]:
    """Names of all zones that can be chosen; asked once, because it reads a whole folder."""
    return frozenset(zoneinfo.available_timezones())


def zone_fault(name: str) -> bool:
    """Whether a name is no zone."""
    return name not in known_zones()


def zone() -> ZoneInfo | None:
    """The zone the reader chose; None when the browser shall say."""
    return _zone_of(console_context().current_user)


def _zone_of(current_user: CurrentUser | None) -> ZoneInfo | None:
    name = current_user.preferences.zone if current_user else ""
    return ZoneInfo(name) if name and not zone_fault(name) else None


def exact(at: Instant, where: ZoneInfo | None = None) -> str:
    """The instant in a zone, by default the reader's, and the name of that zone."""
    chosen = where or zone()
    return format_instant(at, chosen, language())


def format_instant(at: Instant, chosen: ZoneInfo | None, language_code: str) -> str:
    """The instant in a zone, UTC where there is none, in a language."""
    return _format_instant(_as_datetime(at), chosen, language_code)


def _format_instant(instant: datetime, chosen: ZoneInfo | None, language_code: str) -> str:
    # Babel reads the pattern anew each time, and a page has hundreds of instants.
    if chosen is not None:
        instant = instant.astimezone(chosen)
    month = _months(language_code)[instant.month]
    dot = "." if language_code == "de" else ""
    where = chosen.key if chosen else "UTC"
    return f"{instant.day}{dot} {month} {instant.year}, {instant.hour:02}:{instant.minute:02} {where}"


@functools.cache
def _months(language_code: str) -> Mapping[int, str]:
    """The abbreviated months of a language."""
    return dict(_LOCALES[language_code].months["format"]["abbreviated"])


def day(at: Instant) -> Markup:
    """A ``<time>`` that says the day in the reader's zone."""
    text = format_day(_as_datetime(at).astimezone(zone() or UTC).date())
    return Markup('<time class="day-of" datetime="{}"{}>{}</time>').format(iso(at), _fixed(zone()), escape(text))


def clock(at: Instant) -> str:
    """The hour and minute in the reader's zone, UTC where none is chosen."""
    moment = _as_datetime(at).astimezone(zone() or UTC)
    return f"{moment.hour:02}:{moment.minute:02}"


def utc_day(at: Instant) -> str:
    """The day of UTC that counters are kept for, whatever the reader's zone."""
    return format_day(_as_datetime(at).date())


def format_day(at: date) -> str:
    """A day of the calendar."""
    return _format_day(at, language())


@functools.lru_cache(maxsize=2048)
def _format_day(at: date, language_code: str) -> str:
    """What Babel says; a page has the same thirty days three times, and so has the next."""
    return format_date(at, "medium", locale=_LOCALES[language_code])


def relative(at: Instant) -> str:
    """How far away it is: "in 3 days"."""
    return format_distance(at - console_context().now, language())


def format_distance(distance: Span, language_code: str) -> str:
    """How far away something is, in a language; what is past has a negative distance."""
    seconds = abs(distance)
    if not seconds:
        return gettext("just now")
    unit, size, _least = next(each for each in _UNITS if seconds >= each[2])
    return _format_distance(unit, size, (seconds + size // 1000) // size, distance < 0, language_code)


@functools.lru_cache(maxsize=2048)
def _format_distance(unit: Unit, size: Span, count: int, past: bool, language_code: str) -> str:  # noqa: FBT001 - a key, not a choice
    """The text by Babel, cached: a page has hundreds of distances, and there are a few hundred texts."""
    distance = timedelta(seconds=-count * size if past else count * size)
    return format_timedelta(distance, unit, math.inf, add_direction=True, locale=_LOCALES[language_code])


def when(at: Instant | None, never: str = "") -> Markup:
    """A ``<time>`` that says how far away it is, and exactly when on hover or focus; ``never`` where there is none."""
    if at is None:
        return Markup('<span class="muted">{}</span>').format(never or "–")  # noqa: RUF001 - a dash for nothing
    context, language_code, instant = console_context(), language(), _as_datetime(at)
    chosen = _zone_of(context.current_user)
    short, full = (
        escape(format_distance(at - context.now, language_code)),
        escape(_format_instant(instant, chosen, language_code)),
    )
    fixed = _fixed(chosen) if chosen else ""
    return Markup(  # noqa: S704 - of texts that were escaped, and of an instant
        f'<time class="when" datetime="{_iso(instant)}" tabindex="0"{fixed}><span class="when-short">{short}</span>'
        f'<span class="when-exact">{full}</span></time>'
    )


def on(at: Instant) -> Markup:
    """A ``<time>`` that says exactly when."""
    return Markup('<time class="exact" datetime="{}"{}>{}</time>').format(iso(at), _fixed(zone()), escape(exact(at)))


def _fixed(chosen: ZoneInfo | None) -> Markup:
    """Tells the script to leave the zone alone: its reader chose one."""
    return Markup(' data-zone="{}"').format(chosen.key) if chosen else Markup("")


def _as_datetime(at: Instant) -> datetime:
    return datetime.fromtimestamp(min(max(at, _YEARS[0]), _YEARS[1]), UTC)


def iso(at: Instant) -> str:
    """The instant in UTC as machines read it (RFC 3339)."""
    return _iso(_as_datetime(at))


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
