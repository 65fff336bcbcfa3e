"""Turns what the user names as a side into graded rows: a result file of this user's grader, or samples graded here."""

from collections.abc import Iterable
from pathlib import Path

from ssd_plugin.core.jsonl import sha256_json
from ssd_plugin.errors import DataError
from ssd_plugin.gating.gate import Side
from ssd_plugin.gating.held_inputs import HeldInputs
from ssd_plugin.gating.policy import Policy
from ssd_plugin.grading.grader import read_graded, score_file
from ssd_plugin.grading.result_files import GradedRun, is_own, sidecar
from ssd_plugin.grading.rows import is_of_its_completion
from ssd_plugin.tasks.benchmarks import load_tasks
from ssd_plugin.tasks.files import read_rows

GRADED = "graded"  # the folder of the evidence directory in which sides are graded


def _is_result_file(path: Path) -> bool:
    for _, row in read_rows(path):
        return "status" in row
    raise DataError(f"{path}: holds no samples")


def load_side(role: str, path: Path, tasks: Path, held: HeldInputs, policy: Policy) -> Side:
    """The graded side, read from copies in `held`. A result file counts only with a sidecar that matches it and the tasks, that
    this user's grader wrote (or the policy's `foreign_results`), and if each row's program is the one in its completion; anything
    else is graded now, into `held.out`/graded, in the sandbox.

    Raises:
        DataError: unreadable, empty, malformed, ids that the tasks do not have.
        SandboxError: the sandbox cannot be trusted.
    """
    given, note = held.copy(path), ""
    if not policy.regrade and _is_result_file(given) and sidecar(path).is_file():
        held.copy(sidecar(path), beside=given)
        run, note = _believed(given, tasks, policy)
        if run is not None:
            return _held_side(role, given, run, held, note)
    results = held.out / GRADED / f"{role}.results.jsonl"
    if results.parent.is_symlink():
        raise DataError(
            f"{results.parent}: is a link; the evidence is written into a folder of its own, delete the link"
        )
    written = score_file(tasks, given, results, resume=not policy.regrade)
    graded = held.copy(results)
    held.copy(sidecar(results), beside=graded)
    run = read_graded(graded, tasks=tasks, samples=given)
    if sha256_json(run.meta) != sha256_json(written.meta):
        raise DataError(f"{results}: was changed after it was graded; leave it alone and run ssd gate again")
    side = _held_side(role, graded, run, held, note)
    if path != results:
        held.judge(f"{role}_samples", given)
    return side


def _believed(given: Path, tasks: Path, policy: Policy) -> tuple[GradedRun | None, str]:
    """The rows of a result file if they may be believed, and what there is to say of it."""
    try:
        run = read_graded(given, tasks=tasks)
    except DataError:
        return None, "graded again: its sidecar is not of this file and these tasks"
    if not _are_of_their_completions(run, tasks):
        return None, "graded again: its programs are not those of its completions"
    if is_own(run.meta):
        return run, ""
    if policy.foreign_results:
        return run, "graded elsewhere, and believed as the policy says (foreign_results)"
    return None, "graded again: its sidecar was not written by this user's grader"


def _are_of_their_completions(run: GradedRun, tasks: Path) -> bool:
    """Rows of no task are left to the integrity gate, which names them."""
    by_id = {task.task_id: task for task in load_tasks(tasks)}
    return all(is_of_its_completion(row, by_id[row.task_id]) for row in run.rows if row.task_id in by_id)


def _held_side(role: str, results: Path, run: GradedRun, held: HeldInputs, note: str) -> Side:
    held.judge(f"{role}_results", results)
    held.judge(f"{role}_sidecar", sidecar(results))
    return Side(role=role, results=results, rows=tuple(run.rows), meta=run.meta, note=note)


def drop_other_sides(out: Path, judged: Iterable[Path]) -> None:
    """Remove what earlier gate runs into `out` graded and this one did not judge: `ssd verify` would refuse it there."""
    kept = {path.resolve() for path in judged}
    kept |= {sidecar(path) for path in kept}
    for path in (out / GRADED).glob("*.results.jsonl*"):
        if path.resolve() not in kept:
            path.unlink()
