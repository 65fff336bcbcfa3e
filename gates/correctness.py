"""pass@1 against the baseline, paired by task."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssd_plugin.gating.gate import Gate, GateContext, Margin
from ssd_plugin.gating.paired import compare, conclude
from ssd_plugin.gating.verdict import Finding, GateResult
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.metrics.inference import mcnemar_exact


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`margin`: the largest loss of pass@1 that is tolerated."""

    margin: Margin = 0.03


def check(context: GateContext, settings: Settings) -> GateResult:
    """Non-inferiority of pass@1; tasks that went from mostly passing to mostly failing are named."""
    before, after = context.baseline.pass_rates(), context.candidate.pass_rates()
    figure = compare("pass@1", before, after, margin=settings.margin, alpha=context.alpha)
    lost = [task for task, rate in before.items() if rate >= 0.5 > after[task]]
    won = [task for task, rate in before.items() if rate < 0.5 <= after[task]]
    findings = [
        Finding(
            tool="correctness",
            rule="task-lost",
            level="note",
            message=f"passed {before[task]:.0%} of samples, now {after[task]:.0%}",
            task_id=task,
            sample_id=context.candidate.by_task[task][0].sample_id,
        )
        for task in lost
    ]
    note = f"{len(lost)} tasks lost, {len(won)} won, McNemar p = {mcnemar_exact(len(won), len(lost)):.3f}"
    return conclude("correctness", [figure], findings, note)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "pass@1 not below the baseline's by the margin"
    return [
        Gate(
            name="correctness",
            summary=summary,
            needs="results",
            settings=Settings,
            check=check,
            power_margin="margin",
        )
    ]
