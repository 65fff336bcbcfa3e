"""pass@k by the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, eq. 1), with intervals over tasks."""

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ssd_plugin.errors import DataError
from ssd_plugin.metrics.inference import Interval, share_interval
from ssd_plugin.tasks.schema import Result, Status, Task


@dataclass(frozen=True, kw_only=True)
class PassAtK:
    """pass@k of a group of tasks; `interval` is None when one task alone gives no spread to resample."""

    k: int
    estimate: float
    interval: Interval | None
    tasks: int


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of `k` samples drawn without replacement from `n`, of which `c` pass, passes.

    Raises:
        DataError: fewer samples than k, or counts that make no sense.
    """
    if not 0 <= c <= n or k < 1:
        raise DataError(f"pass@{k}: {c} passes of {n} samples make no sense")
    if n < k:
        raise DataError(f"pass@{k} needs {k} samples a task or more; a task has {n}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_at_k_by_task(results: Iterable[Result], k: int) -> dict[str, float]:
    """pass@k of each task, in order of first appearance.

    Warns when a task has fewer than 2k samples: the estimate is unbiased, but its variance is large.

    Raises:
        DataError: no results, or a task with fewer than `k` samples (named).
    """
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for result in results:
        counts[result.task_id][0] += 1
        counts[result.task_id][1] += result.status is Status.PASS
    if not counts:
        raise DataError(f"pass@{k}: there are no results")
    few = min(counts, key=lambda task: counts[task][0])
    if counts[few][0] < k:
        raise DataError(f"pass@{k} needs {k} samples a task or more; task {few!r} has {counts[few][0]}")
    if counts[few][0] < 2 * k:
        message = f"pass@{k} from {counts[few][0]} samples a task: take {2 * k} or more for a steady estimate"
        warnings.warn(message, stacklevel=2)
    return {task: pass_at_k(n, c, k) for task, (n, c) in counts.items()}


def summarise_pass_at_k(
    by_task: Mapping[str, float],
    tasks: Iterable[Task],
    k: int,
    group: Callable[[Task], str] = lambda _: "all",
    *,
    confidence: float = 0.95,
) -> dict[str, PassAtK]:
    """Mean pass@k of each group of tasks (`lambda t: t.domain`, `lambda t: t.difficulty`), with intervals over tasks.

    Raises:
        DataError: a value belongs to no task.
    """
    groups = {task.task_id: group(task) for task in tasks}
    values: dict[str, list[float]] = defaultdict(list)
    for task_id, value in by_task.items():
        if task_id not in groups:
            raise DataError(f"pass@{k}: unknown task_id {task_id!r}")
        values[groups[task_id]].append(value)
    return {name: _mean(numbers, k, confidence) for name, numbers in sorted(values.items())}


def _mean(numbers: list[float], k: int, confidence: float) -> PassAtK:
    interval = share_interval(numbers, confidence=confidence) if len(numbers) > 1 else None
    return PassAtK(k=k, estimate=sum(numbers) / len(numbers), interval=interval, tasks=len(numbers))
