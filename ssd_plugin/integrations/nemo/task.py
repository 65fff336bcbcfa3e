"""A run of the pipeline as NeMo-Run's `Partial`: from a `RunConfig`, to YAML and back.

No `from __future__ import annotations` here: NeMo-Run reads these annotations at run time.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import nemo_run as run
import yaml

from ssd_plugin.config.comparisons import CurveConfig
from ssd_plugin.config.methods import GrpoConfig, GuardConfig, RolloutConfig, SdftConfig, SdpoConfig, SrpoConfig
from ssd_plugin.config.overrides import config_from_json, config_to_json, merged
from ssd_plugin.config.schema import (
    ContainerConfig,
    DataConfig,
    EngineConfig,
    EvaluateConfig,
    FilterConfig,
    GateConfig,
    ModelConfig,
    PromoteConfig,
    PythonConfig,
    ReportConfig,
    RunConfig,
    SamplingConfig,
    SelectConfig,
    TrainConfig,
)
from ssd_plugin.core.files import MOST_TOML, read_input
from ssd_plugin.core.jsonl import write_text
from ssd_plugin.errors import ConfigError, DataError

_MOST_VALUES = 100_000  # of a YAML file; a run has some hundred


def ssd_finetune(
    *,
    run_dir: str,
    recipe: str,
    method: Literal["ssd", "sdft", "sdpo", "grpo", "srpo"],
    seed: int,
    rounds: int,
    control: Literal["none", "fixed_point", "near_greedy"],
    model: ModelConfig,
    engine: EngineConfig,
    prompts: DataConfig,
    sampling: SamplingConfig,
    filters: FilterConfig,
    train: TrainConfig,
    rollout: RolloutConfig,
    sdft: SdftConfig,
    sdpo: SdpoConfig,
    grpo: GrpoConfig,
    srpo: SrpoConfig,
    guard: GuardConfig,
    select: SelectConfig,
    evaluate: EvaluateConfig,
    curve: CurveConfig,
    gate: GateConfig,
    promote: PromoteConfig,
    report: ReportConfig,
    python: PythonConfig,
    container: ContainerConfig,
) -> None:
    """Make a candidate by the method, most often Simple Self-Distillation, and gate the result.

    Raises:
        SystemExit: the verdict is not GO; its code is the verdict's (1 NO-GO, 2 INCONCLUSIVE, 3 ERROR).
    """
    sections = dict(locals())
    from ssd_plugin.integrations.tracking.run import run_and_track

    status, _ = run_and_track(
        RunConfig(**{name: value for name, value in sections.items() if name != "run_dir"}), Path(run_dir)
    )
    if status:
        raise SystemExit(status)


def _as_node(value: Any) -> Any:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return run.Config(type(value), **_fields(value))


def _fields(config: Any) -> dict[str, Any]:
    return {field.name: _as_node(getattr(config, field.name)) for field in dataclasses.fields(config)}


def to_partial(config: RunConfig, run_dir: str) -> "run.Partial[Any]":
    """The run as a tree of NeMo-Run configs, every setting in it."""
    return run.Partial(ssd_finetune, run_dir=run_dir, **_fields(config))


def write_yaml(task: "run.Partial[Any]", path: Path) -> None:
    """Write the task; `read_yaml` gives the same settings back, `nemo llm finetune --yaml` runs them.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        write_text(path, yaml.safe_dump(task, sort_keys=False))
    except OSError as error:
        raise ConfigError(f"--to-yaml {path}: cannot be written ({error.strerror})") from error


def _plain(value: Any) -> Any:
    """Without the class names that NeMo-Run writes: the settings say by themselves what they are."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if name not in ("_target_", "_partial_")}
    return value


def _refuse_expansion(values: Any, path: Path) -> None:
    """Refuse aliases that refer to themselves, or to each other until a small file means billions of values."""
    waiting, seen = [values], 0
    while waiting:
        seen += 1
        if seen > _MOST_VALUES:
            raise ConfigError(f"{path}: means more than {_MOST_VALUES} values; write it without aliases (*name)")
        value = waiting.pop()
        waiting.extend(value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ())


def read_yaml(path: Path) -> Mapping[str, Any]:
    """A YAML file's mapping, its class names still in it; nothing in the file is imported or called.

    Raises:
        ConfigError: unreadable, or not a mapping.
    """
    try:
        values = yaml.safe_load(read_input(path, MOST_TOML).decode("utf-8"))
    except DataError as error:
        raise ConfigError(str(error)) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # a number or date that is none is a ValueError
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    _refuse_expansion(values, path)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: expected a mapping of settings, found {type(values).__name__}")
    return values


def from_yaml(values: Mapping[str, Any], base: RunConfig | None) -> tuple[RunConfig, str | None]:
    """The settings that `write_yaml` wrote (all of them, or some to lay over `base`), and the run directory if named.

    Raises:
        ConfigError: a key is unknown or missing, or a value is not allowed.
    """
    settings = _plain(values)
    run_dir = settings.pop("run_dir", None)
    return config_from_json(merged(config_to_json(base) if base else {}, settings)), run_dir


def is_ours(values: Mapping[str, Any]) -> bool:
    """Whether a YAML file's `_target_` is this project's task (a file without one is taken for ours too)."""
    return str(values.get("_target_", "ssd_plugin.")).startswith("ssd_plugin.")
