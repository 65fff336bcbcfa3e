"""Security findings of bandit on programs that pass their tests: deleting code must not look like securing it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from ssd_plugin.config.parsing import Within
from ssd_plugin.gating.draws import draws, fewest
from ssd_plugin.gating.gate import Gate, GateContext, Margin, Side
from ssd_plugin.gating.paired import compare, conclude
from ssd_plugin.gating.scanners import Hit, bandit_hits
from ssd_plugin.gating.verdict import Finding, GateResult, Measurement
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.metrics.inference import paired_deltas
from ssd_plugin.metrics.pass_at_k import pass_at_k
from ssd_plugin.tasks.schema import Result, Status

_INSECURE = ("HIGH", "MEDIUM")
_LEVELS = {"HIGH": "error", "MEDIUM": "warning"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`secure_margin`: tolerated loss of secure-pass@1; `k` of secure-pass@k, compared when each task has 2 k samples, and
    `secure_at_k_margin`, its own; `finding_margin`: tolerated rise of the share of answers that pass with a HIGH, and with a HIGH
    or MEDIUM, finding."""

    secure_margin: Margin = 0.035
    k: Annotated[int, Within(1, 5000)] = 5
    secure_at_k_margin: Margin = 0.06
    finding_margin: Margin = 0.04


Hits = Mapping[str, list[Hit]]


def _passes(row: Result) -> bool:
    return row.status is Status.PASS


def _insecure(row: Result, hits: Hits, severities: Sequence[str]) -> bool:
    return any(hit.severity in severities for hit in hits[row.program])


def _secure_pass(row: Result, hits: Hits) -> bool:
    return _passes(row) and not _insecure(row, hits, _INSECURE)


def _compare_findings(context: GateContext, hits: Hits, severities: Sequence[str], margin: float) -> Measurement:
    """Answers that pass with a finding, over all answers of all tasks, against as many as the baseline's rate would give.

    A candidate that passes more has more passing programs to find something in. So the baseline is put at the candidate's number
    of passes: each pass that one side has more counts as the baseline's share of passing programs with a finding.
    """
    sides = (context.baseline, context.candidate)
    before, after = (side.rates(lambda row: _passes(row) and _insecure(row, hits, severities)) for side in sides)
    passed, passes = (side.pass_rates() for side in sides)
    paired_deltas(passed, passes)  # refuses unpaired sides
    rate = sum(before.values()) / (sum(passed.values()) or 1.0)
    expected = {task: share + rate * (passes[task] - passed[task]) for task, share in before.items()}
    name = f"answers that pass with {' or '.join(severities)} findings"
    return compare(name, expected, after, margin=margin, alpha=context.alpha, less_is_better=True)


def _compare_at_k(context: GateContext, hits: Hits, settings: Settings) -> Measurement | None:
    tries = draws(context)
    if min(map(fewest, tries)) < 2 * settings.k:
        return None
    before, after = (
        {
            task: pass_at_k(len(rows), sum(_secure_pass(row, hits) for row in rows), settings.k)
            for task, rows in side.items()
        }
        for side in tries
    )
    name = f"secure-pass@{settings.k}"
    return compare(name, before, after, margin=settings.secure_at_k_margin, alpha=context.alpha, unit="share of tasks")


def check(context: GateContext, settings: Settings) -> GateResult:
    """Three paired figures, and a fourth with enough samples."""
    sides = (context.baseline, context.candidate)
    passing = [row.program for side in sides for row in side.rows if _passes(row)]
    hits = context.memo.lookup("bandit", passing, partial(bandit_hits, work=context.work))
    before, after = (side.rates(lambda row: _secure_pass(row, hits)) for side in sides)
    figures = [
        compare("secure-pass@1", before, after, margin=settings.secure_margin, alpha=context.alpha),
        _compare_findings(context, hits, ("HIGH",), settings.finding_margin),
        _compare_findings(context, hits, _INSECURE, settings.finding_margin),
    ]
    at_k = _compare_at_k(context, hits, settings)
    return conclude("static_analysis", [*figures, *([at_k] if at_k else [])], _findings(context.candidate, hits))


def _findings(side: Side, hits: Hits) -> list[Finding]:
    found = [
        Finding(
            tool="bandit", rule=hit.rule, level=_LEVELS[hit.severity], message=hit.message, line=hit.line,
            task_id=row.task_id, sample_id=row.sample_id,
        )
        for row in side.rows
        if _passes(row)
        for hit in hits[row.program]
        if hit.severity in _INSECURE
    ]  # fmt: skip
    return sorted(found, key=lambda finding: finding.level != "error")


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "secure-pass@1 and @k, and bandit findings on passing programs, against the baseline"
    return [Gate(name="static_analysis", summary=summary, needs="results, bandit", settings=Settings, check=check)]
