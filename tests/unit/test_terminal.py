"""The tables at the end of a run: what models and task files say is text, whatever it looks like."""

from typing import Any

import pytest
from rich.console import Console

from ssd_plugin.config.schema import DecodeConfig
from ssd_plugin.core.run_layout import EVALUATED
from ssd_plugin.metrics.evaluation import PAIRS, Estimate, EvaluatedSide, Evaluation, PairedChange, PassRates
from ssd_plugin.report.terminal import domains_table, sides_table

HOSTILE = "a[/b] [red]\x1b[2J\\"
RATE = Estimate(estimate=0.5)


def side() -> EvaluatedSide:
    return EvaluatedSide(
        label=HOSTILE,
        decode=DecodeConfig(temperature=0.7),
        tasks=2,
        pass_at_1=RATE,
        statuses={"pass": 1, "fail": 1},
        truncated=0.0,
        by_domain={HOSTILE: PassRates(tasks=2, pass_at_1=RATE)},
        by_difficulty={},
    )


@pytest.mark.parametrize("table", [sides_table, domains_table])
def test_markup_and_control_characters_are_shown(table: Any) -> None:
    change = PairedChange(pass_at_1=RATE, by_domain={HOSTILE: RATE}, by_difficulty={})
    evaluation = Evaluation(
        tasks=2,
        samples_per_task=1,
        sides={name: side() for name in EVALUATED},
        deltas=dict.fromkeys(PAIRS, change),
    )
    console = Console(width=200, record=True)
    console.print(table(evaluation))
    shown = console.export_text()
    assert "a[/b] [red]\\x1b[2J\\" in shown
    assert "\x1b" not in shown
