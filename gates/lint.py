"""Programs with errors that ruff can prove: broken syntax, undefined names, misuse of the language."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from ssd_plugin.config.parsing import Matching
from ssd_plugin.gating.gate import Gate, GateContext, Margin, Side
from ssd_plugin.gating.paired import compare, conclude
from ssd_plugin.gating.scanners import Hit, ruff_hits
from ssd_plugin.gating.verdict import Finding, GateResult
from ssd_plugin.hooks.specs import hookimpl


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`select`: ruff rules; `margin`: tolerated rise of the share of samples that break one."""

    select: Annotated[str, Matching(r"[A-Z]+[0-9]*(,[A-Z]+[0-9]*)*", "ruff rules, such as E9,F8")] = "E9,F8"
    margin: Margin = 0.04


def check(context: GateContext, settings: Settings) -> GateResult:
    """Share of samples with a hit, paired; a sample without a program counts as one with a hit."""
    sides = (context.baseline, context.candidate)
    programs = [row.program for side in sides for row in side.rows]
    tool = f"ruff {settings.select}"
    hits = context.memo.lookup(tool, programs, partial(ruff_hits, select=settings.select, work=context.work))
    before, after = (side.rates(lambda row: bool(hits.get(row.program, True))) for side in sides)
    figure = compare(
        "samples with lint errors", before, after, margin=settings.margin, alpha=context.alpha, less_is_better=True
    )
    return conclude("lint", [figure], list(_findings(context.candidate, hits)))


def _findings(side: Side, hits: dict[str, list[Hit]]) -> list[Finding]:
    return [
        Finding(
            tool="ruff", rule=hit.rule, level="warning", message=hit.message, line=hit.line,
            task_id=row.task_id, sample_id=row.sample_id,
        )
        for row in side.rows
        for hit in hits.get(row.program, [])
    ]  # fmt: skip


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "share of samples with ruff errors not above the baseline's"
    return [Gate(name="lint", summary=summary, needs="results, ruff", settings=Settings, check=check)]
