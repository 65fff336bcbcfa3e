"""`ssd run RECIPE`: the whole pipeline."""

import sys
from pathlib import Path

import click

from ssd_plugin.cli.options import json_option, own_settings, print_outcome, verbose_option
from ssd_plugin.config.overrides import apply_overrides, apply_toml
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.integrations.tracking.run import run_and_track
from ssd_plugin.recipes import load


def starting_point(recipe: str, run_dir: Path) -> RunConfig:
    """The settings an existing run directory was made with, so that it continues; else the recipe's."""
    fresh = load(recipe)()
    if not (run_dir / layout.CONFIG).exists():
        return fresh
    click.echo(f"continuing {run_dir} with its own settings", err=True)
    return own_settings(run_dir)


@click.command()
@click.argument("recipe")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where the run lives. [default: runs/RECIPE]")
@click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file of settings, under --set.")
@verbose_option
@json_option
def command(
    recipe: str, run_dir: Path | None, overrides: tuple[str, ...], config: Path | None, verbose: bool, as_json: bool
) -> None:
    """Run the whole pipeline, or continue a run directory; the exit status is the verdict's.

    Example: ssd run ssd_smollm2_135m --set prompts.limit=64 --run-dir runs/small
    """
    directory = run_dir or Path("runs") / recipe
    settings = starting_point(recipe, directory)
    if config is not None:
        settings = apply_toml(settings, config)
    settings = apply_overrides(settings, overrides)
    status, _ = run_and_track(settings, directory)
    print_outcome(directory, as_json, verbose=verbose)
    sys.exit(status)
