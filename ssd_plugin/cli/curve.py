"""`ssd curve`: pass@k over decode temperatures of base, SSD and control, and the comparison fixed in advance."""

import json
from pathlib import Path

import click

from ssd_plugin.core import run_layout as layout

RUN = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN)
@click.option("--control", "controls", multiple=True, type=RUN, help="A run made with --set control=...; one per seed.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole document as JSON.")
def command(runs: tuple[Path, ...], controls: tuple[Path, ...], as_json: bool) -> None:
    """Measure trained runs at several decode temperatures; writes analysis/curve.json and curve.svg into the first.

    The settings are the run's own (`curve.temperatures`, `curve.samples_per_task`, `curve.pass_at`); several runs differ in
    their seed only. What was measured before is kept.

    Example: ssd curve runs/ssd-0 runs/ssd-1 --control runs/control-0 --control runs/control-1
    """
    from ssd_plugin.analysis.temperature_curve import measure_runs
    from ssd_plugin.core.jsonl import write_text
    from ssd_plugin.report.curve_picture import picture, sentence, terminal_lines

    document = measure_runs(runs, controls)
    write_text(runs[0] / layout.CURVE_PICTURE, picture(document))
    if as_json:
        click.echo(json.dumps(document, sort_keys=True, allow_nan=False))
        return
    for line in [*terminal_lines(document), *sentence(document)]:
        click.echo(line)
    click.echo(f"wrote {runs[0] / layout.CURVE} and {runs[0] / layout.CURVE_PICTURE}")
