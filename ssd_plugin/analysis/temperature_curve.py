"""`ssd curve`: base, SSD and control of finished runs at several decode temperatures, and the comparison fixed in advance.

The base's and the candidate's samples are kept in the run they belong to, a control's in the control's run; a second call with
other runs or arms measures only what is missing.
"""

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from ssd_plugin.analysis.passing_variety import variety_changes
from ssd_plugin.config.overrides import config_from_json
from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, sha256_file, write_json
from ssd_plugin.errors import ConfigError, RunDirError
from ssd_plugin.grading.grader import Grading
from ssd_plugin.metrics.evaluation import read_evaluation
from ssd_plugin.metrics.summary import tally
from ssd_plugin.metrics.temperature_curve import ARMS, Arms, Compared, compare, curve_points
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages.completions import LoadedModel
from ssd_plugin.pipeline.stages.model import base_model, candidate_model
from ssd_plugin.pipeline.stages.sample_and_grade import Split, sample_and_grade
from ssd_plugin.tasks.schema import read_tasks

SCHEMA = "ssd-curve/1"
BEST = {"base_best": "base_best", "ssd_best": "candidate"}
"""The arms with one point: where the stage `evaluate` keeps them."""

Measured = dict[str, dict[float, Path]]
"""Result files of one seed by arm and temperature."""


def measure_runs(runs: Sequence[Path], controls: Sequence[Path] = ()) -> JsonObject:
    """Write analysis/curve.json into the first run and return it.

    `runs`: trained run directories of one recipe, one per seed; `controls`: runs of its control, one for each of the same seeds.

    Raises:
        RunDirError: a run has no trained model, or does not belong to the others (says in what it differs).
        ConfigError: two runs of one seed, or a control that is none.
        SamplingError, SandboxError, ResourceError: what was finished is kept for the next try.
    """
    found = [_opened(path) for path in runs]
    by_seed = {config.seed: (path, config) for path, config in zip(runs, found, strict=True)}
    if not by_seed or len(by_seed) != len(runs):
        raise ConfigError("ssd curve needs one run or more, each with a seed of its own (--set seed=N)")
    for path, config in by_seed.values():
        _require_same(path, config, runs[0], found[0])
    control_of = _controls(controls, by_seed)
    measured = [
        _measure(path, config) | ({"control": _measure_control(control_of[seed], config)} if controls else {})
        for seed, (path, config) in by_seed.items()
    ]
    document = _document(runs[0], found[0], list(by_seed), measured)
    write_json(runs[0] / layout.CURVE, document)
    return document


def _opened(path: Path) -> RunConfig:
    run = RunDir(path)
    config = config_from_json(run.read_config())
    if not candidate_model(run).is_dir():
        raise RunDirError(f"{candidate_model(run)}: no trained model yet; make it with: ssd train --run-dir {path}")
    return config


def _require_same(path: Path, config: RunConfig, first: Path, known: RunConfig) -> None:
    """Refuse a run of another base model, other held-out tasks, or other settings than the seed."""
    if replace(config, seed=known.seed, gate=known.gate, report=known.report) != known:
        raise RunDirError(f"{path}: has other settings than {first}; the runs of one curve differ in their seed only")
    for what, name in (("base model", layout.BASE_MODEL), ("held-out tasks", layout.HELD_OUT_TASKS)):
        if sha256_file(path / name) != sha256_file(first / name):
            raise RunDirError(f"{path / name}: is not the file of {first}; compare runs with the same {what}")


def _controls(controls: Sequence[Path], runs: dict[int, tuple[Path, RunConfig]]) -> dict[int, Path]:
    """The control run by seed, each held to be its run's twin: the same settings but for how training samples are drawn."""
    found = {}
    for path in controls:
        config = _opened(path)
        if config.control == "none":
            raise ConfigError(f"{path}: is no control; make one with: ssd run RECIPE --set control=fixed_point")
        if config.seed not in runs or config.seed in found:
            raise ConfigError(
                f"{path}: seed {config.seed} is not that of one run of its own; pass one control per seed"
            )
        first, known = runs[config.seed]
        _require_same(path, replace(config, control=known.control, sampling=known.sampling), first, known)
        found[config.seed] = path
    if controls and found.keys() != runs.keys():
        raise ConfigError("every seed needs its control, or none has one")
    return found


def _measure(path: Path, config: RunConfig) -> Measured:
    """The base's and the candidate's points, untruncated and, where the training samples were truncated, as these were."""
    run = RunDir(path)
    frozen = base_model(run, config)
    models = {
        "base": LoadedModel(frozen.path, config, frozen.digest),
        "ssd": LoadedModel(candidate_model(run), config),
    }
    measured: Measured = {}
    with Grading(run / layout.HELD_OUT_TASKS) as grading:
        for name, model in models.items():
            with closing(model):
                measured[name] = _points(path, config, grading, model, name, DecodeConfig(temperature=1.0))
                truncated = DecodeConfig(temperature=1.0, top_k=config.sampling.top_k, top_p=config.sampling.top_p)
                if truncated != DecodeConfig(temperature=1.0):
                    arm = f"{name}_truncated"
                    measured[arm] = _points(path, config, grading, model, arm, truncated)
    return measured | _evaluated(path, config)


def _evaluated(path: Path, config: RunConfig) -> Measured:
    """The two sides at their best decodes, where the run went that far with as many samples as the curve's second k asks for."""
    files = {arm: path / layout.evaluated_results(side) for arm, side in BEST.items()}
    if config.evaluate.samples_per_task < config.curve.pass_at or not (path / layout.EVALUATION).exists():
        return {}
    return {arm: {0.0: results} for arm, results in files.items()}


def _measure_control(path: Path, config: RunConfig) -> dict[float, Path]:
    """The control's points: its model, decoded as `config` says for the run it belongs to."""
    run = RunDir(path)
    with Grading(run / layout.HELD_OUT_TASKS) as grading, closing(LoadedModel(candidate_model(run), config)) as model:
        return _points(path, config, grading, model, "control", DecodeConfig(temperature=1.0))


def _points(
    path: Path, config: RunConfig, grading: Grading, model: LoadedModel, arm: str, decode: DecodeConfig
) -> dict[float, Path]:
    curve = config.curve
    split = Split(
        grading=grading, samples_per_task=curve.samples_per_task, max_new_tokens=config.evaluate.max_new_tokens
    )
    found = {}
    for temperature in curve.temperatures:
        at = replace(decode, temperature=temperature)
        folder = path / layout.curve_point(arm, at.label)
        _begin_with_evaluated(path, arm, at, folder)
        found[temperature] = sample_and_grade(split, model, at, folder, f"curve {arm} {at.label}").results
    return found


def _begin_with_evaluated(path: Path, arm: str, decode: DecodeConfig, folder: Path) -> None:
    """Copy what the stage `evaluate` sampled from the same model with the same decoding config, so that it need not be sampled
    again; where its tasks, seeds or number of samples are others, its key says so and it is sampled anew."""
    if folder.exists() or arm == "control" or not (path / layout.EVALUATION).exists():
        return
    sides = read_evaluation(path / layout.EVALUATION).sides
    for side in ("candidate",) if arm.startswith("ssd") else ("base", "base_best"):
        if sides[side].decode == decode:
            shutil.copytree(path / layout.evaluated(side), folder)
            return


def _document(path: Path, config: RunConfig, seeds: list[int], measured: list[Measured]) -> JsonObject:
    ks = (1, config.curve.pass_at)
    arms = [_counts(path, one) for one in measured]
    return {
        "schema": SCHEMA,
        "tasks": len(next(iter(arms[0]["base"].values()))),
        "seeds": seeds,
        "curve": asdict(config.curve) | {"temperatures": list(config.curve.temperatures)},
        "sampling": asdict(config.sampling),
        "arms": {arm: {"label": ARMS[arm], "points": _shown(arms, arm, ks)} for arm in arms[0] if arm not in BEST},
        "endpoints": [_endpoint(found) for found in compare(arms, ks)],
        "variety": variety_changes(measured),
    }


def _counts(path: Path, measured: Measured) -> Arms:
    """(samples, passes) by arm, temperature and task."""
    tasks = {task.task_id: task for task in read_tasks(path / layout.HELD_OUT_TASKS)}
    return {
        arm: {temperature: tally(results, tasks).tasks for temperature, results in points.items()}
        for arm, points in measured.items()
    }


def _shown(arms: Sequence[Arms], arm: str, ks: Sequence[int]) -> list[JsonObject]:
    by_k = {k: curve_points(arms, arm, k) for k in ks}
    return [
        {"temperature": temperature, "pass_at": {str(k): asdict(points[temperature]) for k, points in by_k.items()}}
        for temperature in by_k[1]
    ]


def _endpoint(found: Compared) -> JsonObject:
    one = found.endpoint
    named = {"arm": one.arm, "against": one.against, "label": one.label, "primary": one.primary, "k": found.k}
    return named | asdict(found.change)
