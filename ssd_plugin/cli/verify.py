"""`ssd verify`: a verdict's signature, age and digests, offline."""

import json
from pathlib import Path

import click

from ssd_plugin.cli.options import json_option
from ssd_plugin.cli.trust_options import exit_untrusted, trust_options
from ssd_plugin.core.text import visible
from ssd_plugin.errors import TrustError
from ssd_plugin.gating.verdict import PolicyRef
from ssd_plugin.trust.evidence_files import MODEL_SIGNATURE
from ssd_plugin.trust.keyless import Trust
from ssd_plugin.trust.verification import verify


@click.command("verify")
@click.option(
    "--verdict",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A gate run's verdict.json.",
)
@click.option("--model", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The model's directory.")
@click.option("--promotable", is_flag=True, help="Refuse a GO whose policy cannot promote a model.")
@click.option(
    "--model-signature",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Demand this OpenSSF Model Signing bundle, by who is trusted; model.sig beside the verdict must hold if it is there.",
)
@trust_options
@json_option
def command(
    verdict: Path,
    model: Path | None,
    promotable: bool,
    model_signature: Path | None,
    trust: Trust,
    policy: PolicyRef | None,
    as_json: bool,
) -> None:
    """Check that a verdict is a valid GO, signed by a trusted key, over exactly these files.

    Exit status: 0 it is; 1 refused, with the reason; 3 wrong usage.

    \b
    Example: ssd verify --verdict out/verdict.json --trust keys/ssd.pub \\
               --model runs/my-run/train/model --policy policies/production.toml
    """
    try:
        verified = verify(
            verdict, trust, model=model, policy=policy, promotable=promotable, model_signature=model_signature
        )
    except TrustError as error:
        exit_untrusted(error, as_json)
    facts = {
        "ok": True,
        "outcome": verified.verdict.outcome,
        "policy": verified.verdict.policy.name,
        "promotable": verified.verdict.promotable,
        "key_id": verified.key_id,
        "expires": verified.verdict.expires,
        "verdict_sha256": verified.verdict_sha256,
        "model_signature": bool(model_signature) or MODEL_SIGNATURE in verified.evidence,
        "unchecked": list(verified.unchecked),
    }
    if as_json:
        click.echo(json.dumps(facts, sort_keys=True))
        return
    click.echo(f"GO by policy {visible(verified.verdict.policy.name)}, valid until {verified.verdict.expires}")
    click.echo(f"signed by {verified.key_id}")
    if facts["model_signature"]:
        click.echo("its model signature (OpenSSF Model Signing) holds")
    for name in verified.unchecked:
        click.echo(f"note: not checked: {visible(name)}")
