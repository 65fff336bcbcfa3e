"""Turns paired figures into a gate's result. The task is the unit; every rule that could fail open is closed here, once."""

import math
import statistics
from collections.abc import Mapping, Sequence

from ssd_plugin.gating.gate import Side
from ssd_plugin.gating.verdict import Finding, GateResult, GateStatus, Measurement, PowerRow
from ssd_plugin.metrics.inference import noninferiority, paired_deltas, paired_t
from ssd_plugin.metrics.power import minimum_detectable, noninferiority_power, same_model_sd, tasks_needed
from ssd_plugin.tasks.schema import Status

MAX_FINDINGS = 1000  # a gate names the first thousand places; its figures count all of them
_SEVERITY = (GateStatus.PASS, GateStatus.INSUFFICIENT, GateStatus.BREACH, GateStatus.ERROR, GateStatus.MISSING)


def worst(statuses: Sequence[GateStatus]) -> GateStatus:
    """The worst status; INSUFFICIENT when there is none, since nothing measured is nothing shown."""
    return max(statuses, key=_SEVERITY.index, default=GateStatus.INSUFFICIENT)


def compare(
    name: str,
    baseline: Mapping[str, float],
    candidate: Mapping[str, float],
    *,
    margin: float,
    alpha: float,
    less_is_better: bool = False,
    unit: str = "share of samples",
) -> Measurement:
    """Non-inferiority of per-task figures in [0, 1]; `delta` is candidate minus baseline.

    A figure of which more is better and of which the baseline has less than the margin cannot show the loss: INSUFFICIENT.

    Raises:
        StatisticsError: the sides hold different tasks, or a figure is not finite.
    """
    deltas = paired_deltas(baseline, candidate)
    gains = [-delta for delta in deltas] if less_is_better else deltas
    interval = paired_t(deltas, confidence=0.95)
    status = GateStatus(noninferiority(gains, margin=margin, alpha=alpha).outcome)
    level = statistics.fmean(baseline.values())
    if not less_is_better and level <= margin:
        status = GateStatus.INSUFFICIENT
    return Measurement(
        name=name,
        unit=unit,
        baseline=level,
        candidate=statistics.fmean(candidate.values()),
        delta=interval.estimate,
        low=interval.low,
        high=interval.high,
        margin=margin,
        tasks=len(deltas),
        status=status,
        less_is_better=less_is_better,
    )


def unmeasured(name: str, unit: str = "share of samples") -> Measurement:
    """A figure that the data cannot give."""
    return Measurement(
        name=name, unit=unit, baseline=None, candidate=None, delta=None, low=None, high=None, margin=None, tasks=0,
        status=GateStatus.INSUFFICIENT,
    )  # fmt: skip


def figure_text(figure: Measurement) -> str:
    """One figure in words."""
    if figure.candidate is None:
        return f"{figure.name} not measured"
    text = f"{figure.name} {figure.candidate:.3f}"
    if figure.baseline is not None:
        text = f"{figure.name} {figure.baseline:.3f} -> {figure.candidate:.3f}"
    if figure.delta is not None:
        text += f" ({figure.delta:+.3f}"
        if figure.low is not None and figure.high is not None:
            text += f" [{figure.low:+.3f}, {figure.high:+.3f}]"
        text += f", margin {figure.margin:.3g})" if figure.margin is not None else ")"
    return text


def _below_margin(figure: Measurement) -> bool:
    """Whether the baseline has no more of the figure than the margin, so that losing all of it would be no breach."""
    if figure.less_is_better or figure.baseline is None or figure.margin is None:
        return False
    return figure.baseline <= figure.margin


def _cause(insufficient: Sequence[Measurement]) -> str:
    """Why nothing could be told, where that is the margin's fault, in words; said once for all figures."""
    blind = sum(map(_below_margin, insufficient))
    if not blind:
        return ""
    where = f" in {blind} of them" if len(insufficient) > 1 else ""
    return (
        f"the baseline is not above the margin{where}, so no loss could show; set a smaller margin or give easier tasks"
    )


SAID_IN_FULL = 3
"""Figures without an answer, of which a gate may have one a domain, that its reason names one by one; all are in the evidence."""


def conclude(
    gate: str, measurements: Sequence[Measurement], findings: Sequence[Finding] = (), note: str = ""
) -> GateResult:
    """The gate's result: the worst of its figures, with the figures of that status as the reason: every one that is a breach,
    and of many others the first."""
    status = worst([figure.status for figure in measurements])
    named = [figure for figure in measurements if figure.status is status]
    reason = "; ".join(map(figure_text, named)) or "nothing was measured"
    if status is GateStatus.PASS and len(named) > 1:
        reason = f"{len(named)} figures within their margins, first {figure_text(named[0])}"
    if status is GateStatus.INSUFFICIENT and len(named) > SAID_IN_FULL:
        reason = f"{len(named)} figures that tell nothing, first {figure_text(named[0])}"
    cause = _cause(named) if status is GateStatus.INSUFFICIENT else ""
    return GateResult(
        gate=gate,
        status=status,
        reason="; ".join(part for part in (reason, cause, note) if part),
        measurements=tuple(measurements),
        findings=tuple(findings[:MAX_FINDINGS]),
    )


def refuse(gate: str, status: GateStatus, reason: str, findings: Sequence[Finding] = ()) -> GateResult:
    """A result without figures: why there are none."""
    return GateResult(gate=gate, status=status, reason=reason, findings=tuple(findings[:MAX_FINDINGS]))


def _same_model_sd(side: Side) -> float:
    samples = side.samples_per_task
    counts = [sum(row.status is Status.PASS for row in rows[:samples]) for rows in side.by_task.values()]
    if samples >= 2:
        return same_model_sd(counts, samples)
    rate = statistics.fmean(counts)
    return math.sqrt(2 * rate * (1 - rate))  # one sample cannot tell hard tasks from chance: the upper bound


def pass_rate_power(gate: str, baseline: Side, margin: float, alpha: float) -> list[PowerRow]:
    """What a pass@1 test with this margin can see on this baseline; nothing on fewer than two tasks.

    A baseline that is not above the margin cannot pass (`compare`), however many tasks there are.
    """
    tasks = len(baseline.by_task)
    if tasks < 2:
        return []
    sd = _same_model_sd(baseline)
    possible = statistics.fmean(baseline.pass_rates().values()) > margin
    return [
        PowerRow(
            gate=gate,
            measure="pass@1",
            tasks=tasks,
            samples=baseline.samples_per_task,
            margin=margin,
            power=noninferiority_power(sd=sd, tasks=tasks, margin=margin, alpha=alpha) if possible else 0.0,
            tasks_needed=tasks_needed(sd=sd, margin=margin, alpha=alpha) if possible else 0,
            detectable=minimum_detectable(sd=sd, tasks=tasks, alpha=alpha),
        )
    ]
