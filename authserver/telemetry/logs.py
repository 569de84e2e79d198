"""JSON log lines on standard error, whoever writes them: our events, libraries, warnings."""

import logging
import sys
from typing import Any

import structlog

from authserver.telemetry.redaction import redact_event

_QUIET = {"authlib": logging.WARNING, "alembic": logging.WARNING, "werkzeug": logging.WARNING}
"""Authlib writes whole tokens at DEBUG level; none of these has anything to say below a warning."""


def configure(level: str) -> None:
    """Send every log line of the process through one JSON writer.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.dict_tracebacks,
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
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(max(floor, root.level))


def logger() -> Any:
    """The logger of the house; events are named ``noun_verb`` and carry plain values."""
    return structlog.stdlib.get_logger("authserver")
