"""What a stable mean hides: one domain lost, answers drifting away from human code, human code becoming unlikely."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from ssd_plugin.config.parsing import Within
from ssd_plugin.gating import corpus, distance
from ssd_plugin.gating.gate import Gate, GateContext, Margin, Side
from ssd_plugin.gating.likelihood import nats_per_character
from ssd_plugin.gating.paired import compare, conclude, unmeasured
from ssd_plugin.gating.verdict import GateResult, GateStatus, Measurement
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.metrics import program_syntax as syntax
from ssd_plugin.metrics.inference import group_bounds, noninferiority, paired_deltas, paired_t
from ssd_plugin.tasks.schema import Result, Task

OTHERS = "other domains"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`domain_margin`: tolerated loss of pass@1 in any one domain; `minimum_domain`: tasks a domain needs to be tested by itself
    (smaller ones are tested together); `away_margin`: tolerated rise of the distance to the tasks' own reference solutions, from
    0 to 1; `corpus`: a directory of Python files (empty: the standard library) for tasks without references and for likelihood;
    `nll_documents`: 0 turns likelihood off; `nll_margin`: tolerated rise of nats per character, as a share of the baseline's."""

    domain_margin: Margin = 0.1
    minimum_domain: Annotated[int, Within(1, 10**6)] = 5
    away_margin: Margin = 0.05
    corpus: str = ""
    corpus_functions: Annotated[int, Within(50, 10**6)] = 400
    nll_documents: Annotated[int, Within(0, 10**6)] = 0
    nll_margin: Margin = 0.02


def _by_domain(tasks: Sequence[Task], minimum: int) -> dict[str, list[str]]:
    """Task ids by domain; domains of fewer than `minimum` tasks together. A suite without two such groups is one group."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        found.setdefault(task.domain, []).append(task.task_id)
    groups = {name: ids for name, ids in sorted(found.items()) if len(ids) >= minimum}
    small = [task for ids in found.values() if len(ids) < minimum for task in ids]
    if len(small) >= minimum:
        groups[OTHERS] = small
    return groups if len(groups) > 1 else {"all tasks": [task.task_id for task in tasks]}


def _domains(context: GateContext, settings: Settings) -> list[Measurement]:
    """pass@1 by domain. A domain breaches with bounds that hold for all domains together, and passes with bounds of its own: all
    have to pass."""
    before, after = context.baseline.pass_rates(), context.candidate.pass_rates()
    deltas = dict(zip(before, paired_deltas(before, after), strict=True))  # refuses unpaired sides
    groups = _by_domain(context.tasks, settings.minimum_domain)
    figures = []
    margin = settings.domain_margin
    for name, bounds in group_bounds({n: [deltas[t] for t in ids] for n, ids in groups.items()}, context.alpha).items():
        status = GateStatus.PASS if bounds.lower > -margin else GateStatus.INSUFFICIENT
        levels = [sum(side[task] for task in groups[name]) / len(groups[name]) for side in (before, after)]
        figures.append(
            Measurement(
                name=f"pass@1 in {name}", unit="share of samples", baseline=levels[0], candidate=levels[1],
                delta=bounds.estimate, low=bounds.lower, high=bounds.upper, margin=margin, tasks=len(groups[name]),
                status=GateStatus.BREACH if bounds.upper < -margin else status,
            )
        )  # fmt: skip
    return figures


def _drift(context: GateContext, settings: Settings) -> tuple[Measurement, str]:
    """Distance to the tasks' own references; without them, to library functions of the same size, which does not vote.

    Library code is no model of a right answer: references themselves lie farther from it than a model's wrong answers do.
    """
    references = {task.task_id: task.reference for task in context.tasks if task.reference}
    name = "distance to human code"
    if 2 * len(references) >= len(context.tasks) and len(references) > 1:
        before, after = (_from_references(context, side, references) for side in (context.baseline, context.candidate))
        note = f"human code: {len(references)} reference solutions"
        return compare(
            name, before, after, margin=settings.away_margin, alpha=context.alpha, less_is_better=True, unit="Hellinger"
        ), note
    before, after = (_from_library(context, side, settings) for side in (context.baseline, context.candidate))
    shown = compare(name, before, after, margin=1.0, alpha=context.alpha, less_is_better=True, unit="Hellinger")
    note = "few tasks have a reference solution: the distance to library functions is shown and does not vote"
    return replace(shown, margin=None, status=GateStatus.PASS), note


def _from_references(context: GateContext, side: Side, references: dict[str, str]) -> dict[str, float]:
    programs = [row.program for row in side.rows] + list(references.values())
    vectors = context.memo.lookup(
        "embed", programs, lambda new: [distance.embed(syntax.histogram(text)) for text in new]
    )
    empty = distance.embed(syntax.histogram(""))

    def away(row: Result) -> float:
        return distance.hellinger(vectors.get(row.program, empty), vectors[references[row.task_id]])

    return _means({task: side.by_task[task] for task in references if task in side.by_task}, away)


def _from_library(context: GateContext, side: Side, settings: Settings) -> dict[str, float]:
    library = context.memo.once(
        "library", lambda: distance.Library([syntax.tree_histogram(tree) for tree in _human(context, settings)])
    )
    programs = [row.program for row in side.rows]
    found = context.memo.lookup(
        "from library", programs, lambda new: [library.distance(syntax.histogram(text)) for text in new]
    )
    return _means(side.by_task, lambda row: found.get(row.program, 1.0))


def _means(rows: dict[str, list[Result]], figure: Callable[[Result], float]) -> dict[str, float]:
    return {task: sum(map(figure, found)) / len(found) for task, found in rows.items()}


def _human(context: GateContext, settings: Settings) -> list[ast.Module]:
    return context.memo.once("corpus", lambda: corpus.functions(settings.corpus, settings.corpus_functions))


def _likelihood(context: GateContext, settings: Settings, human: Sequence[ast.Module]) -> Measurement:
    """Relative rise of nats per character, paired by document; documents spread over the corpus.

    A model that predicts every document exactly as before shows no spread to judge by: INSUFFICIENT.
    """
    name = "nats per character of human code"
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
    figures = _domains(context, settings)  # first: it refuses unpaired sides
    drift, note = _drift(context, settings)
    figures.append(drift)
    if settings.nll_documents and not context.resampled:
        figures.append(_likelihood(context, settings, _human(context, settings)))
    return conclude("domain_shift", figures, note=note)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "no domain lost, answers not drifting away from human code, human code not less likely"
    needs = "results with domains; both model directories for likelihood"
    return [Gate(name="domain_shift", summary=summary, needs=needs, settings=Settings, check=check)]
