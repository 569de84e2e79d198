"""Instants as people read them: in their zone and language, exact and "3 days ago"."""

import functools
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import TIMEDELTA_UNITS, format_date, format_timedelta
from markupsafe import Markup, escape

from authserver.rules.facts import Instant, Span
from authserver.web.console.here import here
from authserver.web.console.words import gettext, language

_LOCALES: Final = {"en": Locale("en", "GB"), "de": Locale("de", "DE")}
_ENOUGH: Final = 0.85
"""How much of a unit must be there to be told in it; Babel's own measure."""

_YEARS: Final = (1, 253402300799)


@functools.cache
def known_zones() -> frozenset[str]:
    """Names of all zones that can be chosen; asked once, because it reads a whole folder."""
    return frozenset(zoneinfo.available_timezones())


def zone_fault(name: str) -> bool:
    """Whether a name is no zone."""
    return name not in known_zones()


def zone() -> ZoneInfo | None:
    """The zone the reader chose; None when the browser shall say."""
    visit = here().visit
    name = visit.preferences.zone if visit else ""
    return ZoneInfo(name) if name and not zone_fault(name) else None


def exact(at: Instant, where: ZoneInfo | None = None) -> str:
    """The instant in a zone, the reader's if not told, and which zone that is."""
    chosen = where or zone()
    return exactly(at, chosen, language())


def exactly(at: Instant, chosen: ZoneInfo | None, spoken: str) -> str:
    """The instant in a zone, UTC where there is none, in a language."""
    # Babel reads the pattern anew each time, and a page has hundreds of instants.
    moment = _moment(at).astimezone(chosen or UTC)
    month = _months(spoken)[moment.month]
    dot = "." if spoken == "de" else ""
    return f"{moment.day}{dot} {month} {moment.year}, {moment:%H:%M} {chosen.key if chosen else 'UTC'}"


@functools.cache
def _months(spoken: str) -> Mapping[int, str]:
    """The months of a language, as short as they stand in a date."""
    return dict(_LOCALES[spoken].months["format"]["abbreviated"])


def day(at: Instant) -> str:
    """The day in the reader's zone."""
    return format_date(_moment(at).astimezone(zone() or UTC), "medium", locale=_LOCALES[language()])


def date_said(at: date) -> str:
    """A day of the calendar."""
    return format_date(at, "medium", locale=_LOCALES[language()])


def relative(at: Instant) -> str:
    """How far away it is: "in 3 days"."""
    return relatively(at - here().now, language())


def relatively(distance: Span, spoken: str) -> str:
    """How far away something is, in a language; what is past has a negative distance."""
    if not distance:
        return gettext("just now")
    unit, number = _rounded(abs(distance))
    known = _SAID.get((unit, number, distance < 0, spoken))
    if known is None:
        known = format_timedelta(timedelta(seconds=distance), add_direction=True, locale=_LOCALES[spoken])
        _SAID[unit, number, distance < 0, spoken] = known
    return known


def _rounded(seconds: Span) -> tuple[int, int]:
    """The unit a distance is told in, in seconds, and how many of it: Babel says all distances with these alike."""
    for _name, unit in TIMEDELTA_UNITS:
        if seconds / unit >= _ENOUGH:
            return unit, max(1, round(seconds / unit))
    return 1, seconds


_SAID: Final[dict[tuple[int, int, bool, str], str]] = {}
"""What Babel said: some hundred sentences at most, and always the same."""


def when(at: Instant | None, never: str = "") -> Markup:
    """A ``<time>`` that says how far away it is, and exactly when on hover or focus; ``never`` where there is none."""
    if at is None:
        return Markup('<span class="muted">{}</span>').format(never or "–")  # noqa: RUF001 - a dash for nothing
    spoken, chosen = language(), zone()
    short, whole = escape(relatively(at - here().now, spoken)), escape(exactly(at, chosen, spoken))
    return Markup(  # noqa: S704 - of texts that were escaped, and of an instant
        f'<time class="when" datetime="{iso(at)}" tabindex="0"{_fixed(chosen)}><span class="when-short">{short}</span>'
        f'<span class="when-exact">{whole}</span></time>'
    )


def on(at: Instant) -> Markup:
    """A ``<time>`` that says exactly when."""
    return Markup('<time class="exact" datetime="{}"{}>{}</time>').format(iso(at), _fixed(zone()), escape(exact(at)))


def _fixed(chosen: ZoneInfo | None) -> Markup:
    """Tells the script to leave the zone alone: its reader chose one."""
    return Markup(' data-zone="{}"').format(chosen.key) if chosen else Markup("")


def _moment(at: Instant) -> datetime:
    return datetime.fromtimestamp(min(max(at, _YEARS[0]), _YEARS[1]), UTC)


def iso(at: Instant) -> str:
    """The instant in UTC as machines read it (RFC 3339)."""
    return _moment(at).isoformat().replace("+00:00", "Z")
