"""What `ssd verify` and `ssd promote` share: whom to trust, which policy to demand, and how a refusal looks (exit status 1)."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from ssd_plugin.core.text import visible
from ssd_plugin.errors import TrustError
from ssd_plugin.gating.policy import load_policy
from ssd_plugin.trust.keyless import Identity, Trust
from ssd_plugin.trust.signing import load_trusted

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--trust",
        "keys",
        multiple=True,
        type=_FILE,
        help="Public key (ssd.pub) of who may sign verdicts; repeat for several. Without one nothing is trusted.",
    ),
    click.option("--identity", help="Who may sign without a key (sigstore): an e-mail address or a workflow's URI."),
    click.option("--issuer", help="URL of the OIDC issuer that vouches for --identity."),
    click.option("--sigstore-config", type=_FILE, help="Trust configuration of another sigstore than the public one."),
    click.option(
        "--policy",
        help="Demand that exactly this policy judged: a shipped policy's name or a TOML file; compared by digest.",
    ),
)


def trust_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say whose verdicts count; the command gets `trust` and `policy` (a PolicyRef or None) made of them."""

    @functools.wraps(command)
    def with_trust(
        *,
        keys: tuple[Path, ...],
        identity: str | None,
        issuer: str | None,
        sigstore_config: Path | None,
        policy: str | None,
        **others: Any,
    ) -> Any:
        # An empty text, such as a variable that a CI job lacks, is a policy that does not exist, never no demand.
        demanded = None if policy is None else load_policy(policy).reference
        return command(trust=_trust(keys, identity, issuer, sigstore_config), policy=demanded, **others)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), with_trust)


def _trust(keys: tuple[Path, ...], identity: str | None, issuer: str | None, config: Path | None) -> Trust:
    if not (identity or issuer or config):
        return load_trusted(keys)
    if keys or not (identity and issuer):
        raise click.UsageError("give either --trust, or --identity and --issuer together")
    return Identity(name=identity, issuer=issuer, config=config)


def exit_untrusted(error: TrustError, as_json: bool) -> NoReturn:
    """Say why in one line on stderr (and as JSON on stdout), and leave with status 1."""
    reason = visible(str(error))
    if as_json:
        click.echo(json.dumps({"ok": False, "reason": reason}))
    click.echo(f"ssd: refused: {reason}", err=True)
    click.get_current_context().exit(1)
