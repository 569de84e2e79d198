"""Parses the JSON of a usage report chunk by chunk; at most 128 kB of the text are in memory at a time.

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

MAX_USES = 10_000
_CHUNK = 64 * 1024
_MAX_VALUE = 4096
"""Characters of one use, or of ``report_id``."""

_MAX_COUNT = 1_000_000_000
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
        BadRequest: it is no report, is longer than the body may be, or ended early.
    """
    parser = _Parser(body)
    report_id: str | None = None
    uses: tuple[list[ReportedUse], str] | None = None
    parser.expect("{", _NOT_A_REPORT)
    for number in range(2):
        if number:
            parser.expect(",", _NOT_A_REPORT)
        name = parser.value('"', _NOT_A_REPORT)
        parser.expect(":", _NOT_A_REPORT)
        if name == "report_id" and report_id is None:
            report_id = parser.value('"', _NOT_AN_ID)
            if not isinstance(report_id, str) or not _UUID.fullmatch(report_id):
                raise BadRequest(_NOT_AN_ID)
        elif name == "uses" and uses is None:
            uses = _uses(parser)
        else:
            raise BadRequest(_NOT_A_REPORT)
    parser.expect("}", _NOT_A_REPORT)
    parser.expect("", _NOT_A_REPORT)
    if report_id is None or uses is None:
        raise BadRequest(_NOT_A_REPORT)
    return Report(report_id, *uses)


_NOT_A_REPORT = "A report is a JSON object in UTF-8 with report_id and uses, each once."
_NOT_AN_ID = "report_id is a UUID in lower case."
_NOT_AN_ARRAY = f"uses is an array of at most {MAX_USES} objects."
_NOT_A_USE = "A use is an object with jti, at (whole seconds UTC), count (1 or more), method and route, each once."


def _uses(parser: "_Parser") -> tuple[list[ReportedUse], str]:
    uses: list[ReportedUse] = []
    digest = hashlib.sha256()
    routes: dict[tuple[str, str], tuple[str, str]] = {}  # interns routes: a report names few
    parser.expect("[", _NOT_AN_ARRAY)
    if parser.consume("]"):
        return uses, digest.hexdigest()
    while True:
        if len(uses) == MAX_USES:
            raise BadRequest(_NOT_AN_ARRAY)
        use = _use(parser.value("{", _NOT_A_USE), routes)
        digest.update(json.dumps(use).encode())
        uses.append(use)
        if parser.consume("]"):
            return uses, digest.hexdigest()
        parser.expect(",", _NOT_AN_ARRAY)


def _use(value: Any, routes: dict[tuple[str, str], tuple[str, str]]) -> ReportedUse:
    if isinstance(value, dict) and value.keys() == _MEMBERS:
        jti, at, count, method, route = (value[name] for name in ("jti", "at", "count", "method", "route"))
        are_texts = isinstance(method, str) and isinstance(route, str)
        if (
            is_id(jti)
            and are_texts
            and _is_whole_number(at, 0, _LAST_INSTANT)
            and _is_whole_number(count, 1, _MAX_COUNT)
        ):
            method_and_route = http_method(method), http_route(route)
            return ReportedUse(jti, at, count, *routes.setdefault(method_and_route, method_and_route))
    raise BadRequest(_NOT_A_USE)


def _is_whole_number(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


class _Parser:
    """A parser over the text of a body: what has been parsed is dropped, and the next chunk read."""

    def __init__(self, body: BodyStream) -> None:
        self._body, self._decoder = body, codecs.getincrementaldecoder("utf-8")()
        self._text, self._position, self._at_end = "", 0, False

    def consume(self, expected: str) -> bool:
        """Consume the next character that is no space if it is this one; whether it was."""
        self._read_chunks()
        if self._text[self._position : self._position + 1] == expected:
            self._position += len(expected)
            return True
        return False

    def expect(self, expected: str, error_text: str) -> None:
        """Consume this character; "" is the end of the body.

        Raises:
            BadRequest: something else follows; its text is ``error_text``.
        """
        if not self.consume(expected):
            raise BadRequest(error_text)

    def value(self, begins_with: str, error_text: str) -> Any:
        """Consume a string or an object, whose end the text itself marks.

        Raises:
            BadRequest: something else follows; its text is ``error_text``.
        """
        self._read_chunks()
        if not self._text.startswith(begins_with, self._position):
            raise BadRequest(error_text)
        try:
            value, end = strict_json.DECODER.raw_decode(self._text, self._position)
        except (ValueError, RecursionError) as error:
            raise BadRequest(error_text) from error
        if end - self._position > _MAX_VALUE:
            raise BadRequest(error_text)
        self._position = end
        return value

    def _read_chunks(self) -> None:
        """Skip white space, and read chunks until a whole value is in memory."""
        while True:
            white_space = _SPACE.match(self._text, self._position)
            self._position = white_space.end() if white_space else self._position
            if self._at_end or len(self._text) - self._position > _MAX_VALUE:
                return
            chunk = self._body.read(_CHUNK)
            self._at_end = not chunk
            try:
                self._text = self._text[self._position :] + self._decoder.decode(chunk, final=self._at_end)
            except UnicodeDecodeError as error:
                raise BadRequest(_NOT_A_REPORT) from error
            self._position = 0
