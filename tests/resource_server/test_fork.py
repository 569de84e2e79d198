"""A server that forks after the verifier was made, as gunicorn with --preload and uWSGI do."""

import os
import signal
import threading
import time

import pytest

from resource_server import Verifier

DEADLINE = 30


def in_child(work):
    """Whether work in a forked child ended well."""
    child = os.fork()
    if child == 0:
        signal.alarm(DEADLINE)
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child of a test process must never go on into pytest
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + DEADLINE + 5
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"after {DEADLINE} s the child has not ended")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads is what is tested
@pytest.mark.parametrize(
    "options", [{}, {"mode": "leased", "max_staleness": 30}, {"mode": "feed", "max_staleness": 30}]
)
def test_parent_and_children_verify(issuer, server, options):
    issuer.clock = time.time
    issuer.staleness = 30
    verifier = Verifier(issuer.url, issuer.audience, issuer.api, report_interval=600, **options)
    with verifier:
        text = issuer.mint()
        for _ in range(3):
            verifier.verify(text)
        before = issuer._reports.copy()

        def child():
            assert verifier.counts()["accepted"] >= 3
            assert verifier._state.usage.waiting == 0  # the parent's uses are the parent's to report
            threads = [threading.Thread(target=verifier.verify, args=(text,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
            verifier.close()

        assert in_child(child)
        verifier.verify(text)
        if options.get("mode"):
            assert len(issuer._reports) - len(before) <= 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_while_locks_are_held(issuer, server):
    """Another thread may hold any lock at the moment of the fork; the child must not wait for it for ever."""
    issuer.clock = time.time
    issuer.staleness = 30
    with Verifier(issuer.url, issuer.audience, issuer.api, mode="leased", max_staleness=30) as verifier:
        text = issuer.mint()
        verifier.verify(text)
        state = verifier._state
        locks = [state.usage._lock, state.verified._lock, state.keys._lock, state.transport._lock]
        for lock in locks:
            lock.acquire()
        try:
            assert in_child(lambda: [verifier.verify(text) for _ in range(2)])
        finally:
            for lock in locks:
                lock.release()
