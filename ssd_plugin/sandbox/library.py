"""What a sandboxed interpreter may read: Python's standard library, the system's shared libraries, packages."""

import atexit
import functools
import os
import pwd
import shutil
import stat
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssd_plugin.core.workplace import SANDBOX, Workplace
from ssd_plugin.errors import SandboxError
from ssd_plugin.sandbox import packages
from ssd_plugin.sandbox.limits import MIB, Limits

# A fixed hash seed makes the order of sets the same on every run; one thread for a linear-algebra library, because
# the zygote must be single-threaded to fork; symbols bound at start, because each child would bind them anew;
# one arena, because each thread would reserve 64 MiB of address space for its own.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LD_BIND_NOW": "1",
    "MALLOC_ARENA_MAX": "1",
}
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_SKIPPED = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "ensurepip", "lib2to3", "tkinter", "config-*"
)


def prepare(place: Path, tier: str, limits: Limits, imports: Sequence[str], modules: Sequence[str]) -> dict[str, Any]:
    """Make a worker's directories below `place` and return the zygote's setup message. `imports` are loaded at once, and
    of `modules` those that are installed here can be.

    Raises:
        SandboxError: too little disk space for the scratch directory.
    """
    free = shutil.disk_usage(place).free // MIB
    if free < limits.scratch_mib:
        raise SandboxError(
            f"{place.parent} has {free} MiB left, programs may use {limits.scratch_mib}; free some or set TMPDIR"
        )
    for name in ("root", "scratch", "site"):
        (place / name).mkdir(mode=0o755)
    if os.geteuid() != 0:
        (place / "scratch").chmod(0o700)
    base = {"installed_base": sys.base_prefix, "platbase": sys.base_exec_prefix, "base": sys.base_prefix}
    stdlib = [Path(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")]
    moved: list[str] = []
    if os.geteuid() == 0 and tier != "namespaces" and not _readable_by_others(stdlib[0]):
        copy = _public_copy(stdlib[0])
        moved = [str(stdlib[0]), str(copy)]
        stdlib = [copy, copy]
    binds = _link_packages(place / "site", modules)
    readable = dict.fromkeys(str(path) for path in (*stdlib, *map(Path, _SYSTEM)) if path.exists())
    return {
        "tier": tier,
        "root": str(place / "root"),
        "scratch": str(place / "scratch"),
        "site": [str(place / "site")],
        "library": list(dict.fromkeys([str(stdlib[0]), str(stdlib[1]), str(stdlib[1] / "lib-dynload")])),
        "moved": moved,
        "readable": list(readable),
        "binds": binds,
        "imports": list(imports),
        "limits": limits.to_json(),
        "threads": _tasks_of_user() + limits.threads,
    }


def _readable_by_others(path: Path) -> bool:
    """Whether a user with no rights of its own can walk to `path` and read it."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


@functools.cache
def _public_copy(stdlib: Path) -> Path:
    """A copy of the library that any user can read, for as long as this process lives."""
    place = Workplace(SANDBOX)
    atexit.register(place.remove)
    shutil.copytree(stdlib, place.path / "lib", ignore=_SKIPPED, symlinks=True)
    return place.path / "lib"


def _link_packages(site: Path, modules: Sequence[str]) -> dict[str, str]:
    """Link the packages (and the shared libraries beside them) into `site`; returns link -> file or directory."""
    binds: dict[str, str] = {}
    for source in packages.entries(modules):
        if not (site / source.name).exists():
            (site / source.name).symlink_to(source)
            binds[str(site / source.name)] = str(source)
    return binds


def _tasks_of_user() -> int:
    """How many tasks the user that programs run as has now: Linux counts threads by user, not by process."""
    user = os.geteuid() or pwd.getpwnam("nobody").pw_uid
    tasks = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if process.stat().st_uid == user:
                tasks += sum(1 for _ in (process / "task").iterdir())
        except OSError:
            continue  # it ended meanwhile
    return tasks
