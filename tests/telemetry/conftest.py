"""What was written."""

import io
import logging
import sys

import pytest
import structlog

from authserver.telemetry.logs import configure


@pytest.fixture
def written(monkeypatch):
    """Standard error as the JSON writer sees it."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr(sys, "stderr", stream)
    configure("info")
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
