"""`ssd promote`: move a model to its registry's alias, on a valid GO only; `--rollback` moves the alias back."""

import json
from pathlib import Path

import click

from ssd_plugin.cli.options import json_option
from ssd_plugin.cli.trust_options import exit_untrusted, trust_options
from ssd_plugin.errors import TrustError
from ssd_plugin.gating.verdict import PolicyRef
from ssd_plugin.trust.keyless import Identity, Keyless, Trust
from ssd_plugin.trust.model_signature import Signer, require_signer
from ssd_plugin.trust.promotion import Promotion, promote, roll_back
from ssd_plugin.trust.registry.uri import open_registry


@click.command("promote")
@click.option(
    "--verdict", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A gate run's verdict.json."
)
@click.option("--model", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The model's directory.")
@click.option("--registry", required=True, help="A directory, or an MLflow tracking URI.")
@click.option("--name", default="model", show_default=True, help="The model's name in the registry.")
@click.option("--rollback", is_flag=True, help="Go back to the version that the champion replaced.")
@click.option(
    "--sign",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="ECDSA private key (ssd keys new --kind ecdsa-p256) that also signs the model for other tools (OpenSSF Model Signing).",
)
@click.option(
    "--keyless", is_flag=True, help="Sign the model so with this CI job's or user's OIDC identity (sigstore)."
)
@trust_options
@json_option
def command(
    verdict: Path | None,
    model: Path | None,
    registry: str,
    name: str,
    rollback: bool,
    sign: Path | None,
    keyless: bool,
    trust: Trust,
    policy: PolicyRef | None,
    as_json: bool,
) -> None:
    """Copy a model into the registry and point its alias "champion" at it: only on a valid GO of a trusted key, over
    exactly these files, against the registry's current champion.

    Exit status: 0 the alias points at the model; 1 refused, the alias is where it was; 3 wrong usage, or a registry that
    failed.

    \b
    Example: ssd promote --verdict out/verdict.json --model runs/my-run/train/model \\
               --registry registry --trust keys/ssd.pub --policy policies/production.toml
    """
    if rollback and (verdict or model or policy or sign or keyless):
        raise click.UsageError(
            "--rollback takes no --verdict, --model, --policy or signer: it goes back to what was champion"
        )
    signer = _signer(sign, keyless, trust)
    target = open_registry(registry, name)
    try:
        if rollback:
            done = roll_back(target, trust)
        elif verdict and model:
            done = promote(verdict, model, target, trust, policy=policy, signer=signer)
        else:
            raise click.UsageError("give --verdict and --model, or --rollback")
    except TrustError as error:
        exit_untrusted(error, as_json)
    _report(done, "rolled back" if rollback else "promoted", as_json)


def _signer(key: Path | None, keyless: bool, trust: Trust) -> Signer | None:
    """Who signs the model: whoever it is must be among those that are trusted, since the registry's copy is checked."""
    if key and keyless:
        raise click.UsageError("give --sign or --keyless, not both")
    if (key and isinstance(trust, Identity)) or (keyless and not isinstance(trust, Identity)):
        raise click.UsageError("--sign goes with --trust, --keyless with --identity and --issuer")
    signer = Keyless(config=trust.config) if isinstance(trust, Identity) and keyless else key
    if signer:
        require_signer(signer)
    return signer


def _report(done: Promotion, action: str, as_json: bool) -> None:
    if done.version == done.before:
        action = "already champion"
    if as_json:
        facts = {"ok": True, "action": action, "registry": done.where, "version": done.version, "before": done.before}
        click.echo(json.dumps(facts, sort_keys=True))
        return
    moved = f" (was {done.before})" if done.before and done.before != done.version else ""
    click.echo(f"{action}: {done.where} champion is version {done.version}{moved}")
