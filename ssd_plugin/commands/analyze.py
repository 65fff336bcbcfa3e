"""`ssd analyze`: forks and locks of a run, written into its directory for the report."""

import json
from pathlib import Path

import click


@click.command()
@click.option("--run-dir", type=click.Path(path_type=Path), required=True, help="A run directory with a trained model.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole analysis as one JSON document.")
def command(run_dir: Path, as_json: bool) -> None:
    """Compare base and fine-tuned model token by token on held-out programs; writes analysis/forks.json.

    Example: ssd analyze --run-dir runs/ssd_smollm2_135m
    """
    from ssd_plugin.analysis.run import analyze_run

    document = analyze_run(run_dir)
    if as_json:
        click.echo(json.dumps(document, sort_keys=True, allow_nan=False))
        return
    click.echo("            tokens   entropy          within support   tail mass            loss of the training text")
    for name, row in {"all": document["all"], **document["kinds"]}.items():
        cells = [f"{row[key]['base']:.3f} -> {row[key]['candidate']:.3f}" for key in ("entropy", "kept_entropy")]
        tail, loss = row["tail"], row["loss"]
        cells += [f"{tail['base']:.5f} -> {tail['candidate']:.5f}", f"{loss['base']:.3f} -> {loss['candidate']:.3f}"]
        click.echo(f"{name:10}  {row['tokens']:6}   " + "   ".join(cells))
    click.echo(f"wrote {run_dir / 'analysis/forks.json'}; ssd report --run-dir {run_dir} draws it")
