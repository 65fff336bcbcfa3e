"""`ssd plan RECIPE`: what a run needs and whether it can work, without running anything."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.parsing import build
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.models.shape import model_shape
from ssd_plugin.planning.checks import find_problems, refuse_problems
from ssd_plugin.planning.estimate import (
    LENGTHS,
    Assumptions,
    StageEstimate,
    assumptions_for,
    estimate,
    without_time,
)
from ssd_plugin.planning.memory import GIB, SHARE, TrainingMemory, training_memory
from ssd_plugin.recipes import load

if TYPE_CHECKING:
    from rich.console import Console


def assume(start: Assumptions, texts: Iterable[str]) -> Assumptions:
    """`start` with `name=number` texts laid over it.

    Raises:
        ConfigError: no such assumption (nearest names offered), or a value that is not allowed.
    """
    changes: dict[str, object] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            raise ConfigError(f"--assume {text}: write NAME=NUMBER") from None
    return build(Assumptions, dataclasses.asdict(start) | changes, "--assume")


def _range(low: float, high: float) -> str:
    return f"{low:.1f}" if round(low, 1) == round(high, 1) else f"{low:.1f} to {high:.1f}"


def _print_table(console: "Console", stages: list[StageEstimate]) -> None:
    from rich.table import Table

    on_gpus = any(stage.gpus for stage in stages)
    table = Table("stage", *["GPUs"] * on_gpus, "tokens", *["GPU-hours"] * on_gpus, "disk GB", "", box=None)
    for stage in stages:
        hours = _range(stage.gpu_hours, stage.gpu_hours_high) if stage.gpus else ""
        tokens = f"{stage.tokens:,}" if stage.tokens else ""
        gpus = str(stage.gpus or "")
        disk = f"{stage.disk / 1e9:.1f}"
        table.add_row(stage.name, *[gpus] * on_gpus, tokens, *[hours] * on_gpus, disk, stage.note)
    total = _range(sum(stage.gpu_hours for stage in stages), sum(stage.gpu_hours_high for stage in stages))
    disk = f"{sum(stage.disk for stage in stages) / 1e9:.1f}"
    table.add_row("total", *[""] * on_gpus, "", *[total] * on_gpus, disk, "")
    console.print(table)


def _basis(config: RunConfig, stages: list[StageEstimate], assumptions: Assumptions) -> str:
    """What the figures rest on: of the assumptions, those that were used."""
    on_gpus = any(stage.gpus for stage in stages)
    values = {n: v for n, v in dataclasses.asdict(assumptions).items() if on_gpus or n in LENGTHS}
    untimed = without_time(config)
    missing = f" Time is not estimated for {' and '.join(untimed)}." if untimed else ""
    texts = ", ".join(f"{name}={value:g}" for name, value in values.items())
    return f"Estimates, not measurements.{missing} They assume (change with --assume NAME=VALUE): {texts}"


def _memory(memory: TrainingMemory, assumptions: Assumptions) -> str:
    parts = ", ".join(f"{name} {value / GIB:.1f}" for name, value in dataclasses.asdict(memory).items())
    limit = SHARE * assumptions.gpu_bytes / GIB
    return f"Training memory on the fullest GPU: {memory.total / GIB:.1f} of {limit:.1f} GiB usable ({parts})"


def _print(config: RunConfig, stages: list[StageEstimate], memory: TrainingMemory, assumptions: Assumptions) -> None:
    from rich.console import Console

    console = Console()
    _print_table(console, stages)
    texts = ["", _basis(config, stages, assumptions)]
    texts += [_memory(memory, assumptions)] if config.train.backend == "megatron" else []
    for text in texts:
        console.print(text, markup=False, highlight=False)


def _executor(name: str, fields: tuple[str, ...]) -> Any:
    """The executor that the options name, if any."""
    if not name:
        return None
    from ssd_plugin.integrations.nemo.check import require_nemo

    require_nemo()
    from ssd_plugin.integrations.nemo.render import build_executor

    return build_executor(name, fields)


def _with_its_gpus(assumptions: Assumptions, executor: Any) -> Assumptions:
    """The assumptions with the executor's GPUs and nodes, if it has any."""
    if executor is None:
        return assumptions
    from ssd_plugin.integrations.nemo.launch import gpus_and_nodes

    gpus, nodes = gpus_and_nodes(executor)
    return dataclasses.replace(assumptions, gpus=gpus, nodes=nodes) if gpus else assumptions


def _job_files(config: RunConfig, run_dir: str, executor: Any) -> dict[str, str]:
    if executor is None:
        return {}
    from ssd_plugin.integrations.nemo.render import render

    return render(config, run_dir, executor)


@click.command()
@click.argument("recipe")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting.")
@click.option("--assume", "assumed", multiple=True, metavar="NAME=VALUE", help="Change an assumption of the estimates.")
@click.option("--model-config", type=click.Path(path_type=Path), help="config.json of a model that is not known here.")
@click.option("--executor", default="", help="Print the job files for slurm, kubernetes or skypilot (needs nemo-run).")
@click.option("--executor-set", "fields", multiple=True, metavar="FIELD=VALUE", help="A field of the executor.")
@click.option("--run-dir", default="", help="The run directory that the job files name. [default: runs/RECIPE]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    recipe: str,
    overrides: tuple[str, ...],
    assumed: tuple[str, ...],
    model_config: Path | None,
    executor: str,
    fields: tuple[str, ...],
    run_dir: str,
    as_json: bool,
) -> None:
    """Show stages, GPUs, tokens, GPU-hours, disk and memory of a run; exit status 3 if it cannot work.

    Example: ssd plan ssd_qwen3 --assume gpus=8 --executor slurm --executor-set account=research
    """
    config = apply_overrides(load(recipe)(), overrides)
    shape = model_shape(config.model.ref, model_config)
    target = _executor(executor, fields)
    assumptions = assume(_with_its_gpus(assumptions_for(config), target), assumed)
    problems = find_problems(
        config, shape, gpus=assumptions.gpus, nodes=assumptions.nodes, gpu_bytes=assumptions.gpu_bytes
    )
    stages = estimate(config, shape, assumptions)
    memory = training_memory(shape, config.train, assumptions.gpus * assumptions.nodes)
    files = {} if problems else _job_files(config, run_dir or f"runs/{recipe}", target)
    if as_json:
        document = {
            "recipe": recipe,
            "assumptions": dataclasses.asdict(assumptions),
            "without_time": without_time(config),
            "stages": [dataclasses.asdict(stage) for stage in stages],
            "training_memory_bytes": dataclasses.asdict(memory) | {"total": memory.total},
            "problems": problems,
            "job_files": files,
        }
        click.echo(json.dumps(document, sort_keys=True))
    else:
        _print(config, stages, memory, assumptions)
        for name, text in files.items():
            click.echo(f"\n# ---- {name} ----\n{text}")
    refuse_problems(problems)
