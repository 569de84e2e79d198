"""The project's own programs, forked from a process that has imported them.

Most of what a start costs is the import of the libraries; the suite starts
hundreds of programs. What the fork becomes is the program as an operator runs
it: its own process group, arguments, environment and exit. Starts from nothing
are tested where they are the subject: in ``test_docs``, ``test_databases`` and
``test_migrations``.
"""

import multiprocessing
import os
import subprocess
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["app", "flask.cli", "tests.support.processes"])


def serve():
    """``python app.py``."""
    from app import main

    return main()


def flask():
    """``flask`` with the arguments of this process."""
    from flask.cli import main

    return main()


class Fork:
    """A running program, with the part of ``subprocess.Popen`` that the tests need.

    Args:
        program: what the process becomes; its result is the exit code.
        args: its arguments, text or bytes.
        environ: its whole environment.
        stdin, stdout, stderr: files, by name; what is written goes to their end.
    """

    def __init__(self, program, args=(), *, environ, stdin=os.devnull, stdout, stderr):
        words = [os.fsencode(each) for each in args]
        files = [str(each) for each in (stdin, stdout, stderr)]
        self._process = PROCESSES.Process(target=_become, args=(program, words, environ, files))
        self._process.start()
        self.pid = self._process.pid
        self.args = [program.__name__, *args]

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


def _become(program, words, environ, files):
    os.setsid()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environ)
    for number, name in enumerate(files):
        opened = os.open(name, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it lives as long as the process
    multiprocessing.set_start_method(None, force=True)  # as in a process that was not started by another
    sys.modules["__main__"] = types.ModuleType("__main__")  # the program's own, not that of the tests
    sys.argv = [program.__name__, *(os.fsdecode(each) for each in words)]
    sys.exit(program())
