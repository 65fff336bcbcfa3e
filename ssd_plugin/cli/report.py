"""`ssd report`: the HTML and Markdown report of a run directory, or of a sweep's."""

import json
from pathlib import Path

import click

from ssd_plugin.core import run_layout as layout


@click.command()
@click.option("--run-dir", type=click.Path(path_type=Path), required=True, help="A run or sweep, finished or not.")
@click.option("--json", "as_json", is_flag=True, help="Print the report's content as one JSON document.")
def command(run_dir: Path, as_json: bool) -> None:
    """Write report/index.html and report/summary.md; what was not run is said so. For a sweep: sweep.html and sweep.md.

    Example: ssd report --run-dir runs/ssd_smollm2_135m
    """
    from ssd_plugin.report import sweep_page, write

    if sweep_page.is_sweep(run_dir):
        document = sweep_page.rewrite_sweep(run_dir)
        pages = [run_dir / layout.SWEEP_HTML, run_dir / layout.SWEEP_MARKDOWN]
    else:
        document = write.write_report(run_dir)
        pages = [run_dir / layout.REPORT_HTML, run_dir / layout.REPORT_MARKDOWN]
    if as_json:
        click.echo(json.dumps(document, sort_keys=True, allow_nan=False))  # ASCII: an id may hold an unpaired surrogate
    else:
        click.echo(f"wrote {pages[0]} and {pages[1]}")
