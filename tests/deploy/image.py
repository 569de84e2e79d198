"""Builds the image without an engine, and runs it: the Dockerfile's own steps in a chroot over a root file system.

A program, started by ``unshare`` in namespaces of its own, so nothing it mounts outlives it::

    unshare --mount python -m tests.deploy.image build TREE [BASE]
    unshare --mount --pid --fork python -m tests.deploy.image run TREE VOLUME [BASE] -- NAME=VALUE ... WORD ...

``TREE`` is an empty folder that keeps what is built, ``BASE`` the root file system that stands for the base image
(default: this machine's). The base image itself is not fetched, and image layers and metadata are not written.
Needs root, and a kernel that lets it mount overlays.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.recipe import context, stages

ROOT = Path(__file__).resolve().parents[2]
UID = 10001
_PRIVATE, _NO_NEW_PRIVS = "private", 38


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True, timeout=30)


def base_of(words):
    return Path(words[0]) if words else Path("/")


def stand(base, upper, merged, *options):
    """Mount ``upper`` over ``base`` with what a container gets from its engine."""
    work = upper.with_name(upper.name + "-work")
    for folder in (upper, work, merged):
        folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={upper},workdir={work}", merged)
    mount("--bind", "/dev", merged / "dev")
    mount("-t", "proc", "proc", merged / "proc")
    mount("-t", "tmpfs", "-o", "mode=1777,size=64m", "tmpfs", merged / "tmp")


def build(tree, base):
    """Carry out every instruction of the Dockerfile that makes files."""
    found = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    files = list(context(ROOT, (ROOT / ".dockerignore").read_text(encoding="utf-8")))
    made = {}
    for number, stage in enumerate(found):
        merged = made[stage.name] = tree / f"merged-{number}"
        stand(base, tree / f"upper-{number}", merged)
        programs = _python(base, merged)
        for word, text in stage.steps:
            if word == "COPY":
                _copy(text, files, merged, made)
            elif word == "RUN":
                _inside(merged, text, programs)
    (tree / "last").write_text(f"upper-{number}", encoding="ascii")


def _python(base, merged):
    """Make the base a base image: ``python`` with pip, which every account may run; the folder it is in."""
    if base == Path("/"):
        program = Path(sys.executable).resolve()
        for folder in program.parents:
            inside = merged / folder.relative_to("/")
            inside.chmod(inside.stat().st_mode | 0o011)
        return program.parent
    for path in ("etc/resolv.conf", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt"):
        with contextlib.suppress(OSError):
            (merged / path).write_bytes(Path("/", path).read_bytes())
    _inside(merged, "/usr/bin/python3 -m venv /usr/local/base")
    return Path("/usr/local/base/bin")


def _copy(text, files, merged, made):
    words = text.split()
    target = merged / words[-1].lstrip("/")
    if words[0].startswith("--from="):
        shutil.copytree(made[words[0].removeprefix("--from=")] / words[1].lstrip("/"), target, symlinks=True)
        return
    for source in map(Path, words[:-1]):
        inside = [path for path in files if path == source or source in path.parents]
        if not inside:
            msg = f"COPY {source}: .dockerignore leaves nothing of it"
            raise ValueError(msg)
        for path in inside:
            # One file goes by its name into a folder; a folder's content goes into the target itself.
            if path != source:
                to = target / path.relative_to(source)
            else:
                to = target / path.name if words[-1].endswith("/") else target
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, to)


def _inside(merged, command, programs="/usr/local/bin"):
    """One RUN."""
    path = f"{programs}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environ = {**os.environ, "PATH": path, "HOME": "/root"}
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_FIND_LINKS"):
        environ.pop(name, None)
    subprocess.run(["chroot", merged, "/bin/sh", "-c", command], check=True, env=environ, cwd="/", timeout=300)


def run(tree, volume, base, words):
    """Become the image's process: PID 1, its user, no privilege, a read-only root."""
    last = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1]
    merged = tree / "run"
    stand(base, tree / (tree / "last").read_text(encoding="ascii"), merged)
    inside = merged / last.last("VOLUME").lstrip("/")
    mount("--bind", volume, inside)
    mount("-o", "remount,ro", merged)
    os.chroot(merged)
    os.chdir(last.last("WORKDIR"))
    environ = last.environ()
    while words and "=" in words[0]:
        name, _, environ[name] = words.pop(0).partition("=")
    uid, gid = map(int, last.last("USER").split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        sys.exit("PR_SET_NO_NEW_PRIVS was refused")
    command = words or last.command()
    os.execvpe(command[0], command, environ)  # noqa: S606 - this is how an engine starts it too


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    if what == "build":
        build(Path(folder), base_of(rest))
    else:
        cut = rest.index("--")
        run(Path(folder), Path(rest[0]), base_of(rest[1:cut]), rest[cut + 1 :])
