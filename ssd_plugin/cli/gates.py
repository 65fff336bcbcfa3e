"""`ssd gates list`: every gate, what it needs and where it comes from."""

import dataclasses
import json

import click

from ssd_plugin.cli.options import json_option


@click.group("gates")
def command() -> None:
    """The gates that policies can name.

    Example: ssd gates list
    """


@command.command("list")
@click.option("--plugin", "plugins", multiple=True, help="Also a third-party distribution's gates; may be repeated.")
@json_option
def list_gates(plugins: tuple[str, ...], as_json: bool) -> None:
    """List all gates. A third party's are loaded only when named, here or in a policy's `plugins`.

    Example: ssd gates list --plugin my-gates
    """
    from ssd_plugin.core.plugins import installed_plugins
    from ssd_plugin.gating.discovery import load_gates
    from ssd_plugin.report.gating import print_gates

    gates = load_gates(plugins)
    others = [name for name in installed_plugins() if name not in plugins]
    if not as_json:
        print_gates(gates)
        if others:
            click.echo(f"installed, not loaded: {', '.join(others)} (name them with --plugin)")
        return
    rows = {
        name: {
            "summary": found.gate.summary,
            "needs": found.gate.needs,
            "settings": {field.name: _default(field) for field in dataclasses.fields(found.gate.settings)},
            "plugin": dataclasses.asdict(found.plugin),
        }
        for name, found in gates.items()
    }
    click.echo(json.dumps({"gates": rows, "not_loaded": others}, sort_keys=True))


def _default(field: "dataclasses.Field[object]") -> object:
    """A setting's default; null where the policy has to say it."""
    return None if field.default is dataclasses.MISSING else field.default
