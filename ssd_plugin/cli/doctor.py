"""`ssd doctor`: what this machine can run, and how to get the rest."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from ssd_plugin.cli.options import json_option
from ssd_plugin.integrations.doctor import State, examine

MARKS = {State.OK: "ok", State.ABSENT: "--", State.BAD: "BAD"}


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Look at Python, memory, disk, sandbox tiers, engines and frameworks; exit 3 if the embedded line cannot run.

    Example: ssd doctor
    """
    findings = examine(Path.cwd())
    bad = [finding for finding in findings if finding.state is State.BAD]
    if as_json:
        click.echo(json.dumps({"ok": not bad, "findings": [asdict(f) for f in findings]}, sort_keys=True))
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.state]:4} {finding.what:20} {finding.detail}")
            if finding.remedy:
                click.echo(f"     {'':20} -> {finding.remedy}")
    sys.exit(3 if bad else 0)
