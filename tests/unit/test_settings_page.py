"""docs/settings.md has every setting of `config.py` with its type and default, and none that is not there."""

import dataclasses
import json
import re
import typing
from pathlib import Path
from typing import Any, Literal

import pytest

from ssd_plugin.config.schema import RunConfig

PAGE = Path(__file__).parents[2] / "docs/settings.md"
TYPES = {str: "text", int: "whole number", float: "number", bool: "yes or no"}
TYPES |= {tuple[float, ...]: "list of numbers", tuple[str, ...]: "list of texts", dict[str, Any]: "table"}
Row = dict[str, str]


def documented() -> dict[str, dict[str, Row]]:
    """The page's rows by section and setting; the run's own settings are section ""."""
    found: dict[str, dict[str, Row]] = {}
    for heading, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        rows = [
            [cell.strip() for cell in line.strip("| ").split(" | ")] for line in body.splitlines() if line[:1] == "|"
        ]
        head, _, *entries = rows
        table = {row[0].strip("`"): dict(zip(head, row, strict=True)) for row in entries}
        assert len(table) == len(entries), f"{heading}: a setting stands there twice"
        found |= dict.fromkeys(re.findall(r"`([a-z.]+)`", heading) or [""], table)
    return found


def sections(kind: Any = RunConfig, path: str = "") -> dict[str, dict[str, Any]]:
    """The dataclasses' own settings (field and type) by section."""
    hints = typing.get_type_hints(kind)
    found: dict[str, dict[str, Any]] = {path: {}}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            found |= sections(hints[field.name], f"{path}.{field.name}".strip("."))
        else:
            found[path][field.name] = (field, hints[field.name])
    return found


SECTIONS = sections()


def test_the_page_has_the_sections_and_no_other() -> None:
    assert len(SECTIONS) > 12
    assert documented().keys() == SECTIONS.keys()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda name: name or "the run")
def test_every_setting_stands_there_with_its_type_and_default(section: str) -> None:
    rows = documented()[section]
    assert list(rows) == list(SECTIONS[section]), "the settings, in the order of config.py"
    for name, (field, kind) in SECTIONS[section].items():
        row = rows[name]
        choice = typing.get_origin(kind) is Literal
        assert row["type"] == ("choice" if choice else TYPES[kind]), name
        value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        default = "the recipe's" if value is dataclasses.MISSING else f"`{json.dumps(value)}`"
        assert row["default"] == default, name
        assert row["allowed"], name
        assert row["what it does"], name
        if choice:
            assert re.findall(r"`(\w+)`", row["allowed"]) == list(typing.get_args(kind)), name
