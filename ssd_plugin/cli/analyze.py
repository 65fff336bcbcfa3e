"""`ssd analyze`: forks and locks of a run, written into its directory for the report."""

import json
from pathlib import Path

import click

from ssd_plugin.core import run_layout as layout

TERMS = ("support", "reshaping", "alignment", "loss")


@click.command()
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A run directory with a trained model.",
)
@click.option(
    "--programs", type=click.IntRange(min=2), default=64, show_default=True, help="Held-out programs to read."
)
@click.option(
    "--documents", type=click.IntRange(min=0), default=32, show_default=True, help="Functions of ordinary code to read."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole analysis as one JSON document.")
def command(run_dir: Path, programs: int, documents: int, as_json: bool) -> None:
    """Compare base and fine-tuned model token by token on held-out programs; writes analysis/forks.json.

    Each model reads every program once (256 tokens of code at most, after the task's prompt), and every function of
    ordinary code once (512 tokens at most, from Python's standard library).

    Example: ssd analyze --run-dir runs/ssd_smollm2_135m
    """
    from ssd_plugin.analysis.run import analyze_run

    document = analyze_run(run_dir, programs=programs, documents=documents)
    if as_json:
        click.echo(json.dumps(document, sort_keys=True, allow_nan=False))
        return
    click.echo("            tokens   entropy          within support   tail mass            loss of the training text")
    for name, row in {"all": document["all"], **document["kinds"]}.items():
        cells = [f"{row[key]['base']:.3f} -> {row[key]['candidate']:.3f}" for key in ("entropy", "kept_entropy")]
        tail, loss = row["tail"], row["loss"]
        cells += [f"{tail['base']:.5f} -> {tail['candidate']:.5f}", f"{loss['base']:.3f} -> {loss['candidate']:.3f}"]
        click.echo(f"{name:10}  {row['tokens']:6}   " + "   ".join(cells))
    whole, ordinary = document["all"], document["ordinary"]
    terms = (f"{key} {whole[key]['base']:.4f} -> {whole[key]['candidate']:.4f}" for key in TERMS)
    click.echo(f"loss terms, nats per token: {', '.join(terms)}")
    if ordinary:
        figures = ordinary["nats_per_character"]
        click.echo(
            f"ordinary code, {ordinary['documents']} functions: {figures['base']:.4f} -> {figures['candidate']:.4f} "
            f"nats a character ({figures['change']['low']:+.4f} to {figures['change']['high']:+.4f})"
        )
    click.echo(f"{whole['programs']} of {document['programs_found']} held-out programs read")
    click.echo(f"wrote {run_dir / layout.FORKS}; ssd report --run-dir {run_dir} draws it")
