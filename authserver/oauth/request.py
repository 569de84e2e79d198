"""Parse once, at the door: a strict form, and answers that are always JSON.

Body only, UTF-8, urlencoded only, no parameter twice, an empty value is an
absent one (RFC 6749 §3.2, Appendix B). A door is a function from ``Ask`` to
``Reply``; how it is mounted is not its business.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

import orjson

from authserver.oauth.throttle import Strike

MAX_BODY = 64 * 1024
_UNPRINTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_MAX_PARAMETERS = 50
_FORM = "application/x-www-form-urlencoded"

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))

dump: Callable[[object], bytes] = orjson.dumps
"""JSON without white space, in UTF-8."""


class Headers(Mapping[str, str]):
    """The headers of a WSGI request, read where the server put them: nothing is copied. Names in lower case."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        value: str = self._environ[_wsgi_name(name)]
        return value

    def get(self, name: str, default: Any = "") -> Any:
        """One header; the empty string when it is absent."""
        return self._environ.get(_wsgi_name(name), default)

    def __iter__(self) -> Iterator[str]:
        return (key[5:].replace("_", "-").lower() for key in self._environ if key.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _wsgi_name(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if upper in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{upper}"


class Ask(NamedTuple):
    """One HTTP request as plain values; header names in lower case.

    ``path`` is the door's own, whatever alias was asked for; ``peer`` is the
    caller's address, also behind trusted proxies.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""


class Reply(NamedTuple):
    """One HTTP answer.

    ``note`` is for log and metrics, never for the caller: ``outcome``, the true
    ``reason`` (both of closed sets), ``client`` and ``detail``. ``strike`` is
    what the throttle counts.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = NO_STORE
    note: Mapping[str, str] = MappingProxyType({})
    strike: Strike | None = None


Door = Callable[[Ask], Reply]


class Malformed(ValueError):
    """RFC 6749 §5.2 ``invalid_request``; ``status`` is 400 unless HTTP has a better one."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def mark_of(ask: Ask) -> bytes:
    """A hash of all that the reading of a request depends on: APIs and clients send the same bytes again and again."""
    headers = ask.headers
    parts = (headers.get("authorization", ""), headers.get("content-type", ""), ask.query)
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass") + b"\n\n" + ask.body).digest()


T = TypeVar("T")


class Readings(Generic[T]):
    """How requests read that were answered as asked, by ``mark_of``; only such are kept, so nobody else fills this.

    Whether caller and token are good is never kept, and is judged each time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, T] = {}
        self.get = self._kept.get

    def keep(self, mark: bytes, reading: T) -> None:
        """Keep one more; when there are too many, begin anew."""
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[mark] = reading


def refusal(
    code: str,
    text: str,
    status: int = 400,
    headers: tuple[tuple[str, str], ...] = (),
    note: Mapping[str, str] | None = None,
) -> Reply:
    """Make an error answer (RFC 6749 §5.2); the text is cut down to the characters allowed there."""
    body = dump({"error": code, "error_description": _UNPRINTABLE.sub("?", text)})
    return Reply(status, body, headers=(*NO_STORE, *headers), note={"outcome": code, "reason": code, **(note or {})})


def read_form(ask: Ask, repeatable: frozenset[str] = frozenset()) -> dict[str, str]:
    """Read the form of a request.

    A ``repeatable`` parameter that was repeated arrives as one value with spaces
    between: no single value of such a parameter can hold one.

    Raises:
        Malformed: not urlencoded, not UTF-8, too large, a NUL, or a parameter twice.
    """
    kind = ask.headers.get("content-type", "")
    if kind != _FORM and not _is_form(kind):
        msg = "Send the parameters as application/x-www-form-urlencoded in UTF-8 in the request body."
        raise Malformed(msg)
    if ask.body.count(b"&") > _MAX_PARAMETERS:
        msg = f"Send {_MAX_PARAMETERS} parameters at most."
        raise Malformed(msg)
    form: dict[str, str] = {}
    for piece in ask.body.split(b"&"):
        if not piece:
            continue
        raw_name, _, raw_value = piece.partition(b"=")
        name, value = _NAMES.get(raw_name) or form_decode(raw_name), form_decode(raw_value)
        if name not in form:
            form[name] = value
        elif name in repeatable:
            form[name] += f" {value}"
        else:
            msg = "Send each parameter once."
            raise Malformed(msg)
    if ask.query:
        _check_query(ask.query, form)
    return {name: value for name, value in form.items() if value}


_BODY_ONLY = frozenset(
    {
        "grant_type",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "scope",
        "resource",
        "token",
        "token_type_hint",
        "access_token",
        "http_method",
        "http_route",
    }
)


_NAMES = {name.encode(): name for name in _BODY_ONLY}


def _check_query(query: str, form: Mapping[str, str]) -> None:
    """Nothing of ours in the URL, and nothing twice: it would end up in logs, and parsers would disagree about it."""
    pieces = [piece.partition("=")[0] for piece in query.split("&")]
    names = [form_decode(name.encode("utf-8", "surrogatepass")) for name in pieces if name]
    if _BODY_ONLY.union(form).intersection(names):
        msg = "Send the parameters in the request body, not in the URL."
        raise Malformed(msg)
    if len(set(names)) != len(names):
        msg = "Send each parameter once."
        raise Malformed(msg)


def _is_form(kind: str) -> bool:
    media, _, parameters = kind.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    return media.strip().lower() == _FORM and charset in {"", "charset=utf-8"}


def form_decode(raw: bytes) -> str:
    """Decode one urlencoded piece.

    Raises:
        Malformed: not UTF-8, or a NUL inside.
    """
    try:
        text = (unquote_to_bytes(raw.replace(b"+", b" ")) if b"%" in raw or b"+" in raw else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        msg = "The request is not UTF-8."
        raise Malformed(msg) from error
    if "\0" in text:
        msg = "A parameter holds a NUL character."
        raise Malformed(msg)
    return text
