"""Turns what the user names as a side into graded rows: a result file whose sidecar holds, or samples graded here."""

from collections.abc import Iterable
from pathlib import Path

from ssd_plugin.errors import DataError
from ssd_plugin.gating.gate import Side
from ssd_plugin.grading.grader import read_graded, score_file
from ssd_plugin.grading.result_files import sidecar
from ssd_plugin.tasks.files import read_rows

GRADED = "graded"  # the folder of the evidence directory in which sides are graded


def _is_result_file(path: Path) -> bool:
    for _, row in read_rows(path):
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
    results = out / GRADED / f"{role}.results.jsonl"
    if results.parent.is_symlink():
        raise DataError(
            f"{results.parent}: is a link; the evidence is written into a folder of its own, delete the link"
        )
    score_file(
        tasks, path, results, resume=not regrade
    )  # of the user's own file, so that what is wrong in it is said of that file
    run = read_graded(results, tasks=tasks, samples=path)  # which may not have changed while it was graded
    return Side(role=role, results=results, rows=tuple(run.rows), meta=run.meta, regraded=True)


def drop_other_sides(out: Path, judged: Iterable[Path]) -> None:
    """Remove what earlier gate runs into `out` graded and this one did not judge: `ssd verify` would refuse it there."""
    kept = {path.resolve() for path in judged}
    kept |= {sidecar(path) for path in kept}
    for path in (out / GRADED).glob("*.results.jsonl*"):
        if path.resolve() not in kept:
            path.unlink()
