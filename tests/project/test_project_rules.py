"""Rules of the repository that no linter knows: layout, names, docstrings, clocks, migrations, generated pages."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from authserver.cli.reference import PAGE, commands, renewed
from authserver.store.engine.schema import MIGRATIONS
from tests.support.processes import ROOT
from tests.support.shell import Shell

MAX_MODULES = 17
MAX_LINES = 400
FOLDERS = ("authserver", "keys", "migrations")
PRODUCT = [ROOT / "app.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
RUNTIME = [path for path in PRODUCT if "migrations" not in path.parts]

MAY_READ_THE_CLOCK = {
    "authserver/services/clocks.py": "the system clock that is handed in everywhere else",
    "authserver/telemetry/access_log.py": "when a log line was written",
    "authserver/cli/commands/doctor.py": "compares this machine's clock with the database's",
    "authserver/store/tokens/usage_buffer.py": "when a writer of batches was last seen, for sweeping its number",
}


def name(path):
    return str(path.relative_to(ROOT))


@cache
def parsed(path):
    """The syntax tree of a file; every rule reads the same one."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """The modules a file imports, at any depth."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{each.name}" for each in node.names)


def calls(path):
    """What a file calls, as it is written."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", RUNTIME, ids=name)
def test_a_file_begins_with_what_lives_there(path):
    assert len(ast.get_docstring(parsed(path)) or "") >= 20


PACKAGED = ("authserver", "keys", "resource_server", "bench")
FORBIDDEN_WORDS = frozenset({
    "here", "asked", "moments", "elsewhere", "line", "opening", "house", "room", "rooms", "chores", "crowd", "door",
    "doors", "witness", "census", "patience", "journal", "notices", "admission", "told", "said", "noted", "book",
    "holder", "holders", "upkeep", "plan", "origins", "guide", "words", "cells", "rounds", "utils", "helpers", "common",
    "base", "manager", "misc",
})  # fmt: skip


def modules():
    for folder in (*PACKAGED, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path


@pytest.mark.parametrize("path", list(modules()), ids=name)
def test_a_module_is_named_for_what_it_holds(path):
    names = path.relative_to(ROOT).with_suffix("").parts
    assert not FORBIDDEN_WORDS & {word for each in names for word in each.split("_")}


def packages():
    folders = {path.parent for folder in PACKAGED for path in (ROOT / folder).rglob("*.py")}
    return sorted(folders)


@pytest.mark.parametrize("folder", packages(), ids=name)
def test_a_package_describes_each_of_its_modules(folder):
    text = ast.get_docstring(parsed(folder / "__init__.py")) or ""
    inside = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]
    inside += [path.name for path in folder.iterdir() if (path / "__init__.py").exists()]
    named = set(re.findall(r"\w+", text))
    assert not sorted(set(inside) - named), f"{name(folder)}/__init__.py says nothing about these"


@pytest.mark.parametrize("folder", packages(), ids=name)
def test_a_package_is_small_enough_to_know(folder):
    assert len([path for path in folder.glob("*.py") if path.stem != "__init__"]) <= MAX_MODULES


@pytest.mark.parametrize("path", RUNTIME, ids=name)
def test_a_module_is_short_or_says_why(path):
    text = path.read_text(encoding="utf-8")
    if text.count("\n") > MAX_LINES:
        assert "One module, because" in (ast.get_docstring(parsed(path)) or "")


def test_the_architecture_page_names_what_exists():
    """``package/module.py`` is a file, and ``package/module.py: name`` is defined in it."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = re.findall(r"`((?:[\w.]+/)*\w+\.py)(?:: ([\w.]+))?`", text)
    assert len(found) > 20
    for path, wanted in found:
        places = [ROOT / path, ROOT / "authserver" / path]
        files = [each for each in places if each.is_file()]
        assert files, path
        if wanted:
            tree = parsed(files[0])
            defined = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.ClassDef)}
            assert set(wanted.split(".")) <= defined, (path, wanted)


def test_the_architecture_page_names_every_package():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tops = [
        each.stem for each in (ROOT / "authserver").iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()
    ]
    assert not [each for each in tops if each != "__init__" and not re.search(rf"\b{each}\b", text)]


@pytest.mark.parametrize("path", [path for path in RUNTIME if path.name != "app.py"], ids=name)
def test_nobody_imports_the_application(path):
    assert not {each for each in imported(path) if each == "app" or each.startswith("app.")}


@pytest.mark.parametrize("path", RUNTIME, ids=name)
def test_the_deprecated_jose_of_authlib_is_never_imported(path):
    assert not [each for each in imported(path) if each.startswith("authlib.jose")]


@pytest.mark.parametrize("path", RUNTIME, ids=name)
def test_time_comes_from_the_clocks(path):
    reads = {each for each in calls(path) if re.search(r"\b(utcnow|utcfromtimestamp|now\(\)|today|time\.time)\b", each)}
    naive = {each for each in calls(path) if each in {"datetime.now", "date.today", "datetime.datetime.now"}}
    if name(path) in MAY_READ_THE_CLOCK:
        assert reads == {"time.time"}
    else:
        assert not reads | naive


def test_there_is_one_newest_migration_and_each_can_be_undone():
    scripts = ScriptDirectory.from_config(_alembic())
    assert len(scripts.get_heads()) == 1
    for script in scripts.walk_revisions():
        assert script.doc.strip()
        tree = ast.parse(Path(script.path).read_text(encoding="utf-8"))
        (down,) = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "downgrade"]
        calls_something = any(isinstance(each, ast.Call) for each in ast.walk(down))
        assert calls_something, script.revision


def _alembic():
    config = Config(MIGRATIONS / "alembic.ini")
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def test_every_error_of_the_endpoints_has_its_page():
    """Every value of ``error`` in a response, and every error that is raised for one."""
    documented = {path.stem for path in (ROOT / "docs" / "errors").glob("*.md")}
    found = set()
    for path in (*(ROOT / "authserver" / "oauth").glob("*.py"), *(ROOT / "authserver" / "web").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        found |= set(
            re.findall(r'"((?:invalid|unsupported|unauthorized)_[a-z_]+|temporarily_unavailable|[a-z]+_error)"', text)
        )
        found |= {
            re.sub("(?<!^)(?=[A-Z])", "_", each).lower()
            for each in re.findall(r"\b(Invalid[A-Z]\w+|Unsupported\w+|Unauthorized\w+?)(?:Error)?\b\(", text)
        }
    found -= {"unsupported_method", "invalid_client_error"}  # reasons for the log
    assert len(found) > 5
    assert found <= documented, found - documented


def test_every_page_of_an_error_says_what_to_do():
    for path in (ROOT / "docs" / "errors").glob("*.md"):
        assert path.stem in path.read_text(encoding="utf-8").partition("\n")[0], path.name


def test_the_command_reference_is_current():
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "make docs"


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    from tests.conftest import World
    from tests.support import databases

    world = World(databases.fresh_sqlite_url(tmp_path_factory.mktemp("shell")))
    yield Shell(world.app)
    world.services.close()


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_command_helps_with_examples_and_speaks_json(shell, path):
    result = shell(*path.split()[1:], "--help")
    assert result.code == 0, result
    assert "--json" in result.out
    assert "Exit codes" in result.out
    examples = result.out.partition("Examples:")[2].partition("Exit codes")[0]
    assert path in examples


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    ).stdout
    return [ROOT / each for each in listed.split("\0") if each and (ROOT / each).is_file()]


def test_nothing_names_the_machine_it_was_made_on():
    """Neither somebody's home nor the folder this copy stands in, and no host that only one network knows."""
    own = re.escape(str(ROOT)) if len(ROOT.parts) > 2 else "(?!)"
    homes = re.compile(rf"(?<![\w.]){own}(?![\w-])|/(?:home/[a-z]|Users/[A-Za-z])\w+/|(?<![\w.])/root/\w")
    hosts = re.compile(r"https?://[\w.-]+\.(?:internal|local|corp|lan)\b", re.IGNORECASE)
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        found = homes.search(text) or hosts.search(text)
        assert found is None, (name(path), found)


def test_every_requirement_has_its_test():
    from tests.support import conformance

    assert not conformance.missing()
    assert conformance.PAGE.read_text(encoding="utf-8") == conformance.page(), "make docs"
