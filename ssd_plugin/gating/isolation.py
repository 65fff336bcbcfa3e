"""Runs each gate in a process of its own: a gate that raises, hangs, dies or eats the memory is an ERROR of that gate alone.

Forked where that is safe, it inherits the parsed sides at no cost; the answer comes back as JSON, never as a pickle.
"""

import dataclasses
import json
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ssd_plugin.config.parsing import build
from ssd_plugin.core.processes import starting
from ssd_plugin.errors import ConfigError
from ssd_plugin.gating.verdict import GateResult, GateStatus

_IMPORTS = ("ssd_plugin.gating.run",)  # what a host of gates imports once for all of them
_MAX_ANSWER = 1 << 28  # bytes; a thousand findings and their figures are far below


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call that returns gate results (calibration returns many), and its limits: seconds of wall time, and memory beside
    what this process holds now, for each process of the gate."""

    call: Callable[[], list[GateResult]]
    timeout_s: float
    memory_mib: int = 4096


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: results, or the failure's text; and how long it took in seconds."""

    results: tuple[GateResult, ...]
    failure: str
    seconds: float


@dataclass(kw_only=True)
class _Running:
    process: BaseProcess
    pipe: Connection
    timeout_s: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return self.started + self.timeout_s - time.monotonic()

    def stop(self) -> None:
        """Kill the gate and whatever it started (its own session), and reap it."""
        if self.process.pid is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                self.process.kill()  # it had not made its session yet, or is gone
        self.process.join()
        self.pipe.close()


def _bound_memory(mebibytes: int) -> None:
    """Let this process map `mebibytes` of writable memory more than it has now, and no process of its own more than that.

    RLIMIT_DATA and not RLIMIT_AS: address space that is reserved only, as allocators and CUDA do, costs nothing.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    held = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = held + (mebibytes << 20)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _child(job: Job, pipe: Connection, environment: Mapping[str, str]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    _bound_memory(job.memory_mib)
    os.dup2(2, 1)  # what a gate prints must not mix with the command's own output
    sys.stdout = sys.stderr
    try:
        answer: dict[str, Any] = {"results": [dataclasses.asdict(result) for result in job.call()]}
        message = json.dumps(answer, allow_nan=False)
    except MemoryError:
        message = json.dumps(
            {"failure": f"ran out of memory: it may use {job.memory_mib} MiB (memory_mib in the policy)"}
        )
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a gate (also a third party's) raises is its ERROR
        message = json.dumps({"failure": f"{type(error).__name__}: {error}"})
    pipe.send_bytes(message.encode())
    pipe.close()


def _read(running: _Running) -> Answer:
    seconds = time.monotonic() - running.started
    try:
        message = json.loads(running.pipe.recv_bytes(_MAX_ANSWER))
        if "failure" in message:
            return Answer(results=(), failure=message["failure"], seconds=seconds)
        results = tuple(build(GateResult, row, "result") for row in message["results"])
        return Answer(results=results, failure="" if results else "returned no result", seconds=seconds)
    except EOFError:
        running.process.join()
        return Answer(results=(), failure=f"its process died (exit {running.process.exitcode})", seconds=seconds)
    except OSError:
        return Answer(results=(), failure=f"answered with more than {_MAX_ANSWER >> 20} MiB", seconds=seconds)
    except ConfigError as error:
        return Answer(results=(), failure=f"returned something that is no gate result: {error}", seconds=seconds)


def _start(job: Job) -> _Running:
    sys.stdout.flush()
    with starting(_IMPORTS) as context:
        try:
            return _launch(context, job)
        except (pickle.PicklingError, AttributeError, TypeError):  # a gate that only this process can find
            return _launch(multiprocessing.get_context("fork"), job)  # a lock held for ever ends at its time limit


def _launch(context: ForkContext | ForkServerContext, job: Job) -> _Running:
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(job, send, dict(os.environ)))
    process.start()
    send.close()
    return _Running(process=process, pipe=receive, timeout_s=job.timeout_s)


def run_apart(jobs: Mapping[str, Job], done: Callable[[str, Answer], None] = lambda *_: None) -> dict[str, Answer]:
    """Run all jobs, as many at a time as there are CPUs; `done` hears of each one as it ends.

    Every job has an answer: results, or a failure text for one that raised, died, returned nothing or ran past its limit.
    """
    waiting = dict(jobs)
    running: dict[str, _Running] = {}
    answers: dict[str, Answer] = {}
    try:
        while waiting or running:
            while waiting and len(running) < len(os.sched_getaffinity(0)):
                name = next(iter(waiting))
                running[name] = _start(waiting.pop(name))
            wait([one.pipe for one in running.values()], timeout=max(0.0, min(one.left for one in running.values())))
            for name, one in list(running.items()):
                if one.pipe.poll():
                    answers[name] = _read(one)
                elif one.left <= 0:
                    failure = f"stopped after its time limit of {one.timeout_s:g} s"
                    answers[name] = Answer(results=(), failure=failure, seconds=one.timeout_s)
                else:
                    continue
                running.pop(name).stop()
                done(name, answers[name])
    finally:
        for one in running.values():
            one.stop()
    return {name: answers[name] for name in jobs}


def one_result(gate: str, answer: Answer, paired: bool) -> GateResult:
    """The gate's single result, or an ERROR that says why it is none.

    A PASS has to be earned: with a reason, at least one figure if the gate compares tasks, and no figure that did not pass.
    """

    def refused(why: str) -> GateResult:
        return GateResult(gate=gate, status=GateStatus.ERROR, reason=why)

    if answer.failure:
        return refused(answer.failure)
    if len(answer.results) != 1:
        return refused(f"returned {len(answer.results)} results, expected one")
    result = answer.results[0]
    if result.gate != gate:
        return refused(f"answered for another gate, {result.gate!r}")
    if result.status is GateStatus.MISSING or not result.reason.strip():
        return refused("answered without a reason, or that it is missing")
    if result.status is GateStatus.PASS:
        if paired and not any(figure.tasks > 0 for figure in result.measurements):
            return refused("passed without a figure over any task")
        odd = [figure.name for figure in result.measurements if figure.status is not GateStatus.PASS]
        if odd:
            return refused(f"passed although its figure {odd[0]!r} did not")
    return result
