"""What `ssd verify` and `ssd promote` share: whom to trust, and how a refusal looks (exit status 1)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from ssd_plugin.errors import TrustError
from ssd_plugin.evidence.text import visible

trust_option: Callable[[Any], Any] = click.option(
    "--trust",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (ssd.pub) of who may sign verdicts; repeat for several. Without one nothing is trusted.",
)


def refuse(error: TrustError, as_json: bool) -> NoReturn:
    """Say why in one line on stderr (and as JSON on stdout), and leave with status 1."""
    reason = visible(str(error))
    if as_json:
        click.echo(json.dumps({"ok": False, "reason": reason}))
    click.echo(f"ssd: refused: {reason}", err=True)
    click.get_current_context().exit(1)
