"""Reads the JSON of a usage report piece by piece; of the text no more than 128 kB is held at a time.

A report is an object with exactly the members ``report_id`` (a UUID) and ``uses``, in any order; ``uses`` is an array
of objects with exactly ``jti``, ``at``, ``count``, ``method`` and ``route``.
"""

import codecs
import hashlib
import json
import re
from typing import Any, NamedTuple

from authserver.oauth.http import BadRequest, BodyStream
from authserver.oauth.introspection_endpoint import http_method, http_route
from authserver.ports.usage import ReportedUse
from authserver.rules.claims import is_id
from keys import strict_json

MOST_USES = 10_000
_PIECE = 64 * 1024
_LONGEST_VALUE = 4096
"""Characters of one use, or of ``report_id``."""

_MOST_TIMES = 1_000_000_000
_LAST_INSTANT = 2**40
_MEMBERS = {"jti", "at", "count", "method", "route"}
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SPACE = re.compile(r"[ \t\n\r]*")


class Report(NamedTuple):
    """A report; ``digest`` is the SHA-256 of its uses in their order, in hex."""

    report_id: str
    uses: list[ReportedUse]
    digest: str


def read_report(body: BodyStream) -> Report:
    """Read a report to its end.

    Raises:
        BadRequest: it is none, is longer than the body may be, or ended early.
    """
    text = _Text(body)
    report_id: str | None = None
    found: tuple[list[ReportedUse], str] | None = None
    text.expect("{", _NO_REPORT)
    for number in range(2):
        if number:
            text.expect(",", _NO_REPORT)
        name = text.value('"', _NO_REPORT)
        text.expect(":", _NO_REPORT)
        if name == "report_id" and report_id is None:
            report_id = text.value('"', _NO_ID)
            if not isinstance(report_id, str) or not _UUID.fullmatch(report_id):
                raise BadRequest(_NO_ID)
        elif name == "uses" and found is None:
            found = _uses(text)
        else:
            raise BadRequest(_NO_REPORT)
    text.expect("}", _NO_REPORT)
    text.expect("", _NO_REPORT)
    if report_id is None or found is None:
        raise BadRequest(_NO_REPORT)
    return Report(report_id, *found)


_NO_REPORT = "A report is a JSON object in UTF-8 with report_id and uses, each once."
_NO_ID = "report_id is a UUID in lower case."
_NO_ARRAY = f"uses is an array of at most {MOST_USES} objects."
_NO_USE = "A use is an object with jti, at (whole seconds UTC), count (1 or more), method and route, each once."


def _uses(text: "_Text") -> tuple[list[ReportedUse], str]:
    uses: list[ReportedUse] = []
    digest = hashlib.sha256()
    routes: dict[tuple[str, str], tuple[str, str]] = {}  # a report names few, and each is kept once
    text.expect("[", _NO_ARRAY)
    if text.at("]"):
        return uses, digest.hexdigest()
    while True:
        if len(uses) == MOST_USES:
            raise BadRequest(_NO_ARRAY)
        use = _use(text.value("{", _NO_USE), routes)
        digest.update(json.dumps(use).encode())
        uses.append(use)
        if text.at("]"):
            return uses, digest.hexdigest()
        text.expect(",", _NO_ARRAY)


def _use(told: Any, routes: dict[tuple[str, str], tuple[str, str]]) -> ReportedUse:
    if isinstance(told, dict) and told.keys() == _MEMBERS:
        jti, at, times, method, route = (told[name] for name in ("jti", "at", "count", "method", "route"))
        texts = isinstance(method, str) and isinstance(route, str)
        if is_id(jti) and texts and _whole(at, 0, _LAST_INSTANT) and _whole(times, 1, _MOST_TIMES):
            shown = http_method(method), http_route(route)
            return ReportedUse(jti, at, times, *routes.setdefault(shown, shown))
    raise BadRequest(_NO_USE)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


class _Text:
    """The text of a body from where it has not been read yet."""

    def __init__(self, body: BodyStream) -> None:
        self._body, self._decoder = body, codecs.getincrementaldecoder("utf-8")()
        self._text, self._place, self._ended = "", 0, False

    def at(self, char: str) -> bool:
        """Whether the next character that is no space is this one; it is passed if so."""
        self._fill()
        if self._text[self._place : self._place + 1] == char:
            self._place += len(char)
            return True
        return False

    def expect(self, char: str, otherwise: str) -> None:
        """Pass this character, or see that nothing follows for "".

        Raises:
            BadRequest: with the sentence of ``otherwise``.
        """
        if not self.at(char):
            raise BadRequest(otherwise)

    def value(self, begins_with: str, otherwise: str) -> Any:
        """Pass a value that ends by itself: a string or an object.

        Raises:
            BadRequest: with the sentence of ``otherwise``.
        """
        self._fill()
        if not self._text.startswith(begins_with, self._place):
            raise BadRequest(otherwise)
        try:
            found, end = strict_json.DECODER.raw_decode(self._text, self._place)
        except (ValueError, RecursionError) as error:
            raise BadRequest(otherwise) from error
        if end - self._place > _LONGEST_VALUE:
            raise BadRequest(otherwise)
        self._place = end
        return found

    def _fill(self) -> None:
        """Pass what is space, and have a whole value at hand."""
        while True:
            space = _SPACE.match(self._text, self._place)
            self._place = space.end() if space else self._place
            if self._ended or len(self._text) - self._place > _LONGEST_VALUE:
                return
            piece = self._body.read(_PIECE)
            self._ended = not piece
            try:
                self._text = self._text[self._place :] + self._decoder.decode(piece, final=self._ended)
            except UnicodeDecodeError as error:
                raise BadRequest(_NO_REPORT) from error
            self._place = 0
