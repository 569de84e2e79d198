"""How the API says that an operation will end: ``Deprecation`` (RFC 9745), ``Sunset`` (RFC 8594) and links.

The policy is in ``docs/api.md``: what is deprecated goes on as it was for ``NOTICE`` at least, and a new version of the
API stands beside the old one meanwhile.
"""

from dataclasses import dataclass
from typing import Final

from flask import Response
from werkzeug.http import http_date

from authserver.api.blueprint import PREFIX
from authserver.rules.facts import Instant, Span

NOTICE: Final[Span] = 365 * 86400
"""Seconds between the day on which an operation is declared deprecated and the day on which it may end."""


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Since when, until when, and what to call instead: the path of an operation, or empty for nothing."""

    since: Instant
    sunset: Instant
    successor: str = ""

    def __post_init__(self) -> None:
        """Refuse a notice that is shorter than what was promised."""
        if self.sunset - self.since < NOTICE:
            msg = "an operation goes on for a year after it was declared deprecated"
            raise ValueError(msg)


def add_headers(response: Response, deprecation: Deprecation | None) -> Response:
    """Tell in the answer of a deprecated operation."""
    if deprecation is None:
        return response
    response.headers["Deprecation"] = f"@{deprecation.since}"
    response.headers["Sunset"] = http_date(deprecation.sunset)
    links = [f'<{PREFIX}/docs>; rel="deprecation"; type="text/html"']
    if deprecation.successor:
        links.append(f'<{PREFIX}{deprecation.successor}>; rel="successor-version"')
    response.headers["Link"] = ", ".join(links)
    return response
