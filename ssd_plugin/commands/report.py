"""`ssd report`: the HTML and Markdown report of a run directory."""

import json
from pathlib import Path

import click


@click.command()
@click.option("--run-dir", type=click.Path(path_type=Path), required=True, help="A run directory, finished or not.")
@click.option("--json", "as_json", is_flag=True, help="Print the report's content as one JSON document.")
def command(run_dir: Path, as_json: bool) -> None:
    """Write report/index.html and report/summary.md; what was not run is said so.

    Example: ssd report --run-dir runs/ssd_smollm2_135m
    """
    from ssd_plugin.report.write import HTML, MARKDOWN, write_report

    document = write_report(run_dir)
    if as_json:
        click.echo(json.dumps(document, sort_keys=True, allow_nan=False))  # ASCII: an id may hold an unpaired surrogate
    else:
        click.echo(f"wrote {run_dir / HTML} and {run_dir / MARKDOWN}")
