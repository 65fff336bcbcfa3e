"""An interpreter that runs stages, each in a process forked from it: what one stage had to import is there for the next.

It never computes anything itself, so at a fork there is neither a thread of a library's pool nor a device in use.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from ssd_plugin.config.overrides import config_from_json
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import write_json
from ssd_plugin.core.parent_process import die_with
from ssd_plugin.core.stage_timing import account
from ssd_plugin.errors import ResourceError, SsdError
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import stage_module

PR_SET_NAME = 15
INTERRUPTED = 130  # a shell's exit status for Ctrl-C


def serve(run: RunDir, asked: Iterable[str], answers: IO[str]) -> int:
    """Run the stages that `asked` names, one per line (`NAME MODULE...`: modules to import before the fork), until it ends;
    answer each with a line, the exit status of its process (a signal's number, negated). Returns this process's own status.
    """
    host = os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage; this process ends when nobody asks any more
    for line in asked:
        name, *modules = line.split()
        _import_ahead(modules)
        gc.freeze()  # the stage's collector need not visit what was imported, nor touch those pages
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            answers.close()
            die_with(host)
            return _as_stage(run, name)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    return 0


def _import_ahead(modules: Sequence[str]) -> None:
    gc.disable()  # nothing of what is imported is garbage, and looking for it takes a fifth of the time
    for module in modules:
        with contextlib.suppress(ImportError):  # the stage itself says what is missing, and what to do
            importlib.import_module(module)
    gc.enable()


def _as_stage(run: RunDir, name: str) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # the stages to come are named there
    os.close(nothing)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, f"ssd {name}".encode())  # for ps and top
    try:
        return _run_stage(run, name)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run_stage(run: RunDir, name: str) -> int:
    """Run the stage; 0 and its report, or 3 and its error, in the run directory."""
    answer: dict[str, Any]
    try:
        stage = importlib.import_module(stage_module(name))
        report = stage.run(run, config_from_json(run.read_config()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"summary": report.summary, "facts": report.facts, "peak_memory_mib": round(peak), "spent": account()}
    except MemoryError:
        answer = {
            "error": ResourceError.__name__,
            "message": f"out of memory in the stage {name}; lower engine.max_rows",
        }
    except SsdError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    write_json(run / layout.STAGE_REPORT, answer)
    return 3 if "error" in answer else 0


def main(directory: str, parent: str, answers: str) -> int:
    """The command line: a run directory, the parent's process id, a descriptor to answer on."""
    die_with(int(parent))
    with os.fdopen(int(answers), "w") as out:
        return serve(RunDir(Path(directory)), sys.stdin, out)
