"""`ssd generate`: tasks and a model, on disk or behind a server, to a samples file."""

import json
from pathlib import Path

import click

from ssd_plugin.cli.options import TASKS_HELP, json_option
from ssd_plugin.core.text import visible


@click.command("generate")
@click.option("--tasks", required=True, help=TASKS_HELP)
@click.option(
    "--model", required=True, help="Model directory, hub id, .gguf file or pypi:NAME; with --server its name there."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Samples file to write.")
@click.option("--server", default="", help="Base URL of an OpenAI-compatible API, such as http://localhost:8000/v1.")
@click.option("--key-env", default="", help="Environment variable that holds the server's key.")
@click.option("--concurrency", type=int, default=16, show_default=True, help="Requests at a time to the server.")
@click.option("--samples", type=int, default=10, show_default=True, help="Completions of each task.")
@click.option("--temperature", type=float, default=0.7, show_default=True, help="0 is greedy.")
@click.option("--top-k", type=int, default=0, show_default=True, help="0 is off.")
@click.option("--top-p", type=float, default=1.0, show_default=True, help="1 is off.")
@click.option("--max-new-tokens", type=int, default=2048, show_default=True, help="The longest completion.")
@click.option("--seed", type=int, default=0, show_default=True, help="Each sample's own seed follows from it.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="engine.* and model.* as in a run; may be repeated.",
)
@json_option
def command(
    tasks: str,
    model: str,
    out: Path,
    server: str,
    key_env: str,
    concurrency: int,
    samples: int,
    temperature: float,
    top_k: int,
    top_p: float,
    max_new_tokens: int,
    seed: int,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Complete every task with a model into a samples file that `ssd gate` and `ssd score` take; run it again to continue one
    that was cut off. Prompts and seeds are those of a run's evaluation. Other samples are never written over.

    \b
    Example: ssd generate --tasks tasks.jsonl --model ORG/NAME --out samples.jsonl
    Example: ssd generate --tasks tasks.jsonl --server http://localhost:8000/v1 \\
               --model NAME --out samples.jsonl
    """
    from ssd_plugin.config.generating import GenerateConfig
    from ssd_plugin.config.overrides import apply_overrides
    from ssd_plugin.config.parsing import build
    from ssd_plugin.pipeline.generate import generate

    given = {
        "seed": seed,
        "model": {"ref": model},
        "server": {"url": server, "key_env": key_env, "concurrency": concurrency},
        "decode": {"temperature": temperature, "top_k": top_k, "top_p": top_p},
        "samples_per_task": samples,
        "max_new_tokens": max_new_tokens,
    }
    if not out.name:
        raise click.UsageError("--out is empty; name the samples file")
    made = generate(tasks, out, apply_overrides(build(GenerateConfig, given, ""), overrides))
    if as_json:
        document = {"out": str(out), "source": made.source, "seeded": made.seeded} | made.counts.as_facts()
        click.echo(json.dumps(document, sort_keys=True))
        return
    counts = made.counts
    share = counts.truncated / counts.completions
    click.echo(f"{counts.completions} completions, {counts.tokens} tokens, {share:.0%} at the length limit")
    click.echo(f"by {visible(made.source)}{'' if made.seeded else ', which takes no seeds'}")
    click.echo(f"written: {out}")
