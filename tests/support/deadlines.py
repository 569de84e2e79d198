"""Waits with a deadline; a wait that is not over in time fails and names what it waited for."""

import os
import select
import threading
import time

SECONDS = 60


def wait_until(what, holds, *, seconds=SECONDS, pause=0.01):
    """Wait until ``holds()`` is true; its result."""
    deadline = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(pause)
    return result


def join(thread, what="", *, seconds=SECONDS):
    """Wait for the end of a thread."""
    thread.join(seconds)
    assert not thread.is_alive(), f"waited {seconds} s for thread {what or thread.name}"


def barrier(parties):
    """A barrier that breaks when not everybody arrives."""
    return threading.Barrier(parties, timeout=SECONDS)


def wait_child(pid, what, *, seconds=SECONDS):
    """The exit code of a child process."""
    ended = []

    def gone():
        found, status = os.waitpid(pid, os.WNOHANG)
        ended.extend([status] if found else [])
        return found

    wait_until(f"process {pid} ({what}) to end", gone, seconds=seconds)
    return os.waitstatus_to_exitcode(ended[0])


def read_line(stream, what, *, seconds=SECONDS):
    """The next line of an unbuffered or just drained stream; it must begin in time."""
    ready, _, _ = select.select([stream], [], [], seconds)
    assert ready, f"waited {seconds} s for {what}"
    return stream.readline()
