"""The command line as tests use it: inside this process, and as the real program."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT, Fork, flask

FLASK = ROOT / ".venv" / "bin" / "flask"
MASTER_KEY = "A" * 43


@dataclass(frozen=True)
class CommandResult:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        return json.loads(self.err)


class Shell:
    """Runs commands inside this process, on the services of a world."""

    def __init__(self, app):
        self._runner = app.test_cli_runner()

    def __call__(self, *args, stdin=None):
        result = self._runner.invoke(args=[str(each) for each in args], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return CommandResult(result.exit_code, result.stdout, result.stderr)

    def json(self, *args, stdin=None):
        said = self(*args, "--json", stdin=stdin)
        assert said.code == 0, said
        return said.json


class Program:
    """Runs the real program on a database of its own."""

    def __init__(self, url, **more):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUTHSERVER_", "FLASK_"))}
        self.environ = {**clean, "AUTHSERVER_DATABASE_URL": url, "AUTHSERVER_MASTER_KEY": MASTER_KEY, **more}

    def start(self, *args, **options):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([FLASK, *args], cwd=ROOT, env=self.environ, **{**pipes, **options})

    def __call__(self, *args, stdin=None):
        with tempfile.TemporaryDirectory() as folder:
            files = {name: Path(folder, name) for name in ("stdin", "stdout", "stderr")}
            for file in files.values():
                file.touch()
            files["stdin"].write_text(stdin or "")
            code = Fork(flask, args, environ=self.environ, **files).wait(60)
            return CommandResult(code, files["stdout"].read_text(), files["stderr"].read_text())
