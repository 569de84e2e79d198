"""Log lines on standard error: own events, libraries, warnings. JSON, or text for a terminal."""

import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from authserver.telemetry.redaction import redact_event

_QUIET = {"authlib": logging.WARNING, "alembic": logging.WARNING, "werkzeug": logging.WARNING}
"""Authlib writes whole tokens at DEBUG level; none of these has anything to say below a warning."""
_FRAMES = 8
"""How many of the innermost lines of code are named where something went wrong."""


def as_text(log_format: str) -> bool:
    """Whether lines are text: asked for, or ``auto`` and standard error is a terminal."""
    return log_format == "text" or (log_format == "auto" and sys.stderr.isatty())


def colours() -> bool:
    """Whether standard error shows colours (https://no-color.org)."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def configure(level: str, log_format: str = "json") -> None:
    """Send every log line of the process through one writer.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: ``auto``, ``json`` or ``text``.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _short_traceback,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact_event,
                _renderer(log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(max(floor, root.level))


def _renderer(log_format: str) -> Any:
    if not as_text(log_format):
        return structlog.processors.JSONRenderer(sort_keys=True)
    return structlog.dev.ConsoleRenderer(colors=colours(), timestamp_key="at", pad_event_to=0, sort_keys=True)


def logger() -> Any:
    """The logger of the services; events are named ``noun_verb`` and carry plain values."""
    return structlog.stdlib.get_logger("authserver")


def _short_traceback(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name the fault and the lines of code it came through, never the values in them (INV-20)."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        event["error"] = f"{type(error).__name__}: {error}"
        event["cause"] = type(error.__cause__ or error.__context__).__name__
        event["lines"] = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return event
