"""`ssd sweep RECIPE`: which T_train, T_eval and truncation, chosen on the development split."""

from pathlib import Path

import click

from ssd_plugin.cli.options import json_option
from ssd_plugin.cli.run import starting_point
from ssd_plugin.config.overrides import apply_overrides, apply_toml
from ssd_plugin.core import run_layout as layout
from ssd_plugin.errors import ConfigError
from ssd_plugin.planning.checks import refuse_problems
from ssd_plugin.planning.versions import version_problems


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"--t-train {text!r}: write temperatures such as 0.7,1,1.3") from None


@click.command()
@click.argument("recipe")
@click.option("--t-train", default="", help="Training temperatures: 0.7,1,1.3. [default: the recipe's, or as before]")
@click.option("--truncation", default="", help="Truncations of the training samples: 20/0.8,none. [default: likewise]")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where the sweep lives. [default: runs/RECIPE-sweep]")
@click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file of settings, under --set.")
@json_option
def command(
    recipe: str,
    t_train: str,
    truncation: str,
    run_dir: Path | None,
    overrides: tuple[str, ...],
    config: Path | None,
    as_json: bool,
) -> None:
    """One fine-tune a T_train and truncation, each decoded at every T_eval; continues where it stopped, without the grid
    being named again. What is named then is added to the grid.

    T_eval and its truncations are the settings select.temperatures and select.truncations. The base is decoded on the
    same grid; the best cell of the development split is scored once on the held-out split.

    Example: ssd sweep ssd_smollm2_135m --t-train 0.7,1,1.3 --set select.temperatures=0.1,0.5,0.9
    """
    from ssd_plugin.core.jsonl import dumps
    from ssd_plugin.pipeline.sweep import Grid, run_sweep
    from ssd_plugin.report.sweep_page import write_sweep

    directory = run_dir or Path("runs") / f"{recipe}-sweep"
    settings = starting_point(recipe, directory)
    if config is not None:
        settings = apply_toml(settings, config)
    settings = apply_overrides(settings, overrides)
    refuse_problems(version_problems(settings))
    truncations = tuple(part.strip() for part in truncation.split(",") if part.strip())
    document = run_sweep(settings, directory, Grid(t_trains=_numbers(t_train), truncations=truncations))
    write_sweep(directory, document)
    if as_json:
        click.echo(dumps(document))
        return
    chosen, gain = document["chosen"], document["held_out"]["deltas"]["candidate-base_best"]
    click.echo(f"chosen: {chosen['cell']}, decoded at T_eval {chosen['decode']['temperature']:g}")
    click.echo(
        f"held-out pass@1 against the base's best decode: {gain['estimate']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    )
    click.echo(f"wrote {directory / layout.SWEEP_HTML}")
