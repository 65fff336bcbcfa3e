"""What several commands share: `--json`, and the commands that bring a run directory's line up to one stage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ssd_plugin.config.overrides import config_from_json
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.errors import ConfigError
from ssd_plugin.pipeline import manifest
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.runner import run_pipeline

TASKS_HELP = "Task file, a benchmark's file as published, or its name (humaneval+, ...)."

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document at the end."
)

verbose_option: Callable[[Any], Any] = click.option(
    "--verbose", is_flag=True, help="Show every gate with its whole reason, and all tables."
)

run_dir_option: Callable[[Any], Any] = click.option(
    "--run-dir", type=click.Path(path_type=Path), required=True, help="An existing run directory."
)


def own_settings(run_dir: Path) -> RunConfig:
    """The settings that a run directory was last run with.

    Raises:
        RunDirError: it is no run directory.
        ConfigError: they are damaged, or of another version.
    """
    try:
        return config_from_json(RunDir(run_dir).read_config())
    except ConfigError as error:
        raise ConfigError(f"{run_dir / layout.CONFIG}: {error}; restore the file, or give another --run-dir") from error


def continue_pipeline(run_dir: Path, until: str, as_json: bool) -> None:
    """Bring a run directory's line up to the stage `until`, with the directory's own settings."""
    run_pipeline(own_settings(run_dir), run_dir, until=until)
    if as_json:
        print_outcome(run_dir, as_json)


def pipeline_command(name: str, *, until: str, about: str) -> click.Command:
    """A command `ssd NAME --run-dir DIR` that continues the pipeline up to the stage `until`."""

    example = f"Example: ssd {name} --run-dir runs/ssd_smollm2_135m"

    @click.command(name, help=f"{about}, with the run directory's own settings.\n\n{example}")
    @run_dir_option
    @json_option
    def command(run_dir: Path, as_json: bool) -> None:
        continue_pipeline(run_dir, until, as_json)

    return command


def print_outcome(run_dir: Path, as_json: bool, *, verbose: bool = False) -> None:
    """The end of a run on one screen, or all of it (`verbose`); or the stages' facts as JSON."""
    if as_json:
        records = manifest.load(run_dir / layout.MANIFEST)
        stages = {name: {"summary": r.summary, "seconds": r.seconds, "facts": r.facts} for name, r in records.items()}
        click.echo(json.dumps({"run_dir": str(run_dir), "stages": stages}, sort_keys=True))
        return
    from ssd_plugin.report.terminal import print_table

    print_table(run_dir, verbose=verbose)
