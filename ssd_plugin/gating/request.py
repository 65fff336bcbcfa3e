"""What to judge: the inputs of one gate run, and where a run directory keeps them."""

from dataclasses import dataclass, replace
from pathlib import Path

from ssd_plugin.core import run_layout as layout
from ssd_plugin.errors import GateError
from ssd_plugin.tasks.benchmarks import tasks_file

RUN_CANDIDATE = layout.evaluated_results("candidate")
RUN_BASE = layout.evaluated_results("base_best")  # what the candidate has to hold against


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """`policy`: a shipped policy's name or a TOML file. `tasks`: a task file or a benchmark's name. Each side is a samples file,
    a result file or a run directory.

    `origin` None: the baseline is generation 0. `training`: prompts and samples that the candidate was trained on.
    `ledger`: where looks are counted; None: `looks.default_ledger`.
    """

    policy: str
    tasks: Path
    baseline: Path
    candidate: Path
    origin: Path | None = None
    model: Path | None = None
    baseline_model: Path | None = None
    training: tuple[Path, ...] = ()
    ledger: Path | None = None
    out: Path


def _side(path: Path, inside: str) -> Path:
    if not path.is_dir():
        return path
    found = path / inside
    if not found.is_file():
        raise GateError(
            f"{path}: has no {inside}; is it a run directory that was evaluated? (ssd evaluate --run-dir {path})"
        )
    return found


def resolve(request: GateRequest) -> GateRequest:
    """The request with run directories replaced by the files in them; a candidate's run also gives model and training data.
    A benchmark that is named is fetched into `out`, which the caller holds.

    Raises:
        GateError: a directory is no evaluated run directory.
        DataError, DependencyError, HubUnreachableError: no such benchmark, or it cannot be had.
    """
    run = request.candidate if request.candidate.is_dir() else None
    model, training = request.model, request.training
    if run is not None:
        model = model or (run / layout.CANDIDATE_MODEL if (run / layout.CANDIDATE_MODEL).is_dir() else None)
        training = training or tuple(
            run / name for name in (layout.TRAIN_PROMPTS, layout.EXAMPLES, layout.ROLLOUTS) if (run / name).is_file()
        )
    return replace(
        request,
        tasks=tasks_file(str(request.tasks), request.out / "tasks.jsonl"),
        baseline=_side(request.baseline, RUN_BASE),
        candidate=_side(request.candidate, RUN_CANDIDATE),
        origin=None if request.origin is None else _side(request.origin, RUN_BASE),
        model=model,
        training=training,
    )
