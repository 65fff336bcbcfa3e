"""The report's content as one JSON document: a pure function of the files in a run directory, every part optional.

A part that cannot be told is None and `missing` says why: "not run", "not measured: ..." (the run was made so that it cannot
be), or "unreadable: ..." (what is wrong with its file). Nothing is guessed.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssd_plugin.analysis.forks import FIGURES as FORK_FIGURES
from ssd_plugin.analysis.forks import SCHEMA as FORKS_SCHEMA
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_json
from ssd_plugin.core.stage_timing import KINDS, overhead
from ssd_plugin.errors import DataError, SsdError
from ssd_plugin.gating.verdict import in_short, read_verdict
from ssd_plugin.methods import METHODS
from ssd_plugin.methods.base import Method
from ssd_plugin.methods.ssd import SSD
from ssd_plugin.metrics.diversity import Diversity, of_side
from ssd_plugin.metrics.evaluation import Estimate, EvaluatedSide, Evaluation, labels, read_evaluation
from ssd_plugin.metrics.inference import bootstrap_mean, mcnemar_exact, paired_deltas, share_interval
from ssd_plugin.metrics.pass_at_k import pass_at_k
from ssd_plugin.metrics.summary import Tally, tally
from ssd_plugin.metrics.sweep_grid import SCHEMA as SWEEP_SCHEMA
from ssd_plugin.pipeline import manifest
from ssd_plugin.pipeline.rounds import SCHEMA as CHAIN_SCHEMA
from ssd_plugin.report.flips import find_flips
from ssd_plugin.report.numbers import finite
from ssd_plugin.report.steps import read_steps
from ssd_plugin.tasks.schema import read_results, read_tasks

SCHEMA = "ssd-report/2"
PAIRS = (("candidate", "base_best"), ("candidate", "base"), ("base_best", "base"))
MAX_CURVE_POINTS = 20
DIVERSITY = ("distinct", "similarity", "lines")
FORK_THRESHOLDS = ("lock_entropy", "fork_entropy", "two_tokens")


class _NotMeasuredError(Exception):
    """The run was made in a way that this part cannot be measured; the message says which setting would change that."""


def _bounded(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: finite(row[key]) for key in ("estimate", "low", "high")}


def _interval(row: Mapping[str, Any]) -> dict[str, float]:
    """A single estimate where there was nothing to compute bounds from."""
    return _bounded(row) if "low" in row or "high" in row else {"estimate": finite(row["estimate"])}


def _pass_at(estimates: Mapping[int, Estimate]) -> dict[str, dict[str, float]]:
    return {str(k): _interval(estimate.to_json()) for k, estimate in estimates.items()}


def _config(run_dir: Path) -> JsonObject:
    config = read_json(run_dir / layout.CONFIG)
    return {"recipe": str(config["recipe"]), "model": str(config["model"]["ref"]), "seed": int(config["seed"])}


def _method(run_dir: Path) -> Method:
    """The method of the run; SSD's where the settings are missing, damaged or older than methods."""
    try:
        return METHODS[read_json(run_dir / layout.CONFIG)["method"]]
    except (DataError, LookupError, TypeError):
        return SSD


def _labels(run_dir: Path) -> dict[str, str]:
    return labels(_method(run_dir).candidate)


def _verdict(run_dir: Path) -> JsonObject:
    verdict = read_verdict(run_dir / layout.VERDICT)
    return verdict.to_json() | {"in_short": in_short(verdict)}


def _decode(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: finite(row[key]) for key in ("temperature", "top_k", "top_p")}


def _evaluation(run_dir: Path) -> JsonObject:
    evaluation = read_evaluation(run_dir / layout.EVALUATION)
    return {
        "tasks": evaluation.tasks,
        "samples_per_task": evaluation.samples_per_task,
        "sides": [_side(name, side) for name, side in evaluation.sides.items()],
        "deltas": [_delta(evaluation, *pair) for pair in PAIRS],
    }


def _side(name: str, side: EvaluatedSide) -> JsonObject:
    return {
        "side": name,
        "label": side.label,
        "decode": _decode(asdict(side.decode)),
        "pass_at": _pass_at(side.pass_at),
        "truncated": side.truncated,
        "statuses": side.statuses,
        "by_difficulty": {level: _pass_at(rates.pass_at) for level, rates in side.by_difficulty.items()},
    }


def _delta(evaluation: Evaluation, side: str, against: str) -> JsonObject:
    pair = f"{side}-{against}"
    label = f"{evaluation.sides[side].label} minus {evaluation.sides[against].label}"
    delta = evaluation.deltas[pair]
    groups = {"by_domain": delta.by_domain, "by_difficulty": delta.by_difficulty}
    return {"pair": pair, "label": label, "pass_at": _pass_at(delta.pass_at)} | {
        grouping: {group: _interval(change.to_json()) for group, change in changes.items()}
        for grouping, changes in groups.items()
    }


def _curve(side: Tally) -> list[JsonObject]:
    """pass@k with 95 % intervals for k up to the samples per task."""
    points = []
    for k in range(1, min(MAX_CURVE_POINTS, *(n for n, _ in side.tasks.values())) + 1):
        interval = share_interval([pass_at_k(n, passed, k) for n, passed in side.tasks.values()])
        points.append({"k": k, "estimate": interval.estimate, "low": interval.low, "high": interval.high})
    return points


def _held_out(run_dir: Path) -> JsonObject:
    """What the graded samples of the held-out split show: pass@k curves, difficulties, flips."""
    tasks = {task.task_id: task for task in read_tasks(run_dir / layout.HELD_OUT_TASKS)}
    sides = {side: tally(run_dir / layout.evaluated_results(side), tasks) for side in layout.EVALUATED}
    label_of = _labels(run_dir)
    flips = find_flips(tasks, sides["base_best"], sides["candidate"])
    won = sum(flip.won for flip in flips)
    lost, ties = len(flips) - won, len(tasks) - len(flips)
    return {
        "curves": [{"side": side, "label": label_of[side], "points": _curve(found)} for side, found in sides.items()],
        "flips": {"won": won, "lost": lost, "ties": ties, "p_value": mcnemar_exact(won, lost)}
        | {"tasks": [asdict(flip) for flip in flips]},
    }


def _diversity(run_dir: Path) -> JsonObject:
    """Means over tasks of each side's diversity with 95 % intervals, and the change against the base's best decode."""
    found: dict[str, dict[str, Diversity]] = {}
    for side in layout.EVALUATED:
        programs: dict[str, list[str]] = {}
        for result in read_results(run_dir / layout.evaluated_results(side)):
            programs.setdefault(result.task_id, []).append(result.program or result.completion)
        if min(map(len, programs.values()), default=0) < 2:
            raise _NotMeasuredError(
                "diversity compares the samples of one task, and there is one per task "
                "(raise it with --set evaluate.samples_per_task=4)"
            )
        found[side] = of_side(programs)
    label_of = _labels(run_dir)
    document: JsonObject = {"sides": [], "change": {}}
    for side, figures in found.items():
        row = {key: asdict(bootstrap_mean([getattr(f, key) for f in figures.values()])) for key in DIVERSITY}
        document["sides"].append({"side": side, "label": label_of[side]} | row)
    for key in DIVERSITY:
        before, after = (
            {task: getattr(f, key) for task, f in found[side].items()} for side in ("base_best", "candidate")
        )
        document["change"][key] = asdict(bootstrap_mean(paired_deltas(before, after)))
    return document


def _selection(run_dir: Path) -> JsonObject:
    choice = read_json(run_dir / layout.CHOICE)
    grid = [
        {"side": str(cell["side"]), **_decode(cell)} | {key: finite(cell[key]) for key in ("pass_at_1", "low", "high")}
        for cell in choice["grid"]
    ]
    return {"grid": grid, "base": _decode(choice["base"]), "candidate": _decode(choice["candidate"])}


def _funnel(run_dir: Path) -> JsonObject:
    report = read_json(run_dir / layout.FILTER_REPORT)
    filters = [
        {"name": str(row["name"]), "enabled": bool(row["enabled"]), "dropped": int(row["dropped"])}
        for row in report["filters"]
    ]
    return {"filters": filters, "kept": int(report["kept"]), "total": int(report["total"])}


def _training(run_dir: Path) -> list[JsonObject]:
    return read_steps(run_dir / layout.TRAINING_LOG)


def _stages(run_dir: Path) -> list[JsonObject]:
    records = manifest.load(run_dir / layout.MANIFEST)
    order = _method(run_dir).stage_names
    return [
        {"name": name, "summary": str(record.summary), "seconds": finite(record.seconds)}
        | {"peak_memory_mib": finite(record.peak_memory_mib), "code": str(record.code)}
        | {"spent": {kind: finite(record.spent.get(kind, 0.0)) for kind in KINDS}}
        | {"tools": dict(record.tools), "outputs": dict(record.outputs)}
        for name, record in sorted(records.items(), key=lambda item: order.index(item[0]))
    ]


def _paired(row: Mapping[str, Any], key: str) -> JsonObject:
    figure = row[key]
    return {
        "base": finite(figure["base"]),
        "candidate": finite(figure["candidate"]),
        "change": _interval(figure["change"]),
    }


def _fork_row(row: Mapping[str, Any]) -> JsonObject:
    counts = {"programs": int(row["programs"]), "tokens": int(row["tokens"])}
    return counts | {key: _paired(row, key) for key in FORK_FIGURES}


def _token(token: Mapping[str, Any]) -> JsonObject:
    return {key: str(token[key]) for key in ("text", "kind", "class")} | {
        "gain": finite(token["gain"]),
        "entropy": [finite(token["entropy"][0]), finite(token["entropy"][1])],
    }


def _forks(run_dir: Path) -> JsonObject:
    document = read_json(run_dir / layout.FORKS)
    if document["schema"] != FORKS_SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not known")
    return {
        "sampling": _decode(document["sampling"]),
        "thresholds": {key: finite(document["thresholds"][key]) for key in FORK_THRESHOLDS},
        "all": _fork_row(document["all"]),
        "kinds": {str(name): _fork_row(row) for name, row in document["kinds"].items()},
        "classes": {str(name): _fork_row(row) for name, row in document["classes"].items()},
        "programs": [
            {"task_id": str(program["task_id"]), "tokens": [_token(token) for token in program["tokens"]]}
            for program in document["programs"]
        ],
        "ordinary": _ordinary(document["ordinary"]),
    }


def _ordinary(row: Mapping[str, Any] | None) -> JsonObject | None:
    return None if row is None else {"documents": int(row["documents"]), **_paired(row, "nats_per_character")}


def _sweep(run_dir: Path) -> JsonObject:
    """The sweep that this run is the chosen cell of; what the charts draw is checked, the rest is left out."""
    document = read_json(run_dir / layout.CHOSEN_IN_SWEEP)
    if document["schema"] != SWEEP_SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not known")

    def grid(rows: list[Mapping[str, Any]]) -> list[JsonObject]:
        keys = ("pass_at_1", "low", "high", "t_eff")
        return [_decode(row) | {key: finite(row[key]) for key in keys if key in row} for row in rows]

    return {
        "base": grid(document["base"]),
        "cells": [{"train": _decode(cell["train"]), "grid": grid(cell["grid"])} for cell in document["cells"]],
        "fits": [_fit(row) for row in document["fits"]],
        "selection": _optimism(document["selection"]),
        "looked_at": [str(cell) for cell in document["held_out"]["looked_at"]],
    }


def _fit(row: Mapping[str, Any]) -> JsonObject:
    fit: JsonObject = {
        side: {key: finite(row[side][key]) for key in ("top_k", "top_p")} for side in ("train", "decode")
    }
    fit |= {"why_not": str(row["why_not"])}
    if not fit["why_not"]:
        fit["coefficients"] = [finite(c) for c in row["coefficients"]]
        fit["r_squared"] = finite(row["r_squared"])
        fit["peak"] = None if row["peak"] is None else finite(row["peak"])
    return fit


def _optimism(selection: Mapping[str, Any]) -> JsonObject:
    if selection["why_not"]:
        return {"why_not": str(selection["why_not"])}
    gain = {key: finite(selection["gain"][key]) for key in ("apparent", "corrected", "optimism")}
    return {"why_not": "", "gain": gain, "stability": finite(selection["ssd"]["stability"])}


def _chain(run_dir: Path) -> JsonObject:
    document = read_json(run_dir / layout.CHAIN)
    if document["schema"] != CHAIN_SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not known")
    rows = [
        {"generation": int(row["generation"]), "folder": str(row["folder"]), "outcome": str(row["outcome"])}
        | {"reason": str(row["reason"]), "decode": _decode(row["decode"])}
        | {key: _bounded(row[key]) for key in ("development", "held_out")}
        | {key: _interval(row[key]) for key in ("since_last", "since_origin") if key in row}
        for row in document["generations"]
    ]
    return {"asked": int(document["asked"]), "stopped": str(document["stopped"]), "generations": rows}


def _promotion(run_dir: Path) -> JsonObject:
    result = read_json(run_dir / layout.PROMOTION)
    return {"promoted": bool(result["promoted"]), "registry": str(result["registry"]), "why": str(result["why"])}


_PARTS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "run": (_config, (layout.CONFIG,)),
    "verdict": (_verdict, (layout.VERDICT,)),
    "evaluation": (_evaluation, (layout.EVALUATION,)),
    "held_out": (_held_out, (layout.HELD_OUT_TASKS, *layout.EVALUATED_RESULTS)),
    "diversity": (_diversity, layout.EVALUATED_RESULTS),
    "selection": (_selection, (layout.CHOICE,)),
    "filter": (_funnel, (layout.FILTER_REPORT,)),
    "training": (_training, (layout.TRAINING_LOG,)),
    "forks": (_forks, (layout.FORKS,)),
    "sweep": (_sweep, (layout.CHOSEN_IN_SWEEP,)),
    "chain": (_chain, (layout.CHAIN,)),
    "stages": (_stages, (layout.MANIFEST,)),
    "promotion": (_promotion, (layout.PROMOTION,)),
}

NOTHING_RUN = dict.fromkeys(_PARTS, "not run")
"""What is missing in a directory that holds no file of a run."""


def build_document(run_dir: Path) -> JsonObject:
    """Read all parts; a malformed file costs its own part only, and is named in `missing`."""
    document: JsonObject = {"schema": SCHEMA, "candidate": _method(run_dir).candidate}
    missing: dict[str, str] = {}
    for name, (read, files) in _PARTS.items():
        document[name] = None
        if any(not (run_dir / file).exists() for file in files):
            missing[name] = "not run"
            continue
        try:
            document[name] = read(run_dir)
        except _NotMeasuredError as error:
            missing[name] = f"not measured: {error}"
        except SsdError as error:
            missing[name] = f"unreadable: {str(error).replace(f'{run_dir}/', '')}"
        except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            missing[name] = f"unreadable: {files[0]} is malformed ({type(error).__name__}: {error})"
    times = {stage["name"]: (stage["seconds"], stage["spent"]) for stage in document["stages"] or ()}
    return document | {"overhead": overhead(times), "missing": missing}
