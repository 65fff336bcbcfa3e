"""`ssd simulate`: the paper's toy, on the terminal and as a picture page."""

from pathlib import Path

import click

from ssd_plugin.core.files import refuse_special
from ssd_plugin.core.jsonl import dumps, write_text


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write one HTML page with the pictures."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the sampled version.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(out: Path | None, seed: int, as_json: bool) -> None:
    """The paper's toy of the precision-exploration conflict, in closed form and sampled.

    Example: ssd simulate --out toy.html
    """
    from ssd_plugin.report.toy_page import simulate

    if out is not None:
        refuse_special(out)
    figures, page = simulate(seed)
    if out is not None:
        write_text(out, page)
    if as_json:
        click.echo(dumps(figures))
        return
    click.echo("model     best T_eval   success   paper              sampled (95 % interval)")
    for row in figures["best"]:
        sampled = f"{row['sampled']:.2%} [{row['low']:.2%}, {row['high']:.2%}]"
        click.echo(
            f"{row['model']:8}  {row['temperature']:11.3f}  {row['success']:8.2%}   {row['paper']:17}  {sampled}"
        )
    top = max(figures["sweep"], key=lambda cell: cell["success"])
    click.echo(
        f"best student of the sweep: T_train {top['t_train']:g}, top-p {top['top_p']:g}, "
        f"T_eval {top['t_eval']:.3f}: {top['success']:.2%}"
    )
    if out is not None:
        click.echo(f"wrote {out}")
