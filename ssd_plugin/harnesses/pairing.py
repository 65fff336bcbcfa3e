"""Pairs the items of two sides, where both were graded by the same harness under the same conditions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.results import VERSION, Item, TaskResults

_Items = Mapping[str, tuple[TaskResults, Item]]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Scores within [0, 1] by item, on the same items. `clusters`: what items belong together, empty where each stands alone.
    `graded_by`: the harnesses with their versions, in words; `unstated`: conditions that the files do not say; `same`: every
    item of the candidate's is the baseline's, in what it answered as well as in its scores."""

    metric: str
    baseline: Mapping[str, float]
    candidate: Mapping[str, float]
    clusters: Mapping[str, str]
    samples: int
    graded_by: str
    unstated: tuple[str, ...]
    same: bool


def pair(
    baseline: Sequence[TaskResults],
    candidate: Sequence[TaskResults],
    *,
    metric: str,
    tasks: Sequence[str] = (),
    cluster: str = "",
) -> Pairs:
    """The two sides' scores by `metric`, of these `tasks` (none: of all that there are), clustered by the column `cluster`.

    Raises:
        DataError: a task or the metric is missing, the sides were graded under other conditions or on other items, or a score
            is not finite or outside [0, 1]; names the first.
    """
    before, after = _chosen(baseline, tasks), _chosen(candidate, tasks)
    if before.keys() != after.keys():
        only = sorted(before.keys() ^ after.keys())[0]
        raise DataError(f"task {only!r} is on one side only; run the same tasks on both")
    for task, one in before.items():
        _require_same_conditions(one, after[task])
    left, right = _items(before), _items(after)
    _require_same_items(left, right)
    return Pairs(
        metric=metric,
        baseline=_scores(left, metric),
        candidate=_scores(right, metric),
        clusters=_clusters(left, right, cluster) if cluster else {},
        samples=min(item.samples for items in (left, right) for _, item in items.values()),
        graded_by=_graded_by(before.values()),
        unstated=tuple(
            sorted({name for one in before.values() for name, value in one.conditions.items() if not value})
        ),
        same=all(item.answer and (item.answer, item.scores) == _like(right[key]) for key, (_, item) in left.items()),
    )


def _like(found: tuple[TaskResults, Item]) -> tuple[str, Mapping[str, float]]:
    return found[1].answer, found[1].scores


def _chosen(side: Sequence[TaskResults], tasks: Sequence[str]) -> dict[str, TaskResults]:
    found: dict[str, TaskResults] = {}
    for one in side:
        if tasks and one.task not in tasks:
            continue
        if one.task in found:
            raise DataError(
                f"{one.where} and {found[one.task].where} both hold results of {one.task!r}; give those of one run"
            )
        found[one.task] = one
    if missing := [task for task in tasks if task not in found]:
        raise DataError(f"{side[0].where}: holds no results of {missing[0]!r}; it has {_few(one.task for one in side)}")
    return found


def _few(names: Iterable[str]) -> str:
    known = sorted(set(names))
    return ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")


def _require_same_conditions(baseline: TaskResults, candidate: TaskResults) -> None:
    if baseline.harness != candidate.harness:
        raise DataError(
            f"{baseline.task}: the baseline was graded by {baseline.harness}, the candidate by {candidate.harness}; "
            "grade both by the same"
        )
    for name in sorted(baseline.conditions.keys() | candidate.conditions.keys()):
        before, after = baseline.conditions.get(name, ""), candidate.conditions.get(name, "")
        if before != after:
            raise DataError(
                f"{baseline.task}: the {name} is {before or 'not stated'!s:.200} for the baseline and "
                f"{after or 'not stated'!s:.200} for the candidate; run both alike"
            )


def _items(tasks: Mapping[str, TaskResults]) -> _Items:
    return {f"{task}/{name}": (one, item) for task, one in tasks.items() for name, item in one.items.items()}


def _require_same_items(baseline: _Items, candidate: _Items) -> None:
    for side, items, other in (("baseline", baseline, candidate), ("candidate", candidate, baseline)):
        if only := sorted(items.keys() - other.keys()):
            raise DataError(
                f"{len(only)} items are on the {side}'s side only, such as {only[0]!r:.120}; run the same on both"
            )
    for key, (_, item) in baseline.items():
        if item.prompt != candidate[key][1].prompt:
            raise DataError(
                f"item {key!r:.120} was asked with another prompt on each side (their digests differ); use the same task files, "
                "chat template and few-shot examples"
            )


def _scores(items: _Items, metric: str) -> dict[str, float]:
    scores = {}
    for key, (task, item) in items.items():
        value = item.scores[_metric(metric, task, item)]
        if not math.isfinite(value):
            raise DataError(f"{task.where}: {metric} of item {key!r:.120} is {value}; grade it again")
        if not 0 <= value <= 1:
            raise DataError(
                f"{task.where}: {metric} of item {key!r:.120} is {value:g}; a benchmark is judged by a figure between 0 and 1"
            )
        scores[key] = value
    return scores


def _metric(metric: str, task: TaskResults, item: Item) -> str:
    """The harness's whole name of the metric: lm-evaluation-harness has `exact_match,strict-match`, whose filter may be left
    out where there is one only."""
    if metric in item.scores:
        return metric
    like = [name for name in item.scores if name.partition(",")[0] == metric]
    if len(like) != 1:
        raise DataError(f"{task.where}: has no metric {metric!r}; it has {_few(item.scores) or 'none'}")
    return like[0]


def _clusters(baseline: _Items, candidate: _Items, column: str) -> dict[str, str]:
    clusters = {}
    for key, (task, item) in baseline.items():
        if column not in item.columns:
            raise DataError(
                f"{task.where}: item {key!r:.120} has no column {column!r} to cluster by; it has {_few(item.columns) or 'none'}"
            )
        if candidate[key][1].columns.get(column) != item.columns[column]:
            raise DataError(f"item {key!r:.120} has another {column!r} on each side")
        clusters[key] = item.columns[column]
    return clusters


def _graded_by(tasks: Iterable[TaskResults]) -> str:
    names = {f"{one.harness} {one.conditions[VERSION] or '(its files state no version)'}" for one in tasks}
    return " and ".join(sorted(names))
