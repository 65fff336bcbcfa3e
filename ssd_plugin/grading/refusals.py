"""What is refused before anything is graded: samples of unknown tasks, values that are none, a place that cannot be written."""

import functools
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ssd_plugin.core.files import refuse_special
from ssd_plugin.core.values import decode
from ssd_plugin.errors import DataError
from ssd_plugin.grading.result_files import sidecar
from ssd_plugin.tasks.schema import FunctionCheck, Task, read_samples


def make_place(out: Path) -> None:
    """Refuse a result file that could not be written, before anything is graded."""
    if out.is_dir():
        raise DataError(f"{out}: is a directory; name a file in it")
    refuse_special(out)
    refuse_special(sidecar(out))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from error
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise DataError(f"{out}: cannot be written (no right to write in {out.parent})")


def validate(by_id: Mapping[str, Task], tasks: Path, samples: Path) -> Counter[str]:
    """Read everything once before anything is run; returns how many samples there are, by task id."""
    seen, total = set[tuple[str, str]](), Counter[str]()
    for sample in read_samples(samples):
        if sample.task_id not in by_id:
            raise DataError(
                f"{samples}: sample {sample.sample_id!r} is for task {sample.task_id!r}, which {tasks} lacks"
            )
        if (sample.task_id, sample.sample_id) in seen:
            raise DataError(f"{samples}: sample_id {sample.sample_id!r} of task {sample.task_id!r} appears twice")
        seen.add((sample.task_id, sample.sample_id))
        total[sample.task_id] += 1
    if not total:
        raise DataError(f"{samples}: holds no samples")
    return total


def check_forms(task: Task, tasks: object) -> None:
    """Refuse inputs and expected values that are not the JSON form of any value: no program could be judged by them."""
    if isinstance(task.check, FunctionCheck):
        try:
            decode([*task.check.inputs, *task.check.expected])
        except (ValueError, TypeError, LookupError, RecursionError, AttributeError, OverflowError) as error:
            raise DataError(
                f"{tasks}: task {task.task_id!r} has inputs or expected values that are no value ({error})"
            ) from error


def check_prelude(task: Task, tasks: object) -> None:
    """Refuse a prelude that does not compile: each program would be said to have the syntax error."""
    try:
        _compile(task.prelude)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{tasks}: task {task.task_id!r} has a prelude that does not compile ({error})") from error


@functools.lru_cache(maxsize=8)  # a benchmark's tasks share theirs
def _compile(prelude: str) -> None:
    compile(prelude, "<prelude>", "exec", dont_inherit=True)
