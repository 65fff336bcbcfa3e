"""The tables at the end of a run: what models and task files say is text, whatever it looks like."""

from typing import Any

import pytest
from rich.console import Console

from ssd_plugin.report.terminal import domains_table, sides_table

HOSTILE = "a[/b] [red]\x1b[2J\\"
RATE = {"estimate": 0.5}


def side() -> dict[str, Any]:
    decode = {"temperature": 0.7, "top_k": 0, "top_p": 1.0}
    return {
        "label": HOSTILE,
        "decode": decode,
        "pass_at_1": RATE,
        "by_domain": {HOSTILE: {"tasks": 2, "pass_at_1": RATE}},
    }


@pytest.mark.parametrize("table", [sides_table, domains_table])
def test_markup_and_control_characters_are_shown(table: Any) -> None:
    summary = {
        "tasks": 2,
        "samples_per_task": 1,
        "sides": {name: side() for name in ("base", "base_best", "candidate")},
        "deltas": {"candidate-base_best": {"by_domain": {HOSTILE: RATE}}},
    }
    console = Console(width=200, record=True)
    console.print(table(summary))
    shown = console.export_text()
    assert "a[/b] [red]\\x1b[2J\\" in shown
    assert "\x1b" not in shown
