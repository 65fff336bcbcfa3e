"""A benchmark that another harness graded: item by item against the baseline. A policy may name several of them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssd_plugin.core.jsonl import sha256_file
from ssd_plugin.errors import SsdError
from ssd_plugin.gating.gate import BenchmarkFiles, Gate, GateContext, Margin
from ssd_plugin.gating.paired import conclude, refuse
from ssd_plugin.gating.verdict import GateResult, GateStatus, Measurement
from ssd_plugin.harnesses.pairing import Pairs, pair
from ssd_plugin.harnesses.reading import read_results
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.metrics.clusters import mean_bounds
from ssd_plugin.metrics.inference import mcnemar_exact

_NAME = "benchmarks"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`metric`: as the harness calls it. `margin`: the largest loss of it that is tolerated; `relative`: as a share of the
    baseline's. `tasks`: the harness's names of the tasks that make up the benchmark, none: all in the files. `cluster`: the
    column by which items share a passage or a problem. `required`: without results this is an error, not only too little data.
    """

    metric: str
    margin: Margin = 0.03
    relative: bool = False
    tasks: tuple[str, ...] = ()
    cluster: str = ""
    required: bool = True


def check(context: GateContext, settings: Settings) -> GateResult:
    """Non-inferiority of the metric over paired items; ERROR where the two sides cannot be compared."""
    files = context.benchmarks.get(context.instance)
    if files is None:
        status = GateStatus.ERROR if settings.required else GateStatus.INSUFFICIENT
        return refuse(_NAME, status, f"no results were given (--benchmark {context.instance}=BASELINE,CANDIDATE)")
    try:
        pairs = pair(
            read_results(files.baseline),
            read_results(files.candidate),
            metric=settings.metric,
            tasks=settings.tasks,
            cluster=settings.cluster,
        )
        figure = _figure(context.instance, pairs, settings, context.alpha)
    except SsdError as error:
        return refuse(_NAME, GateStatus.ERROR, str(error))
    if pairs.same or _are_copies(files):
        why = "both sides gave the same answers to every item, so nothing was compared; give each model's own results"
        return refuse(_NAME, GateStatus.INSUFFICIENT, why)
    return conclude(_NAME, [figure], note=_note(pairs, settings))


def _are_copies(files: BenchmarkFiles) -> bool:
    """Whether one side's files are the other's, under whatever names."""
    return sorted(map(sha256_file, files.baseline)) == sorted(map(sha256_file, files.candidate))


def _figure(name: str, pairs: Pairs, settings: Settings, alpha: float) -> Measurement:
    before, after = pairs.baseline, pairs.candidate
    level = statistics.fmean(before.values())
    margin = settings.margin * level if settings.relative else settings.margin
    deltas = {item: after[item] - value for item, value in before.items()}
    low, high = mean_bounds(deltas, pairs.clusters, 0.025)
    return Measurement(
        name=f"{name} {pairs.metric}",
        unit="share of items",
        baseline=level,
        candidate=statistics.fmean(after.values()),
        delta=statistics.fmean(deltas.values()),
        low=low,
        high=high,
        margin=margin,
        tasks=len(before),
        status=_status(pairs, deltas, settings, alpha),
    )


def _status(pairs: Pairs, deltas: Mapping[str, float], settings: Settings, alpha: float) -> GateStatus:
    """A relative margin is a share of a baseline that is itself measured, so candidate and remaining share are compared."""
    level = statistics.fmean(pairs.baseline.values())
    if settings.relative:
        kept = 1 - settings.margin
        gains = {item: pairs.candidate[item] - kept * value for item, value in pairs.baseline.items()}
        blind, floor = level <= 0, 0.0
    else:
        gains, blind, floor = dict(deltas), level <= settings.margin, -settings.margin
    lower, upper = mean_bounds(gains, pairs.clusters, alpha)
    if upper < floor:
        return GateStatus.BREACH
    return GateStatus.PASS if lower > floor and not blind else GateStatus.INSUFFICIENT


def _note(pairs: Pairs, settings: Settings) -> str:
    lost = sum(value >= 0.5 > pairs.candidate[item] for item, value in pairs.baseline.items())
    won = sum(value < 0.5 <= pairs.candidate[item] for item, value in pairs.baseline.items())
    parts = [f"{len(pairs.baseline)} items", f"{lost} lost, {won} won, McNemar p = {mcnemar_exact(won, lost):.3f}"]
    if pairs.samples > 1:
        parts.append(f"{pairs.samples} samples an item")
    if pairs.clusters:
        parts.append(f"{len(set(pairs.clusters.values()))} clusters by {settings.cluster}")
    parts.append(f"graded elsewhere by {pairs.graded_by}")
    if pairs.unstated:
        parts.append(f"not stated by its files, so not compared: {', '.join(pairs.unstated)}")
    return "; ".join(parts)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate. `min_tasks` and `min_samples` are of the samples that are graded here, so they do not apply."""
    summary = "a benchmark graded by another harness is not below the baseline's by the margin"
    needs = "results of both sides, item by item (--benchmark)"
    return [Gate(name=_NAME, summary=summary, needs=needs, settings=Settings, check=check, paired=False)]
