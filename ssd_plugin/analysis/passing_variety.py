"""How different the passing programs of two arms are, at equal numbers and over the temperatures of a curve."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.core.processes import starting
from ssd_plugin.errors import DataError
from ssd_plugin.metrics.inference import paired_t
from ssd_plugin.metrics.program_syntax import shape
from ssd_plugin.metrics.temperature_curve import ARMS, pairs_that_differ
from ssd_plugin.tasks.schema import Result, Status, read_results

PAIRS = (("ssd", "base"), ("control", "base"), ("ssd", "control"))

Programs = Mapping[str, Sequence[str]]


def variety_changes(measured: Sequence[Mapping[str, Mapping[float, Path]]]) -> list[JsonObject]:
    """The change of the share of pairs of passing programs that differ, for each pair of arms there is.

    `measured`: result files by arm and temperature, for each seed. A task counts where both arms passed it twice or more with the
    same seed and temperature; its changes are averaged. The interval is over tasks; None for fewer than two.
    """
    places = [(seed, arm, at) for seed, one in enumerate(measured) for arm in one for at in one[arm]]
    passing = [_passing(measured[seed][arm][at]) for seed, arm, at in places]
    normal = iter(_normalised([row.program for rows in passing for row in rows]))
    shapes: list[dict[str, dict[float, Programs]]] = [{arm: {} for arm in one} for one in measured]
    for (seed, arm, at), rows in zip(places, passing, strict=True):
        by_task: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            by_task[row.task_id].append(next(normal))
        shapes[seed][arm][at] = by_task
    return [_change(shapes, arm, against) for arm, against in PAIRS if {arm, against} <= shapes[0].keys()]


def _change(shapes: Sequence[Mapping[str, Mapping[float, Programs]]], arm: str, against: str) -> JsonObject:
    deltas: dict[str, list[float]] = defaultdict(list)
    for one in shapes:
        for temperature, before in one[against].items():
            after = one[arm][temperature]
            for task in before:
                pair = pairs_that_differ(before[task]), pairs_that_differ(after.get(task, ()))
                if pair[0] is not None and pair[1] is not None:
                    deltas[task].append(pair[1] - pair[0])
    means = [sum(found) / len(found) for found in deltas.values()]
    change = asdict(paired_t(means)) if len(means) > 1 else None
    label = f"{ARMS[arm]} - {ARMS[against]}"
    return {"arm": arm, "against": against, "label": label, "tasks": len(means), "change": change}


def _passing(results: Path) -> list[Result]:
    return [row for row in read_results(results) if row.status is Status.PASS]


def _normalised(programs: Sequence[str]) -> list[str]:
    """`shape` of each, in a process of its own: a program made to crash the parser costs that process only.

    Raises:
        DataError: the process died.
    """
    with starting([__name__]) as context, ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return list(pool.map(shape, programs, chunksize=64))
        except BrokenProcessPool as error:
            raise DataError("a program crashed the parser: the variety of passing ones cannot be measured") from error
