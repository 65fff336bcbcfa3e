"""`ssd recipes`: what is shipped, and what each one sets."""

import inspect
import json
from typing import Any

import click

from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.recipes import load, names


@click.group("recipes")
def command() -> None:
    """List and show recipes.

    Example: ssd recipes show ssd_qwen3 --json
    """


def _about(name: str) -> str:
    return (inspect.getdoc(load(name)) or "").partition("\n")[0]


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_recipes(as_json: bool) -> None:
    """List the recipes.

    Example: ssd recipes list
    """
    about = {name: _about(name) for name in names()}
    if as_json:
        click.echo(json.dumps(about, sort_keys=True))
        return
    for name, text in about.items():
        click.echo(f"{name}\n    {text}")


def _lines(values: dict[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        nested = isinstance(value, dict)
        lines += _lines(value, f"{prefix}{key}.") if nested else [f"{prefix}{key} = {json.dumps(value)}"]
    return lines


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show_recipe(name: str, as_json: bool) -> None:
    """Show every setting of a recipe, as `--set` takes it.

    Example: ssd recipes show ssd_smollm2_135m
    """
    values = config_to_json(load(name)())
    click.echo(json.dumps(values, sort_keys=True) if as_json else "\n".join(_lines(values)))
