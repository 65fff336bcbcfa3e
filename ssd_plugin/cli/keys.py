"""`ssd keys`: the key pair that signs verdicts."""

import json
from pathlib import Path

import click

from ssd_plugin.cli.options import json_option
from ssd_plugin.trust.signing import KINDS, new_keys


@click.group("keys")
def command() -> None:
    """Make signing keys.

    Example: ssd keys new --out keys
    """


@command.command("new")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory for the two files."
)
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="ed25519",
    show_default=True,
    help="ecdsa-p256 is what model-signing and other sigstore tools take.",
)
@json_option
def new(out: Path, kind: str, as_json: bool) -> None:
    """Write ssd.key (private, mode 0600) and ssd.pub; never overwrites.

    Example: ssd keys new --out keys
    """
    made = new_keys(out, kind)
    facts = {"private": str(made.private), "public": str(made.public), "key_id": made.key_id}
    if as_json:
        click.echo(json.dumps(facts, sort_keys=True))
        return
    click.echo(f"key {made.key_id}")
    click.echo(f"private {made.private}  (keep it secret: ssd gate --sign)")
    click.echo(f"public  {made.public}  (give it away: ssd verify --trust)")
