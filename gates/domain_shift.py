"""What a stable mean hides: one domain lost, answers drifting away from human code, human code becoming unlikely."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from ssd_plugin.gating import corpus, distance, syntax
from ssd_plugin.gating.gate import Gate, GateContext, Side
from ssd_plugin.gating.likelihood import nats_per_character
from ssd_plugin.gating.paired import conclude, unmeasured
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.statistics import noninferiority, paired_deltas, paired_t, simultaneous_intervals
from ssd_plugin.verdict import GateResult, GateStatus, Measurement


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`domain_margin`: tolerated loss of pass@1 in any one domain; `away_margin`: tolerated rise of the distance to human code,
    as a share of the baseline's; `nll_margin`: the same for nats a character. `minimum_domain`: tasks a domain needs to be
    tested; `corpus`: a directory of Python files (empty: the standard library); `nll_documents`: 0 turns likelihood off."""

    domain_margin: float = 0.1
    minimum_domain: int = 5
    away_margin: float = 0.05
    corpus: str = ""
    corpus_functions: int = 400
    nll_documents: int = 0
    nll_margin: float = 0.02


def _domains(context: GateContext, settings: Settings) -> list[Measurement]:
    """pass@1 by domain, intervals that hold all together. A domain BREACHes when its whole interval lies below -margin."""
    before, after = context.baseline.pass_rates(), context.candidate.pass_rates()
    paired_deltas(before, after)  # refuses unpaired sides
    groups: dict[str, list[str]] = {}
    for task in context.tasks:
        groups.setdefault(task.domain, []).append(task.task_id)
    groups = {name: tasks for name, tasks in sorted(groups.items()) if len(tasks) >= settings.minimum_domain}
    if len(groups) < 2:
        return [unmeasured("pass@1 by domain")]
    deltas = {name: [after[task] - before[task] for task in tasks] for name, tasks in groups.items()}
    figures = []
    for name, interval in simultaneous_intervals(deltas, confidence=1 - 2 * context.alpha).items():
        status = GateStatus.PASS if interval.low > -settings.domain_margin else GateStatus.INSUFFICIENT
        levels = [[side[task] for task in groups[name]] for side in (before, after)]
        figures.append(
            Measurement(
                name=f"pass@1 in {name}", unit="share of samples", baseline=sum(levels[0]) / len(levels[0]),
                candidate=sum(levels[1]) / len(levels[1]), delta=interval.estimate, low=interval.low, high=interval.high,
                margin=settings.domain_margin, tasks=len(levels[0]),
                status=GateStatus.BREACH if interval.high < -settings.domain_margin else status,
            )
        )  # fmt: skip
    return figures


def _embedded(side: Side, vectors: dict[str, distance.Vectors]) -> dict[str, distance.Vectors]:
    empty = distance.embed(syntax.histogram(""))
    return {
        task: sum((vectors.get(row.program, empty) for row in rows), start=empty) / len(rows)
        for task, rows in side.by_task.items()
    }


def _drift(context: GateContext, settings: Settings, human: Sequence[ast.Module]) -> tuple[Measurement, str]:
    """The figure, and in words what of it chance explains.

    BREACH: the answers changed beyond what relabelling explains, and away from human code, beyond chance and the margin.
    A changed distribution alone is no loss: training is meant to change it.
    """
    sides = (context.baseline, context.candidate)
    programs = [row.program for side in sides for row in side.rows]
    vectors = context.memo.lookup(
        "embed", programs, lambda new: [distance.embed(syntax.histogram(text)) for text in new]
    )
    embedded = [_embedded(side, vectors) for side in sides]
    ruler = context.memo.once("ruler", lambda: [distance.embed(syntax.tree_histogram(tree)) for tree in human])
    shift = distance.measure(embedded[0], embedded[1], ruler)
    margin = settings.away_margin * shift.baseline
    rise = shift.candidate - shift.baseline
    breach = shift.moved > shift.moved_threshold and shift.away > shift.away_threshold and rise > margin
    away = "beyond" if shift.away > shift.away_threshold else "within"
    chance = (
        f"the answers moved by {shift.moved:.3f} (chance: up to {shift.moved_threshold:.3f}), the rise is {away} chance"
    )
    low, high = _interval(shift.rises)
    figure = Measurement(
        name="distance to human code", unit="MMD", baseline=shift.baseline, candidate=shift.candidate, delta=rise,
        low=low, high=high, margin=margin, tasks=len(context.tasks),
        status=GateStatus.BREACH if breach else GateStatus.PASS, less_is_better=True,
    )  # fmt: skip
    return figure, chance


def _likelihood(context: GateContext, settings: Settings, human: Sequence[ast.Module]) -> Measurement:
    """Relative rise of nats a character, paired by document; documents spread over the corpus.

    A model that predicts every document exactly as before shows no spread to judge by: INSUFFICIENT.
    """
    name = "nats a character of human code"
    if context.model is None or context.baseline_model is None:
        return unmeasured(name, "share of the baseline's")
    step = max(1, len(human) // settings.nll_documents)
    documents = [ast.unparse(tree) for tree in human[::step][: settings.nll_documents]]
    before, after = (nats_per_character(path, documents) for path in (context.baseline_model, context.model))
    rises = [new / old - 1 for old, new in zip(before, after, strict=True)]
    low, high = _interval(rises)
    outcome = noninferiority(
        [-rise for rise in rises], margin=settings.nll_margin, alpha=context.alpha, pseudo_pairs=False
    )
    return Measurement(
        name=name, unit="share of the baseline's", baseline=sum(before) / len(before), candidate=sum(after) / len(after),
        delta=sum(rises) / len(rises), low=low, high=high, margin=settings.nll_margin, tasks=len(rises),
        status=GateStatus(outcome.outcome), less_is_better=True,
    )  # fmt: skip


def _interval(rises: Sequence[float]) -> tuple[float | None, float | None]:
    if len(set(rises)) < 2:
        return None, None
    interval = paired_t(rises, pseudo_pairs=False)
    return interval.low, interval.high


def check(context: GateContext, settings: Settings) -> GateResult:
    """Domains, distance to human code and, where asked for and weights are at hand, its likelihood."""
    human = context.memo.once("corpus", lambda: corpus.functions(settings.corpus, settings.corpus_functions))
    figures = _domains(context, settings)  # first: it refuses unpaired sides
    drift, chance = _drift(context, settings, human)
    figures.append(drift)
    if settings.nll_documents and not context.resampled:
        figures.append(_likelihood(context, settings, human))
    return conclude("domain_shift", figures, note=chance)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "no domain lost, answers not drifting away from human code, human code not less likely"
    needs = "results with domains; both model directories for likelihood"
    return [Gate(name="domain_shift", summary=summary, needs=needs, settings=Settings, check=check)]
