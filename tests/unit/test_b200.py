"""The page about eight B200: what is committed is what the arithmetic of `ssd plan` gives, and its alternatives make sense."""

import argparse
import json

from b200 import changes, hours, padding, recipe_row
from summary import RESULTS

from ssd_plugin.recipes import load, names

COMMITTED = json.loads((RESULTS / "b200.json").read_text())
OPTIONS = argparse.Namespace(**COMMITTED["inputs"])
RECIPES = [row[0] for row in COMMITTED["recipes"]]


def test_every_recipe_of_the_paper_stands_there_as_computed_now() -> None:
    assert set(RECIPES) == {name for name in names() if not name.endswith("smollm2_135m")} - {"ssd_qwen3"}
    assert [recipe_row(load(name)(), OPTIONS) for name in RECIPES] == COMMITTED["recipes"], (
        "run: python benchmarks/b200.py"
    )


def test_changes_are_ordered_by_what_they_save() -> None:
    rows = changes(load("ssd_qwen3_4b_instruct")(), OPTIONS)
    saved = [float(before) - float(after) for _, _, before, after, _ in rows]
    assert saved == sorted(saved, reverse=True)
    assert all(saving > 0 for saving in saved)


def test_shorter_completions_and_higher_shares_take_less_time() -> None:
    config = load("ssd_qwen3_4b_instruct")()
    now, faster = (
        hours(config, OPTIONS),
        hours(config, argparse.Namespace(**COMMITTED["inputs"] | {"training_share": 0.8})),
    )
    assert now["train"] / 2 < faster["train"] < now["train"]  # not all of it is computing
    assert faster["sample"] == now["sample"]
    assert hours(config, OPTIONS, cap=8192)["sample"] < now["sample"]


def test_padding_costs_more_than_the_ratio_of_lengths() -> None:
    """Attention grows with the square of the length."""
    config = load("ssd_qwen3_4b_instruct")()
    mean = 0.99 * 4000 + 0.01 * config.sampling.max_new_tokens + 600
    assert padding(config, OPTIONS) > 65_536 / mean
