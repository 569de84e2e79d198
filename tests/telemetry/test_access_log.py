"""The request log never holds anybody up."""

import io
import json
import os
import threading

import pytest

from authserver.telemetry.access_log import AccessLog
from tests.support.deadlines import join
from tests.telemetry.support import one_line


def test_closing_writes_what_is_pending():
    sink = io.StringIO()
    log = AccessLog(sink)
    for number in range(3):
        log.write({"event": "request", "number": number})
    log.close()
    assert [json.loads(line)["number"] for line in sink.getvalue().splitlines()] == [0, 1, 2]


@pytest.mark.parametrize("lines", [10, 60_000])
def test_a_blocked_sink_blocks_nobody_and_what_was_dropped_is_counted(lines):
    reading, writing = os.pipe()
    with open(writing, "w", encoding="ascii") as sink, open(reading, encoding="ascii") as out:  # noqa: PTH123 - pipes
        sink.write("x" * 65_535 + "\n")  # the pipe is full now
        sink.flush()
        log = AccessLog(sink)
        for _ in range(lines):
            log.write({"event": "request"})
        log.close()
        told: list[str] = []
        reader = threading.Thread(target=lambda: told.extend(out))
        reader.start()
        assert log._thread is not None
        join(log._thread)
        sink.close()
        join(reader)
    events = [json.loads(line) for line in told[1:]]
    dropped = sum(event["count"] for event in events if event["event"] == "request_lines_dropped")
    assert (dropped > 0) == (lines == 60_000)
    assert sum(event["event"] == "request" for event in events) + dropped == lines


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_of_a_fault_is_replaced():
    sink, faults = io.StringIO(), [OSError("no space left for numbers")]
    log = AccessLog(sink)
    log.before_writing(lambda: faults and (_ for _ in ()).throw(faults.pop()))
    log.write({"event": "request", "number": 1})
    assert log._thread is not None
    log._thread.join(10)
    assert not faults
    assert not sink.getvalue()
    log.write({"event": "request", "number": 2})
    log.close()
    assert [json.loads(line)["number"] for line in sink.getvalue().splitlines()] == [1, 2]


@pytest.mark.parametrize("most", [10_000, 2])
def test_a_blocked_sink_keeps_no_number_back(world, monkeypatch, most):
    monkeypatch.setattr("authserver.instrumentation._MAX_BUFFERED", most)
    reading, writing = os.pipe()
    with open(writing, "w", encoding="ascii") as sink, open(reading, encoding="ascii") as out:  # noqa: PTH123 - pipes
        sink.write("x" * 65_535 + "\n")  # the pipe is full now
        sink.flush()
        observer = world.services._observer
        observer._log._sink = sink
        world.access_token()
        observer._log._thread.join(0.5)  # by now it waits for the pipe
        for _ in range(4):
            world.access_token()
        numbers = world.http.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).text
        assert 'oauth_token_requests_total{grant_type="client_credentials",outcome="granted",reason=""} 5.0' in numbers
        reader = threading.Thread(target=out.read)
        reader.start()
        world.services.close()
        sink.close()
        join(reader)


def test_a_broken_sink_is_survived_and_its_lines_counted():
    broken, good = io.StringIO(), io.StringIO()
    broken.close()
    log = AccessLog(broken)
    log.write({"event": "request"})
    log.write({"event": "request"})
    log.flush()
    assert not log._pending
    log._sink = good
    log.close()
    assert one_line(good.getvalue())["count"] == 2
