"""`ssd score`: grade a samples file in the sandbox."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ssd_plugin.cli.options import TASKS_HELP, json_option
from ssd_plugin.core.text import visible

_TIERS = ("namespaces", "landlock", "rlimits")


@click.command("score")
@click.option("--tasks", required=True, help=TASKS_HELP)
@click.option(
    "--samples", type=click.Path(path_type=Path), required=True, help="Samples: task_id, sample_id, completion."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Result file to write.")
@click.option("--tier", type=click.Choice(_TIERS), help="Isolation; default: the strongest that works, never rlimits.")
@click.option("--workers", type=click.IntRange(min=1), help="Programs at a time; default: one a core.")
@click.option("--cpu-seconds", type=click.FloatRange(min=1), help="Least CPU time a program gets; default 2.")
@click.option(
    "--memory-mib", type=click.IntRange(min=128, max=1 << 24), help="Address space of a program; default 1024."
)
@click.option(
    "-k", "ks", type=click.IntRange(min=1), multiple=True, help="Also print pass@k; may be given several times."
)
@json_option
def command(
    tasks: str,
    samples: Path,
    out: Path,
    tier: str | None,
    workers: int | None,
    cpu_seconds: float | None,
    memory_mib: int | None,
    ks: tuple[int, ...],
    as_json: bool,
) -> None:
    """Grade generated programs in the sandbox; run it again to continue one that was cut off. Results of other tasks or
    samples are never written over.

    Exit status: 0 graded, whatever the programs did; 3 bad input or no sandbox, with one line on stderr.

    Example: ssd score --tasks tasks.jsonl --samples samples.jsonl --out results.jsonl -k 1
    """
    from ssd_plugin.core.progress import track
    from ssd_plugin.grading.grader import GradeOptions, score_file
    from ssd_plugin.sandbox.limits import Limits
    from ssd_plugin.sandbox.tiers import SandboxTier
    from ssd_plugin.tasks.benchmarks import tasks_file

    if not out.name:
        raise click.UsageError("--out is empty; name the result file")
    if out.resolve() in (samples.resolve(), Path(tasks).resolve()):
        raise click.UsageError(f"--out {out} is one of the inputs; name another file")
    limits = Limits()
    if cpu_seconds is not None:
        if not cpu_seconds <= 86_400:  # which says no to nan as well
            raise click.UsageError(f"--cpu-seconds {cpu_seconds}: give a day (86400) at most")
        limits = replace(limits, cpu_seconds=cpu_seconds, wall_seconds=max(limits.wall_seconds, 4 * cpu_seconds))
    if memory_mib is not None:
        limits = replace(limits, memory_mib=memory_mib)
    options = GradeOptions(tier=SandboxTier(tier) if tier else None, limits=limits)
    if workers is not None:
        options = replace(options, workers=workers)
    _refuse_other_results(out, "samples", samples)
    task_path = tasks_file(tasks, out.parent / f"{out.name}.{tasks}.jsonl")
    _refuse_other_results(out, "tasks", task_path)
    with track("graded", _count_lines(samples)) as advance:
        summary = score_file(task_path, samples, out, options=replace(options, progress=advance))
    pass_at = _pass_at_k(task_path, out, ks)
    if as_json:
        document: dict[str, Any] = {"out": str(out), "tier": summary.tier.value, "samples": summary.samples}
        document |= {
            "counts": summary.counts,
            "resumed": summary.resumed,
            "pass_at_k": pass_at,
            "set_aside": dict(summary.set_aside),
        }
        click.echo(json.dumps(document, sort_keys=True))
        return
    counts = ", ".join(f"{count} {status}" for status, count in summary.counts.items() if count)
    click.echo(f"{summary.samples} samples: {counts}")
    click.echo(f"sandbox: {summary.tier} ({summary.canaries} canaries judged right){_notes(summary.tier_notes)}")
    if summary.weak_oracle_tasks:
        click.echo(f"weak oracle: {summary.weak_oracle_tasks} of {summary.tasks} tasks are judged by assertions alone")
    if summary.set_aside:
        click.echo(f"set aside: {len(summary.set_aside)} tasks, broken as they are published")
        for task, why in summary.set_aside.items():
            click.echo(f"  {visible(task)}: {visible(why)}")
    for group, figures in pass_at.items():
        click.echo(f"{visible(group)}: " + ", ".join(_figure(name, figure) for name, figure in figures.items()))
    click.echo(f"written: {out}")


def _refuse_other_results(out: Path, name: str, given: Path) -> None:
    """Refuse to write over a file that is not the result file of these samples and tasks.

    Raises:
        DataError: `out` is there, and its sidecar does not name `given` as its `name` (samples or tasks).
    """
    from ssd_plugin.core.jsonl import read_json, sha256_file
    from ssd_plugin.errors import DataError
    from ssd_plugin.grading.result_files import sidecar

    graded = sidecar(out).is_file()
    cut_off = not graded and out.with_name(out.name + ".partial").exists()  # just before the sidecar: goes on
    if not out.is_file() or cut_off:
        return
    meta = read_json(sidecar(out)) if graded else None
    known = meta.get(f"{name}_sha256") if isinstance(meta, dict) else None
    if known != sha256_file(given):
        what = f"the results of other {name}" if known else "no results of ssd score"
        raise DataError(f"--out {out}: holds {what} and is not written over; name another file, or delete it first")


def _count_lines(path: Path) -> int:
    """How many samples there are, for the progress bar; a file that cannot be read is reported later, in full."""
    from ssd_plugin.core.jsonl import read_lines
    from ssd_plugin.errors import DataError

    try:
        return sum(1 for _ in read_lines(path))
    except DataError:
        return 0


def _pass_at_k(tasks: Path, results: Path, ks: tuple[int, ...]) -> dict[str, dict[str, dict[str, float | None]]]:
    """pass@k of all tasks, then by domain and by difficulty where there is more than one."""
    from ssd_plugin.core.jsonl import read_json
    from ssd_plugin.grading.result_files import sidecar
    from ssd_plugin.metrics.pass_at_k import pass_at_k_by_task, summarise_pass_at_k
    from ssd_plugin.tasks.benchmarks import load_tasks
    from ssd_plugin.tasks.schema import Task, read_results

    set_aside = read_json(sidecar(results)).get("set_aside", {})
    found = [task for task in load_tasks(tasks) if task.task_id not in set_aside]
    groups: dict[str, Callable[[Task], str]] = {
        "all tasks": lambda _: "",
        "domain": lambda task: task.domain,
        "difficulty": lambda task: task.difficulty,
    }
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for k in ks:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            by_task = pass_at_k_by_task(read_results(results), k)
        for warning in caught:
            click.echo(f"ssd: warning: {visible(str(warning.message))}", err=True)
        for label, group in groups.items():
            if label != "all tasks" and len({group(task) for task in found}) < 2:
                continue
            for name, figure in summarise_pass_at_k(by_task, found, k, group).items():
                low, high = (figure.interval.low, figure.interval.high) if figure.interval else (None, None)
                row = {"estimate": figure.estimate, "low": low, "high": high, "tasks": figure.tasks}
                table.setdefault(f"{label} {name}".strip(), {})[f"pass@{k}"] = row
    return table


def _figure(name: str, figure: dict[str, float | None]) -> str:
    interval = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{name} {figure['estimate']:.3f}{interval}"


def _notes(notes: tuple[str, ...]) -> str:
    return "; " + "; ".join(notes) if notes else ""
