"""The interpreters that run the pipeline's stages: one process for each that is named, started at the first need, which forks a
process for every stage (`stages/host.py`)."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ssd_plugin import errors
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_json
from ssd_plugin.errors import ResourceError, StageCrashError
from ssd_plugin.pipeline.run_directory import RunDir


class Interpreters:
    """Runs stages of one run directory, each in a process of its own, so that its memory is gone before the next.

    The processes inherit the directory's `lock` (a descriptor): it stays held until the last of them is gone.
    """

    def __init__(self, run: RunDir, lock: int) -> None:
        """Nothing is started yet."""
        self._run, self._lock = run, lock
        self._hosts: dict[str, _Host] = {}

    def __enter__(self) -> "Interpreters":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for host in self._hosts.values():
            host.close()

    def run(self, stage: str, python: str = "", imports: Sequence[str] = ()) -> Any:
        """Run a stage in `python` (empty: this one), with modules that later stages may need as well; returns its report.

        Raises:
            SsdError: what the stage raised there.
            ResourceError: the process was killed.
            StageCrashError: it died of a bug.
        """
        report = self._run / layout.STAGE_REPORT
        report.unlink(missing_ok=True)
        python = python or sys.executable
        if python not in self._hosts:
            self._hosts[python] = _Host(python, self._run.root, self._lock)
        status = self._hosts[python].run(stage, imports)
        if status in (-signal.SIGINT, 128 + signal.SIGINT):
            raise KeyboardInterrupt
        if status < 0:
            raise ResourceError(
                f"the stage {stage} was killed by {signal.Signals(-status).name}, most often for lack of memory; "
                "lower engine.max_rows or train.seq_length and run the same command again"
            )
        if status not in (0, 3) or not report.exists():
            raise StageCrashError(
                f"the stage {stage} failed with exit status {status}; the traceback above is a bug to report"
            )
        found = read_json(report)
        report.unlink()
        if "error" in found:
            raise getattr(errors, found["error"])(found["message"])
        return found


class _Host:
    """One interpreter, as its parent sees it."""

    def __init__(self, python: str, root: Path, lock: int) -> None:
        named, self._asking = os.pipe()
        answers, descriptor = os.pipe()
        command = [python, "-P", "-m", "ssd_plugin.pipeline.stages", str(root), str(os.getpid()), str(descriptor)]
        # A library that looks for a GPU while it is imported must not open it: a process forked after that could not use it.
        environment = {**os.environ, "PYTORCH_NVML_BASED_CUDA_CHECK": "1", "PYTHONSAFEPATH": "1"}
        if not sys.stderr.isatty():  # libraries' own bars would fill a log with control characters
            environment["TQDM_DISABLE"] = "1"
        try:
            self._process = subprocess.Popen(command, stdin=named, pass_fds=(lock, descriptor), env=environment)  # noqa: S603 - our own module
        finally:
            os.close(named)
            os.close(descriptor)
        self._answers = os.fdopen(answers)

    def run(self, stage: str, imports: Sequence[str]) -> int:
        """The exit status of the stage's process, or of the host's where that is gone."""
        try:
            os.write(self._asking, f"{' '.join((stage, *imports))}\n".encode())
        except BrokenPipeError:
            return self._process.wait()
        answer = self._answers.readline()
        return int(answer) if answer else self._process.wait()

    def close(self) -> None:
        """Let it end: nobody asks any more."""
        os.close(self._asking)
        self._process.wait()
        self._answers.close()
