"""Turns what the user names as a side into graded rows: a result file whose sidecar holds, or samples graded here."""

from pathlib import Path

from ssd_plugin.errors import DataError
from ssd_plugin.evaluation.grader import read_graded, score_file
from ssd_plugin.gating.gate import Side
from ssd_plugin.jsonl import read_jsonl, write_jsonl
from ssd_plugin.records import read_samples


def _is_result_file(path: Path) -> bool:
    for _, row in read_jsonl(path):
        return "status" in row
    raise DataError(f"{path}: holds no samples")


def load_side(role: str, path: Path, tasks: Path, out: Path, *, regrade: bool) -> Side:
    """The graded side. A result file counts only with a sidecar that matches it and the tasks; anything else is graded now,
    into `out`/graded, in the sandbox.

    Raises:
        DataError: unreadable, empty, malformed, ids that the tasks do not have.
        SandboxError: the sandbox cannot be trusted.
    """
    if _is_result_file(path) and not regrade:
        try:
            run = read_graded(path, tasks=tasks)
        except DataError:
            pass  # no sidecar, or not of this file and these tasks: the samples in it are graded again
        else:
            return Side(role=role, results=path, rows=tuple(run.rows), meta=run.meta, regraded=False)
    folder = out / "graded"
    samples = folder / f"{role}.samples.jsonl"
    results = folder / f"{role}.results.jsonl"
    write_jsonl(samples, (sample.to_json() for sample in read_samples(path)))
    score_file(tasks, samples, results)
    run = read_graded(results, tasks=tasks)
    return Side(role=role, results=results, rows=tuple(run.rows), meta=run.meta, regraded=True)
