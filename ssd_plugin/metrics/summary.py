"""The table of a run: every side's pass@k with intervals over tasks, by domain and difficulty, and the paired deltas."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssd_plugin.config.schema import DecodeConfig
from ssd_plugin.errors import DataError
from ssd_plugin.metrics.inference import Interval, paired_deltas, paired_t, share_interval, simultaneous_intervals
from ssd_plugin.metrics.pass_at_k import pass_at_k
from ssd_plugin.tasks.schema import Status, Task, iter_tasks, read_results

KS = (1, 5, 10)


@dataclass(kw_only=True)
class Tally:
    """What one side's samples came to: (samples, passes) by task, statuses and truncations over all samples."""

    tasks: dict[str, tuple[int, int]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    truncated: int = 0


def tally(results: Path, tasks: Mapping[str, Task]) -> Tally:
    """Stream a result file into counts.

    Raises:
        DataError: a task without samples, an unknown task, an infrastructure failure, or uneven sample counts.
    """
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    found = Tally()
    for result in read_results(results):
        if result.task_id not in tasks or result.status is Status.INFRA:
            raise DataError(
                f"{results}: sample {result.sample_id!r} ({result.status}) cannot be scored; grade it again"
            )
        counts[result.task_id][0] += 1
        counts[result.task_id][1] += result.status is Status.PASS
        found.statuses[result.status.value] += 1
        found.truncated += result.finish_reason == "length"
    if counts.keys() != tasks.keys() or len({n for n, _ in counts.values()}) != 1:
        raise DataError(f"{results}: not every task has the same number of samples; delete it to grade again")
    found.tasks = {task: (counts[task][0], counts[task][1]) for task in tasks}
    return found


def _pass_at(side: Tally, k: int, only: Iterable[str]) -> dict[str, float]:
    return {task: pass_at_k(*side.tasks[task], k) for task in only}


def _figures(side: Tally, ks: Iterable[int], only: list[str]) -> dict[str, Any]:
    """pass@k with intervals over the tasks `only`; a single task has a value and no interval."""
    figures: dict[str, Any] = {"tasks": len(only)}
    for k in ks:
        values = list(_pass_at(side, k, only).values())
        figures[f"pass_at_{k}"] = asdict(share_interval(values)) if len(values) > 1 else {"estimate": values[0]}
    return figures


def _grouped(tasks: Mapping[str, Task], key: Callable[[Task], str]) -> dict[str, list[str]]:
    """Task ids by a label, in the labels' order of appearance; empty when no task has one."""
    groups: dict[str, list[str]] = defaultdict(list)
    for task_id, task in tasks.items():
        if key(task):
            groups[key(task)].append(task_id)
    return dict(groups)


def _deltas(
    first: Tally, second: Tally, ks: Iterable[int], groupings: Mapping[str, Mapping[str, list[str]]]
) -> dict[str, Any]:
    """`second` minus `first`, paired by task; the groups of each grouping with intervals that hold all together."""
    everything = list(first.tasks)
    row: dict[str, Any] = {
        f"pass_at_{k}": asdict(paired_t(paired_deltas(*(_pass_at(side, k, everything) for side in (first, second)))))
        for k in ks
    }
    rates = [{task: passed / n for task, (n, passed) in side.tasks.items()} for side in (first, second)]
    deltas = dict(zip(everything, paired_deltas(*rates), strict=True))
    for name, members in groupings.items():
        groups = {group: [deltas[task] for task in tasks] for group, tasks in members.items()}
        intervals = simultaneous_intervals(groups) if groups else {}
        row[name] = {group: _bounded(interval) for group, interval in intervals.items()}
    return row


def _bounded(interval: Interval) -> dict[str, float]:
    """A difference of two rates lies within -1 and 1, whatever a t interval of one task says."""
    return asdict(interval) | {"low": max(interval.low, -1.0), "high": min(interval.high, 1.0)}


def summarise(
    tasks_file: Path, results: Mapping[str, Path], decodes: Mapping[str, DecodeConfig], labels: Mapping[str, str]
) -> dict[str, Any]:
    """The document of evaluate/summary.json; rates are fractions, intervals 95 %, over tasks.

    Raises:
        DataError, StatisticsError: a side is incomplete or the sides are not paired.
    """
    tasks = {task.task_id: task for task in iter_tasks(tasks_file)}
    sides = {side: tally(path, tasks) for side, path in results.items()}
    samples = {n for side in sides.values() for n, _ in side.tasks.values()}
    if len(samples) != 1:
        raise DataError(f"the sides have different numbers of samples a task: {sorted(samples)}")
    ks = [k for k in KS if k <= min(samples)]
    groupings = {
        "by_domain": _grouped(tasks, lambda t: t.domain),
        "by_difficulty": _grouped(tasks, lambda t: t.difficulty),
    }
    document: dict[str, Any] = {"tasks": len(tasks), "samples_per_task": min(samples), "sides": {}, "deltas": {}}
    for name, side in sides.items():
        document["sides"][name] = {
            "label": labels[name],
            "decode": asdict(decodes[name]),
            "statuses": dict(side.statuses),
            "truncated": side.truncated / side.statuses.total(),
            **_figures(side, ks, list(tasks)),
            **{
                grouping: {group: _figures(side, ks, only) for group, only in groups.items()}
                for grouping, groups in groupings.items()
            },
        }
    for first, second in itertools.combinations(sides, 2):
        document["deltas"][f"{second}-{first}"] = _deltas(sides[first], sides[second], ks, groupings)
    return document
