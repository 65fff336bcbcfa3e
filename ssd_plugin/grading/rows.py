"""What binds a graded row to its sample: the program that the grader takes out of the completion."""

from pathlib import Path

from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.errors import DataError
from ssd_plugin.grading.extract import build_program
from ssd_plugin.tasks.schema import Result, Sample, Task


def program_of(sample: Sample | Result, task: Task) -> str | None:
    """The program to run for a sample, or None when its completion holds no code."""
    entry_point = getattr(task.check, "entry_point", "")
    return build_program(sample.completion, prompt=task.prompt, entry_point=entry_point, thinking=sample.thinking)


def is_of_its_completion(row: Result, task: Task) -> bool:
    """Whether the row's grade is of the program that its own completion holds."""
    return row.program == (program_of(row, task) or "")


def require_own(row: JsonObject, sample: Sample, task: Task, out: Path) -> None:
    """Refuse a row for `out` that is not the grade of this very sample and program.

    Raises:
        DataError: names the sample.
    """
    claimed = row.get("task_id"), row.get("sample_id"), row.get("completion"), row.get("program")
    if claimed != (sample.task_id, sample.sample_id, sample.completion, program_of(sample, task) or ""):
        raise DataError(
            f"{out}: its row for sample {sample.sample_id!r} of task {sample.task_id!r} is not about that sample; grade again"
        )
