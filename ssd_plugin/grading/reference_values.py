"""Expected values that a benchmark leaves to its reference solution (EvalPlus' own files), found in the sandbox."""

from dataclasses import replace
from typing import Any

from ssd_plugin.errors import DataError
from ssd_plugin.grading.judge import limits_for, one_line, patient, program_of, report_lines
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.schema import FunctionCheck, Task

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
    if not check.inputs:
        raise DataError(f"task {task.task_id!r}: it has no inputs")
    limits = patient(limits_for(task, limits))
    kept, values = check, _values(worker, task, check, limits)
    if (
        values is None
    ):  # one call at a time: a result too large to be carried leaves out that input alone; the grader says so
        single = [(args, _values(worker, task, replace(check, inputs=(args,)), limits)) for args in check.inputs]
        kept = replace(check, inputs=tuple(args for args, found in single if found))
        values = [found[0] for _, found in single if found]
    if not values:
        raise DataError(f"task {task.task_id!r}: its reference gives a result that can be carried for no input")
    return replace(task, check=replace(kept, expected=tuple(values)))


def _values(worker: Worker, task: Task, check: FunctionCheck, limits: Limits) -> list[Any] | None:
    """The reference's results; None where they are too large to be carried.

    Raises:
        DataError: the reference fails for another reason.
    """
    payload = program_of(task, task.reference) | {"entry_point": check.entry_point, "inputs": check.inputs}
    report = worker.run("function", [payload], limits, report_bytes=_REPORT_BYTES)
    lines = report_lines(report.report)
    if len(lines) == len(check.inputs) + 1 and all("value" in line for line in lines[:-1]):
        return [line["value"] for line in lines[:-1]]
    if report.reason == "output" or any(str(line.get("raised")).startswith("MemoryError") for line in lines):
        return None
    why = _why(lines, len(check.inputs), report.reason)
    raise DataError(f"task {task.task_id!r}: its reference does not give a value for each input ({why})")


def _why(lines: list[dict[str, Any]], inputs: int, reason: str) -> str:
    last = lines[-1] if lines else {}
    if said := next((str(last[key]) for key in ("raised", "load", "syntax", "entry") if key in last), ""):
        return one_line(said)
    return f"{len(lines)} of {inputs} came before it was stopped{': ' + reason if reason else ''}"
