"""Signs of a model that repeats itself: less found in k tries, right answers all alike, damaged or cut-off answers."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from ssd_plugin.config.parsing import Within
from ssd_plugin.gating.draws import Draws, draws, fewest
from ssd_plugin.gating.gate import Gate, GateContext, Margin
from ssd_plugin.gating.paired import compare, conclude, unmeasured
from ssd_plugin.gating.verdict import GateResult, Measurement
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.metrics import program_syntax as syntax
from ssd_plugin.metrics.inference import paired_deltas
from ssd_plugin.metrics.pass_at_k import pass_at_k
from ssd_plugin.tasks.schema import Result, Status

_CUT = frozenset({"length", "max_tokens", "max_length", "length_capped"})  # finish reasons, as engines spell them
_AROUND = 256  # characters: a sentence or an example beside a short program is no sign that a model runs on
_KNOWN = _CUT | {"stop", "eos", "eos_token", "end_turn", "stop_sequence"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`k` of pass@k (needs 2 k samples per task) and its margin; `distinct_share`: how much of the baseline's variety
    among passing programs must remain; `damage_margin`: tolerated rise of samples that do not parse, and of cut-off or empty
    ones; `length_margin`: tolerated change of an answer's length, in doublings."""

    k: Annotated[int, Within(1, 5000)] = 5
    pass_at_k_margin: Margin = 0.06
    distinct_share: Margin = 0.8
    damage_margin: Margin = 0.04
    length_margin: Margin = 0.5


def _compare_pass_at_k(context: GateContext, sides: tuple[Draws, Draws], settings: Settings) -> Measurement:
    name, unit = f"pass@{settings.k}", "share of tasks"
    if min(map(fewest, sides)) < 2 * settings.k:
        return unmeasured(name, unit)
    before, after = (
        {
            task: pass_at_k(len(rows), sum(row.status is Status.PASS for row in rows), settings.k)
            for task, rows in side.items()
        }
        for side in sides
    )
    return compare(name, before, after, margin=settings.pass_at_k_margin, alpha=context.alpha, unit=unit)


def _variety(side: Draws, shapes: dict[str, str]) -> dict[str, float]:
    """By task with two passing programs or more: the share of pairs of them that differ, names and layout aside.

    That is the number of different programs rarefied to two, less one (Hurlbert 1971, "The Nonconcept of Species Diversity"): its
    expectation does not depend on how many programs pass, so a model that passes more is compared at equal numbers.
    """
    found = {}
    for task, rows in side.items():
        alike = Counter(shapes.get(row.program, "") for row in rows if row.status is Status.PASS)
        total = alike.total()
        if total > 1:
            found[task] = 1 - sum(n * (n - 1) for n in alike.values()) / (total * (total - 1))
    return found


def _compare_variety(
    context: GateContext, sides: tuple[Draws, Draws], settings: Settings, shapes: dict[str, str]
) -> Measurement:
    name, unit = "pairs of passing programs that differ", "share of pairs"
    paired_deltas(context.baseline.pass_rates(), context.candidate.pass_rates())  # refuses unpaired sides
    before, after = (_variety(side, shapes) for side in sides)
    both = sorted(before.keys() & after.keys())
    margin = (1 - settings.distinct_share) * statistics.fmean([before[task] for task in both] or [0.0])
    if len(both) < 2 or not margin:
        return unmeasured(name, unit)
    left, right = ({task: side[task] for task in both} for side in (before, after))
    return compare(name, left, right, margin=margin, alpha=context.alpha, unit=unit)


def _compare_length(context: GateContext, margin: float) -> Measurement:
    """Growth of the mean answer, in doublings, clipped to one either way so that a single task cannot decide. Every answer
    counts `_AROUND` characters more than it has, so that short ones are not doubled by a sentence."""
    sides = (context.baseline, context.candidate)
    before, after = (
        {task: statistics.fmean(len(row.completion) + _AROUND for row in rows) for task, rows in side.by_task.items()}
        for side in sides
    )
    growth = {
        task: max(-1.0, min(1.0, math.log2(after[task] / length))) for task, length in before.items() if task in after
    }
    return compare(
        "growth of the answers", dict.fromkeys(before, 0.0), growth, margin=margin, alpha=context.alpha,
        less_is_better=True, unit="doublings of characters",
    )  # fmt: skip


def _empty(row: Result) -> bool:
    return row.status is Status.NO_CODE or not row.completion.strip()


def _cut_or_empty(row: Result) -> bool:
    return _empty(row) or row.finish_reason.lower() in _CUT


def _compare_endings(context: GateContext, margin: float) -> tuple[list[Measurement], str]:
    """Cut-off and empty answers, and a note where cut-off ones cannot be told.

    A side that does not say how its answers ended would look as if none were cut off. Where neither says it there is
    nothing to hide behind; where some do, the figure is not measured and empty answers are compared alone.
    """
    sides = (context.baseline, context.candidate)
    reasons = {side.role: [row.finish_reason.lower() for row in side.rows] for side in sides}
    silent = not any(any(found) for found in reasons.values())
    unknown = {role: sum(one not in _KNOWN for one in found) for role, found in reasons.items()}
    told = silent or not any(unknown.values())
    what, broken = ("samples cut off or empty", _cut_or_empty) if told else ("empty samples", _empty)
    before, after = (side.rates(broken) for side in sides)
    figures = [compare(what, before, after, margin=margin, alpha=context.alpha, less_is_better=True)]
    if silent:
        return figures, "no finish reasons given: only empty ones seen"
    if told:
        return figures, ""
    where = " and ".join(f"{count} samples of the {role}" for role, count in unknown.items() if count)
    note = f"{where} say neither stop nor length as finish_reason: give it for every sample of both sides, or for none"
    return [*figures, unmeasured("samples cut off")], note


def check(context: GateContext, settings: Settings) -> GateResult:
    """pass@k, variety of the passing programs, parse failures, cut-off or empty answers, length."""
    sides = (context.baseline, context.candidate)
    programs = [row.program for side in sides for row in side.rows]
    shapes = context.memo.lookup("shape", programs, lambda new: [syntax.shape(program) for program in new])
    tries = draws(context)
    figures = [
        _compare_pass_at_k(context, tries, settings),
        _compare_variety(context, tries, settings, shapes),
        _compare_length(context, settings.length_margin),
    ]
    before, after = (side.rates(lambda row: shapes.get(row.program, "text:")[:5] == "text:") for side in sides)
    margin = settings.damage_margin
    what = "samples that do not parse"
    figures.append(compare(what, before, after, margin=margin, alpha=context.alpha, less_is_better=True))
    endings, note = _compare_endings(context, margin)
    figures += endings
    return conclude("collapse", figures, note=note)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "pass@k, variety, parse rate, cut-off answers and length against the baseline"
    return [
        Gate(
            name="collapse", summary=summary, needs="results with 2 k samples per task", settings=Settings, check=check
        )
    ]
