"""What to judge: the inputs of one gate run, and where a run directory keeps them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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

    `tasks`, `baseline` and `candidate` are None where the policy has no samples graded. `origin` None: the baseline is
    generation 0. `training`: prompts and samples that the candidate was trained on. `benchmarks`: by the name that the
    policy gives it, baseline and candidate of a benchmark graded elsewhere, each a file or folder as its harness wrote it.
    `ledger`: where looks are counted; None: `looks.default_ledger`.
    """

    policy: str
    tasks: Path | None = None
    baseline: Path | None = None
    candidate: Path | None = None
    origin: Path | None = None
    model: Path | None = None
    baseline_model: Path | None = None
    training: tuple[Path, ...] = ()
    benchmarks: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    ledger: Path | None = None
    out: Path


def benchmark_option(text: str) -> tuple[str, tuple[Path, Path]]:
    """The benchmark that NAME=BASELINE,CANDIDATE names, with its files or folders.

    Raises:
        GateError: it has not this form.
    """
    name, equals, files = text.partition("=")
    sides = files.split(",")
    if not (name and equals and len(sides) == 2 and all(sides)):
        raise GateError(
            f"benchmark {text!r}: write NAME=BASELINE,CANDIDATE, with two files or folders whose paths have no comma"
        )
    return name, (Path(sides[0]), Path(sides[1]))


def benchmark_options(texts: Iterable[str]) -> dict[str, tuple[Path, Path]]:
    """All benchmarks by name, each as `benchmark_option` has it.

    Raises:
        GateError: one has not the form, or is named twice.
    """
    found: dict[str, tuple[Path, Path]] = {}
    for name, sides in map(benchmark_option, texts):
        if name in found:
            raise GateError(f"benchmark {name!r} is given twice; several files of one benchmark go into one folder")
        found[name] = sides
    return found


def _side(path: Path | None, inside: str) -> Path | None:
    if path is None or not path.is_dir():
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
    run = request.candidate if request.candidate and request.candidate.is_dir() else None
    model, training = request.model, request.training
    if run is not None:
        model = model or (run / layout.CANDIDATE_MODEL if (run / layout.CANDIDATE_MODEL).is_dir() else None)
        training = training or tuple(
            run / name for name in (layout.TRAIN_PROMPTS, layout.EXAMPLES, layout.ROLLOUTS) if (run / name).is_file()
        )
    return replace(
        request,
        tasks=None if request.tasks is None else tasks_file(str(request.tasks), request.out / "tasks.jsonl"),
        baseline=_side(request.baseline, RUN_BASE),
        candidate=_side(request.candidate, RUN_CANDIDATE),
        origin=_side(request.origin, RUN_BASE),
        model=model,
        training=training,
    )
