"""Writes a run's report: one HTML file that opens from disk, and Markdown for a CI summary."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, write_text
from ssd_plugin.core.output_tree import refuse_planted
from ssd_plugin.errors import RunDirError
from ssd_plugin.report import figures
from ssd_plugin.report.document import NOTHING_RUN, build_document
from ssd_plugin.report.flips import Flip, Pair, program_pairs
from ssd_plugin.report.render import render
from ssd_plugin.report.steps import rollout_charts
from ssd_plugin.report.sweep_page import fit_charts, heat_maps
from ssd_plugin.tasks.schema import read_tasks

LOSS_TERMS = (
    ("support", "support compression, -log kept mass"),
    ("reshaping", "reshaping within the support, (1-T) H"),
    ("alignment", "alignment, T KL(q, p)"),
    ("loss", "whole loss"),
    ("nll", "loss on the program itself"),
)


def _charts(document: JsonObject) -> dict[str, Any]:
    """Every chart by name; an empty one where its part is missing."""

    def draw(part: str, chart: Any) -> Any:
        return chart(document[part]) if document[part] else Markup()

    deltas = (document["evaluation"] or {"deltas": []})["deltas"]
    against_best: JsonObject = next(
        (row for row in deltas if row["pair"] == "candidate-base_best"), {"by_domain": {}, "by_difficulty": {}}
    )
    return {
        "gates": figures.gate_charts(document["verdict"]) if document["verdict"] else [],
        "curves": draw("held_out", figures.curves_chart),
        "select": draw("selection", lambda found: figures.select_charts(found, document["candidate"])) or [],
        "sweep": [*draw("sweep", heat_maps), *draw("sweep", fit_charts)],
        "chain": draw("chain", figures.chain_chart),
        "domains": figures.group_chart(against_best["by_domain"], "pass@1 by domain"),
        "difficulty": figures.group_chart(against_best["by_difficulty"], "pass@1 by difficulty"),
        "loss": draw("training", figures.loss_chart),
        "rollouts": draw("training", rollout_charts) or [],
        "funnel": draw("filter", figures.funnel_chart),
        "stages": draw("stages", figures.stage_chart),
    }


def _pairs(run_dir: Path, document: JsonObject) -> list[Pair]:
    """Programs of the clearest flips; these stay out of the JSON document."""
    if not document["held_out"]:
        return []
    tasks = {task.task_id: task for task in read_tasks(run_dir / layout.HELD_OUT_TASKS)}
    flips = [Flip(**row) for row in document["held_out"]["flips"]["tasks"]]
    return program_pairs(
        flips, tasks, *(run_dir / layout.evaluated_results(side) for side in ("base_best", "candidate"))
    )


def write_report(run_dir: Path) -> JsonObject:
    """Write report/index.html and report/summary.md into the run directory; returns the document behind both.

    Raises:
        RunDirError: there is no such directory, or none of a run's files is in it.
        DataError: as `output_tree.refuse_planted`.
        ResourceError: no space left.
    """
    if not run_dir.is_dir():
        raise RunDirError(f"{run_dir}: no such run directory; start one with: ssd run RECIPE --run-dir {run_dir}")
    refuse_planted(run_dir)
    document = build_document(run_dir)
    if document["missing"] == NOTHING_RUN:
        raise RunDirError(f"{run_dir}: holds no file of a run; start one with: ssd run RECIPE --run-dir {run_dir}")
    terms = {"LOSS_TERMS": LOSS_TERMS}
    html = render("report.html.j2", report=document, charts=_charts(document), pairs=_pairs(run_dir, document), **terms)
    markdown = render("summary.md.j2", report=document, **terms)
    write_text(run_dir / layout.REPORT_HTML, html)
    write_text(run_dir / layout.REPORT_MARKDOWN, markdown)
    return document
