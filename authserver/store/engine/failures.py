"""Why the database cannot be used, in words for operators: start-up errors, ``doctor`` and the log.

Only the kind of reason is named, with user, database, host, table or column where the database names them; never a
password, a statement or a value (INV-20). What no rule knows is left out.
"""

import re
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

UNREACHED = "the database cannot be reached now"
_CHECK_SCHEMA = "; `flask db check` compares the schema with this program"

_POOLS_STATEMENTS = (
    "the connection pooler pools statements, so no transaction works; set pool_mode = transaction or session"
)

_BY_STATE: dict[str, str] = {
    "08P01": "a connection pooler or the server does not follow the protocol",
    "25006": "the server is a read-only standby, or set to read only; point AUTHSERVER_DATABASE_URL at the primary",
    "42501": "the database user lacks a privilege",
    "53100": "the disk of the server is full",
    "53200": "the server is out of memory",
    "53300": "the server has too many connections; raise max_connections or lower AUTHSERVER_THREADS",
    "55P03": "a lock was not granted in time",
    "57014": "a statement took too long and was cancelled",
    "57P01": "the server is shutting down",
    "57P02": "the server crashed and restarts",
    "57P03": "the server is starting up or shutting down",
    "58030": "the disk of the server fails",
    "42P05": (
        "a prepared statement exists already, as behind a transaction pooler; "
        "set AUTHSERVER_DATABASE_POOLER=transaction, or pool_mode = session in the pooler"
    ),
    "26000": (
        "a prepared statement is gone, as behind a transaction pooler; "
        "set AUTHSERVER_DATABASE_POOLER=transaction, or pool_mode = session in the pooler"
    ),
}
"""SQLSTATE -> reason."""

_VAGUE = frozenset({"08P01"})
"""States of poolers, which use one for everything: the text may say more."""

_NAMED = r"\"?([^\"\s]+)\"?"

_BY_TEXT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"statement pooling mode", _POOLS_STATEMENTS),
        (r"server does not support SSL", r"the server does not offer TLS, which sslmode requires"),
        (r"certificate verify failed|root certificate file", r"the certificate of the server is not trusted"),
        (rf"password authentication failed for user {_NAMED}", r"authentication failed for user \1"),
        (r"no password supplied", r"the server wants a password and the URL has none"),
        (rf"no pg_hba\.conf entry .*user {_NAMED}", r"pg_hba.conf lets no user \1 in from here"),
        (rf"role {_NAMED} does not exist", r"there is no user \1 on the server"),
        (rf"database {_NAMED} does not exist", r"there is no database \1 on the server"),
        (r"(?:could not translate host name|failed to resolve host) ['\"]?([\w.-]+)", r"the host \1 does not resolve"),
        (r"name or service not known|name resolution", r"the host of the database does not resolve"),
        (r"connection refused", r"the connection was refused; is the server running on that port?"),
        (r"too many clients already|remaining connection slots|too many connections", _BY_STATE["53300"]),
        (r"session is (?:not )?read-only|server is in hot standby", _BY_STATE["25006"]),
        (r"starting up|shutting down", _BY_STATE["57P03"]),
        (r"timeout expired|connection timeout|timed out", r"no answer in time"),
        (r"server closed the connection|connection (?:is|was) (?:closed|lost)", r"the connection was cut"),
        (r"no such table: (\w+)", r"the schema has no table \1" + _CHECK_SCHEMA),
        (r"no such column: (?:\w+\.)?(\w+)", r"the schema has no column \1" + _CHECK_SCHEMA),
        (r"table (\w+) has no column named (\w+)", r"the schema has no column \2 in table \1" + _CHECK_SCHEMA),
        (rf"relation {_NAMED} does not exist", r"the schema has no table \1" + _CHECK_SCHEMA),
        (rf"column {_NAMED} (?:of relation \S+ )?does not exist", r"the schema has no column \1" + _CHECK_SCHEMA),
        (r"database or disk is full", r"the disk is full"),
        (r"readonly database", r"the database file is read-only"),
        (r"unable to open database file", r"the database file cannot be opened; check its folder and rights"),
        (r"disk i/o error", r"the disk fails"),
        (r"database (?:table )?is locked", r"the database file is locked by another process"),
        (r"malformed|not a database", r"the database file is damaged; restore the newest backup"),
    )
)
"""Text of the driver -> reason; the first that matches."""


_KINDS = (
    ("disk_full", ("disk is full", "disk of the server is full")),
    ("read_only", ("read-only",)),
    ("disk_fault", ("disk fails", "disk of the server fails", "damaged")),
    ("schema", ("the schema has no",)),
    ("busy", ("locked", "not granted in time", "too long", "free in time")),
)


def kind_of(reason: str) -> str:
    """The kind of a reason, one of a closed set: a label of metrics."""
    return next((kind for kind, words in _KINDS if any(word in reason for word in words)), "unreachable")


def reason_of(error: BaseException | None) -> str:
    """The kind of reason behind a driver's error; empty where none is known."""
    if isinstance(error, PoolTimeout):
        return "no connection of the pool was free in time"
    driver: Any = error.orig if isinstance(error, DBAPIError) else error
    if driver is None:
        return ""
    text = " ".join(str(driver).split())
    state = getattr(driver, "sqlstate", None)
    if state in _BY_STATE and state not in _VAGUE:
        return _BY_STATE[state]
    for pattern, reason in _BY_TEXT:
        found = pattern.search(text)
        if found:
            return found.expand(reason)
    return _BY_STATE.get(state or "", "")


def unreached(error: BaseException | None) -> str:
    """``UNREACHED``, with the reason where one is known."""
    reason = reason_of(error)
    return f"{UNREACHED}: {reason}" if reason else UNREACHED
