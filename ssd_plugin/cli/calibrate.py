"""`ssd calibrate`: how often a policy blocks an honest model, and what it lets through."""

import dataclasses
import json
from pathlib import Path

import click

from ssd_plugin.cli.options import TASKS_HELP, json_option


@click.command("calibrate")
@click.option("--policy", default="default", show_default=True, help="A shipped policy's name or a TOML file.")
@click.option("--tasks", required=True, help=TASKS_HELP)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    required=True,
    help="Samples or result file, two samples per task or more.",
)
@click.option("--replicates", type=click.IntRange(min=10), default=100, show_default=True, help="Of each experiment.")
@json_option
def command(policy: str, tasks: str, baseline: Path, replicates: int, as_json: bool) -> None:
    """A/A: judge the baseline against itself, and against itself made worse by the margin.

    Example: ssd calibrate --policy samples_only --tasks tasks.jsonl --baseline champion.jsonl
    """
    from ssd_plugin.core.workplace import CALIBRATION, Workplace
    from ssd_plugin.gating.calibration import calibrate
    from ssd_plugin.report.gating import print_calibration
    from ssd_plugin.tasks.benchmarks import tasks_file

    with Workplace(CALIBRATION) as place:
        path = tasks_file(tasks, place.path / "tasks.jsonl")
        found = calibrate(policy, path, baseline, place.path, replicates=replicates)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), sort_keys=True))
    else:
        print_calibration(found)
