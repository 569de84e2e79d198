"""The real program: its start, its terminal, its end, and several of them at once on both databases."""

import json
import os
import pty
import re
import select
import signal
import sqlite3
import termios
import threading
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.deadlines import join
from tests.support.processes import ROOT
from tests.support.shell import FLASK, Program

NOWHERE = "postgresql+psycopg://someone:acs_hidden@127.0.0.1:1/nothing"


@pytest.fixture
def program(database_url):
    return Program(database_url)


@pytest.fixture
def ready(program):
    assert program("db", "upgrade").code == 0
    assert program("roles", "create", "reader", "--kind", "operational").code == 0
    return program


def one_sentence(said, code):
    assert said.code == code, said
    assert said.out == ""
    assert said.err.startswith("Error: "), said
    assert said.err.count("\n") == 1, said
    return said.err


def test_from_an_empty_database_to_a_credential(program, tmp_path):
    """A database that is not set up says so, also where there is no file yet, and none is made by asking."""
    assert "flask db upgrade" in one_sentence(program("users", "list"), 7)
    file = make_url(program.environ["AUTHSERVER_DATABASE_URL"]).database
    if program.environ["AUTHSERVER_DATABASE_URL"].startswith("sqlite"):
        assert not os.path.exists(file)  # noqa: PTH110 - the same question the shell would ask
    assert json.loads(program("users", "list", "--json").err)["error"] == "unavailable"
    assert program("db", "current", "--json").json["state"] == "missing"
    upgraded = program("db", "upgrade", "--json").json
    assert upgraded == {"before": None, "revision": upgraded["revision"]}
    role = program("roles", "create", "reader", "--kind", "operational", "--json")
    assert set(role.json) == {"id", "name", "kind"}
    user = program("users", "create", "ada", "--role", "reader", "--password-stdin", "--json", stdin="violet otter 9!")
    assert user.json["roles"] == ["reader"]
    made = program(
        *("credentials", "create", "--owner", "ada", "--name", "n", "--expires-in", "90d", "--role", "reader", "--json")
    )
    assert made.err == ""
    assert set(made.json) == {"client_id", "client_secret", "expires_at", "roles"}
    assert program("audit", "verify").code == 0
    wrong = Program(program.environ["AUTHSERVER_DATABASE_URL"], AUTHSERVER_MASTER_KEY="B" * 42 + "A")
    assert "AUTHSERVER_MASTER_KEY" in one_sentence(wrong("users", "list"), 7)
    broken = Program(program.environ["AUTHSERVER_DATABASE_URL"], AUTHSERVER_MASTER_KEY="short")
    assert "AUTHSERVER_MASTER_KEY" in one_sentence(broken("users", "list"), 6)


def test_T_189_a_schema_of_a_newer_program_is_named(ready):
    url = make_url(ready.environ["AUTHSERVER_DATABASE_URL"])
    change = "UPDATE alembic_version SET version_num = '9999'"
    if url.drivername == "sqlite":
        with sqlite3.connect(url.database) as file:
            file.execute(change)
        file.close()
    else:
        with psycopg.connect(host=url.query["host"], user="postgres", dbname=url.database) as connection:
            connection.execute(change)
    assert "newer" in one_sentence(ready("users", "list"), 7)
    result = ready("doctor", "--json")
    assert result.code == 1
    (schema,) = [check for check in result.json["checks"] if check["check"] == "schema"]
    assert (schema["status"], "newer" in schema["fix"]) == ("failed", True)
    assert one_sentence(ready("db", "upgrade"), 6)


@pytest.mark.parametrize(
    ("environ", "code", "word"),
    [
        ({"AUTHSERVER_DATABASE_URL": NOWHERE}, 7, "127.0.0.1"),
        ({"AUTHSERVER_DATABASE_URL": "mysql://root@localhost/x"}, 6, "AUTHSERVER_DATABASE_URL"),
        ({"AUTHSERVER_DATABASE_URL": "postgresql+psycopg://h:port/x"}, 6, "AUTHSERVER_DATABASE_URL"),
        ({"AUTHSERVER_DATABASE_URL": "sqlite:////proc/nowhere/x.db"}, 7, "flask db upgrade"),
        ({"AUTHSERVER_DATABASE_URL": f"sqlite:///{ROOT / 'README-or-any-text'}"}, 7, ""),
        ({"AUTHSERVER_IDLE_TIMEOUT": "5"}, 6, "AUTHSERVER_IDLE_TIMEOUT"),
        ({"AUTHSERVER_WORKERS": "many"}, 6, "AUTHSERVER_WORKERS"),
        ({"AUTHSERVER_MASTER_KEY": "", "AUTHSERVER_MASTER_KEY_FILE": "/nowhere"}, 6, "AUTHSERVER_MASTER_KEY"),
    ],
    ids=["unreachable", "other database", "malformed", "no folder", "no database", "unknown", "no number", "no file"],
)
def test_what_cannot_begin_says_why(environ, code, word, tmp_path):
    program = Program("sqlite:////nowhere/x.db", **environ)
    result = program("users", "list")
    assert word in one_sentence(result, code)
    assert "acs_hidden" not in result.err
    as_json = program("users", "list", "--json")
    assert (as_json.code, as_json.out) == (code, "")
    assert set(as_json.error) == {"error", "message"}


def test_a_file_that_is_no_database(tmp_path):
    file = tmp_path / "text.db"
    file.write_text("this is no database, and must stay as it is\n" * 100)
    result = Program(f"sqlite:///{file}")("users", "list")
    assert "not a database" in one_sentence(result, 7)
    assert file.read_text().startswith("this is no database")


def test_arguments_that_are_no_text(ready):
    assert "UTF-8" in one_sentence(ready("roles", "create", b"a\xff", "--kind", "operational"), 6)
    assert one_sentence(ready("users", "show", b"\xed\xa0\x80"), 6)


def test_two_at_once_leave_one_user_and_one_whole_chain(ready):
    """Every loser is told, and nothing is lost or written twice."""
    racing = [ready.start("users", "create", f"user{n % 3}", "--role", "reader") for n in range(6)]
    codes = [(process.communicate(timeout=60), process.returncode)[1] for process in racing]
    assert sorted(codes) == [0, 0, 0, 4, 4, 4]
    assert len(ready("users", "list", "--json").json) == 3
    assert ready("audit", "verify").code == 0
    assert len(ready("audit", "list", "--event", "user.created", "--json").json) == 3


def held(url, release):
    """Hold the write lock of a database until ``release`` is set, as another process would."""
    url = make_url(url)
    if url.drivername == "sqlite":
        connection = sqlite3.connect(url.database, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        release.wait(60)
        connection.execute("ROLLBACK")
        connection.close()
    else:
        with psycopg.connect(host=url.query["host"], user="postgres", dbname=url.database) as connection:
            connection.execute("LOCK TABLE audit_head IN ACCESS EXCLUSIVE MODE")
            release.wait(60)
            connection.rollback()


@pytest.fixture
def hold(ready):
    release = threading.Event()
    thread = threading.Thread(target=held, args=(ready.environ["AUTHSERVER_DATABASE_URL"], release))
    thread.start()
    yield release
    release.set()
    join(thread)


def test_a_command_waits_for_another_process_and_gives_up_in_one_sentence(ready, hold):
    assert ready("users", "list").code == 0  # looking needs no lock
    assert "database" in one_sentence(ready("users", "create", "eve", "--role", "reader"), 7)
    waiting = ready.start("users", "create", "bob", "--role", "reader")
    time.sleep(0.2)
    hold.set()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0


def test_ctrl_c_ends_a_waiting_command_with_130_and_changes_nothing(ready, hold):
    process = ready.start("users", "create", "eve", "--role", "reader")
    until_it_waits(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode in {130, 7}, err  # a driver in C may see its time limit before the key
    assert b"Traceback" not in err
    assert out == b""
    hold.set()
    assert ready("users", "list", "--json").json == []


def until_it_waits(pid):
    """Until a process has slept for a second: it is past its imports and waits for a lock, however slow the machine."""
    deadline, spent, since = time.monotonic() + 60, -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() < since + 1:
        time.sleep(0.05)
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        now = int(numbers[10]) + int(numbers[11])  # processor time, in hundredths
        if state != "S" or now > spent + 1:
            spent, since = now, time.monotonic()


DEADLINE_SECONDS = 60
"""How long a person waits for the next prompt."""


class Terminal:
    """A person at a terminal: what is shown, and what is typed when asked."""

    def __init__(self, program, *args, answers=(), hidden=False):
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execve(FLASK, [str(FLASK), *args], {**program.environ, "TERM": "xterm", "COLUMNS": "200"})  # noqa: S606 - this child becomes it
        self.shown = b""
        try:
            for prompt, typed in answers:
                self.read(prompt)
                if hidden:
                    self.wait_for("the echo to be switched off", lambda: not self.echoes())
                os.write(self.end, typed.encode() + b"\n")
            self.read(None)
            self.wait_for("the program to end", self.ended)
        except BaseException:
            os.kill(self.pid, signal.SIGKILL)
            raise

    def echoes(self):
        """Whether typed characters are shown. What is typed before ``getpass`` switches it off is thrown away."""
        return bool(termios.tcgetattr(self.end)[3] & termios.ECHO)

    def ended(self):
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def wait_for(self, what, holds):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS} s for {what}; shown: {self.shown!r}"
            time.sleep(0.01)

    def read(self, prompt):
        already = len(self.shown)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while prompt is None or prompt.encode() not in self.shown[already:]:
            left = max(0, deadline - time.monotonic())
            assert select.select([self.end], [], [], left)[0], f"waited for {prompt or 'the end'!r}: {self.shown!r}"
            try:
                data = os.read(self.end, 1024)
            except OSError:  # Linux ends a terminal this way
                data = b""
            if not data:
                assert prompt is None, self.shown
                os.close(self.end)
                return
            self.shown += data


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_questions_are_asked_on_a_terminal_only(ready):
    ready("users", "create", "ada", "--role", "reader")
    good = "violet otter lamp"
    asked = Terminal(
        ready,
        "users",
        "password",
        "ada",
        answers=[("Password for ada", good), ("Repeat for confirmation", good)],
        hidden=True,
    )
    assert asked.code == 0, asked.shown
    assert good.encode() not in asked.shown
    declined = Terminal(ready, "roles", "delete", "reader", answers=[("[y/N]", "n")])
    assert (declined.code, b"Nothing was changed" in declined.shown) == (1, True)
    stopped = Terminal(ready, "users", "password", "ada", answers=[("Password for ada", "\x03")], hidden=True)
    assert stopped.code == 130, stopped.shown


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_colour_is_for_terminals_that_want_it(ready):
    assert b"\x1b[" in Terminal(ready, "roles", "list").shown
    quiet = Program(ready.environ["AUTHSERVER_DATABASE_URL"], NO_COLOR="1")
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]m", Terminal(quiet, "doctor").shown)
    assert "\x1b" not in ready("roles", "list").out


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_reader_that_goes_away_is_no_fault(ready):
    process = ready.start("audit", "list", "--json")
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
