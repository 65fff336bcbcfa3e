"""ruff and bandit over many programs at once. Neither obeys what a program says about them (noqa, nosec, configuration)."""

import codecs
import contextlib
import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.errors import DependencyError, GateError

PYTHON = f"py{sys.version_info.major}{sys.version_info.minor}"


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One finding in one program. `severity`: HIGH, MEDIUM or LOW for bandit, "" for ruff."""

    rule: str
    line: int
    message: str
    severity: str = ""


def _write(programs: Sequence[str], folder: Path) -> list[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = [folder / f"p{number:07d}.py" for number in range(len(programs))]
    for path, program in zip(paths, programs, strict=True):
        # The byte-order mark refuses a coding cookie that would make scanners read another program than the one that ran.
        path.write_bytes(codecs.BOM_UTF8 + program.encode("utf-8", "replace"))
    return paths


def _ruff() -> str:
    beside = Path(sys.executable).with_name("ruff")
    found = str(beside) if beside.is_file() else shutil.which("ruff")
    if found is None:
        raise DependencyError("ruff is neither beside this Python nor on PATH; install it: pip install ruff")
    return found


def ruff_hits(programs: Sequence[str], select: str, work: Path) -> list[list[Hit]]:
    """What ruff says about each program under the rules `select` ("E9,F8"), in one invocation.

    Raises:
        DependencyError: ruff is not installed.
        GateError: ruff failed.
    """
    folder = work / "ruff"
    paths = _write(programs, folder)
    command = [_ruff(), "check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero", "--no-respect-gitignore"]
    command += ["--target-version", PYTHON, "--select", select, "--output-format", "json", "--quiet", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments, no shell
    if done.returncode != 0:
        raise GateError(f"ruff failed: {done.stderr.strip()[-300:]}")
    hits: dict[str, list[Hit]] = {path.name: [] for path in paths}
    for row in json.loads(done.stdout):
        rule = row["code"] or "invalid-syntax"
        hits[Path(row["filename"]).name].append(Hit(rule=rule, line=row["location"]["row"], message=row["message"]))
    return list(hits.values())


def bandit_hits(programs: Sequence[str], work: Path) -> list[list[Hit]]:
    """What bandit says about each program, in this process: a process a file costs fifty times as much.

    A program that bandit cannot scan has one HIGH hit, `not-scanned`: unseen code is not clean code.
    """
    from bandit.core.config import BanditConfig  # half a second, needed by one gate
    from bandit.core.manager import BanditManager

    paths = _write(programs, work / "bandit")
    logging.getLogger("bandit").setLevel(logging.CRITICAL)
    manager: Any = BanditManager(BanditConfig(), "file", quiet=True, ignore_nosec=True)  # type: ignore[no-untyped-call]
    manager.files_list = [str(path) for path in paths]
    with contextlib.redirect_stderr(io.StringIO()):
        manager.run_tests()
    hits: dict[str, list[Hit]] = {str(path): [] for path in paths}
    for issue in manager.results:
        hit = Hit(
            rule=issue.test_id, line=issue.lineno, message=issue.text.split("\n")[0], severity=str(issue.severity)
        )
        hits[issue.fname].append(hit)
    for name, why in manager.skipped:
        hits[name].append(
            Hit(rule="not-scanned", line=1, message=f"bandit could not scan this program: {why}", severity="HIGH")
        )
    return list(hits.values())
