"""Expected values that a benchmark leaves to its reference solution (EvalPlus' own files), found in the sandbox."""

from dataclasses import replace
from typing import Any

from ssd_plugin.errors import DataError
from ssd_plugin.evaluation.judge import limits_for, one_line, program_of, report_lines
from ssd_plugin.records import FunctionCheck, Task
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker

_PATIENCE = 10.0
_REPORT_BYTES = 1 << 28


def lacks_expected(task: Task) -> bool:
    """Whether the task has inputs whose expected values its reference must give."""
    return isinstance(task.check, FunctionCheck) and not task.check.expected


def fill(task: Task, limits: Limits, worker: Worker) -> Task:
    """The task with the reference's results as its expected values.

    Raises:
        DataError: the reference does not give a value for each input, and at least one (says where it stopped, and how).
        SandboxError: the sandbox failed.
    """
    check = task.check
    if not isinstance(check, FunctionCheck):
        raise DataError(f"task {task.task_id!r}: only function tasks can be completed from their reference")
    limits = limits_for(task, limits)
    patient = replace(limits, cpu_seconds=_PATIENCE * limits.cpu_seconds, wall_seconds=_PATIENCE * limits.wall_seconds)
    payload = program_of(task, task.reference) | {"entry_point": check.entry_point, "inputs": check.inputs}
    report = worker.run("function", [payload], patient, report_bytes=_REPORT_BYTES)
    lines = report_lines(report.report)
    values = [line["value"] for line in lines[:-1] if "value" in line]
    if not values or len(lines) != len(check.inputs) + 1 or len(values) != len(check.inputs):
        why = _why(lines, len(check.inputs), report.reason)
        raise DataError(f"task {task.task_id!r}: its reference does not give a value for each input ({why})")
    return replace(task, check=replace(check, expected=tuple(values)))


def _why(lines: list[dict[str, Any]], inputs: int, reason: str) -> str:
    if not inputs:
        return "it has no inputs"
    last = lines[-1] if lines else {}
    if said := next((str(last[key]) for key in ("raised", "load", "syntax", "entry") if key in last), ""):
        return one_line(said)
    if reason == "output":
        return f"its results are larger than {_REPORT_BYTES >> 20} MiB"
    return f"{len(lines)} of {inputs} came before it was stopped{': ' + reason if reason else ''}"
