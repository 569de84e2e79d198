"""What the kernel knows: cores, processor time, memory, and how busy the machine is."""

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("granian", "flask", "authlib", "sqlalchemy", "cryptography", "pysqlite3", "psycopg")


def cores() -> tuple[int, int]:
    """The core servers run on and the core the load runs on; the same one where there is only one."""
    allowed = sorted(_ALLOWED)
    return allowed[0], allowed[min(1, len(allowed) - 1)]


_ALLOWED = frozenset(os.sched_getaffinity(0))


@contextmanager
def only_on(*these: int) -> Iterator[None]:
    """Run on these cores, and start there whatever is started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, these)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def busy_seconds(root: int) -> float:
    """The processor time a process and its living descendants have used."""
    return sum((int(fields[11]) + int(fields[12])) / _TICKS for pid in tree(root) if (fields := _stat(pid)))


def resident_mb(pid: int) -> float:
    """Resident memory of one process, shared pages included."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def pss_mb(pid: int) -> float:
    """Memory of one process, what it shares with others in equal parts."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:"))


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` behind the name: state, parent, ...; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def described() -> dict[str, str]:
    """Machine and versions, for whoever compares two runs."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": f"{len(_ALLOWED)} cores, {model}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def load_average() -> float:
    """Runnable processes of the last minute; more than the cores, and figures mean little."""
    return os.getloadavg()[0]
