"""A finished evaluation is read whole, or refused in one line that names the file and the field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_run import build_run

from ssd_plugin.core import run_layout
from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.core.run_layout import EVALUATED
from ssd_plugin.errors import DataError
from ssd_plugin.metrics.evaluation import PAIRS, read_evaluation
from ssd_plugin.report.terminal import print_table


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = build_run(tmp_path_factory.mktemp("evaluated"), tasks=8, samples=5)
    document: dict[str, Any] = read_json(run / run_layout.EVALUATION)
    return document


def test_what_the_stage_writes_is_read_without_loss(written: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", written)
    found = read_evaluation(tmp_path / "summary.json")
    assert (found.tasks, found.samples_per_task) == (8, 5)
    assert (list(found.sides), set(found.deltas)) == (list(EVALUATED), set(PAIRS))
    for name, side in found.sides.items():
        row = written["sides"][name]
        assert {f"pass_at_{k}": rate.to_json() for k, rate in side.pass_at.items()} == {
            key: row[key] for key in row if key.startswith("pass_at_")
        }
        assert side.by_domain["maths"].pass_at_1.estimate == row["by_domain"]["maths"]["pass_at_1"]["estimate"]
    for pair, delta in found.deltas.items():
        assert {group: change.to_json() for group, change in delta.by_domain.items()} == written["deltas"][pair][
            "by_domain"
        ]


Damage = Callable[[dict[str, Any]], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a number is missing": (lambda d: d.pop("tasks"), "evaluation.tasks is missing"),
    "a number is text": (lambda d: d.update(tasks="8"), "evaluation.tasks = '8' is not allowed"),
    "a side is missing": (lambda d: d["sides"].pop("base_best"), "evaluation.sides = base, candidate"),
    "a side too many": (lambda d: d["sides"].update(other=d["sides"]["base"]), "evaluation.sides = "),
    "no side": (lambda d: d.update(sides={}), "evaluation.sides = none"),
    "sides in a list": (lambda d: d.update(sides=[]), "evaluation.sides = []"),
    "a pair is missing": (lambda d: d["deltas"].pop("candidate-base"), "evaluation.deltas = "),
    "pass@1 is missing": (lambda d: d["sides"]["base"].pop("pass_at_1"), "sides.base.pass_at_1 is missing"),
    "pass@1 is null": (lambda d: d["sides"]["base"].update(pass_at_1=None), "sides.base.pass_at_1 = None"),
    "pass@5 of one side": (lambda d: d["sides"]["candidate"].pop("pass_at_5"), "sides.candidate has other pass_at_k"),
    "not finite": (lambda d: d["sides"]["base"]["pass_at_1"].update(low=float("nan")), "pass_at_1.low = nan"),
    "beyond one": (lambda d: d["sides"]["base"]["pass_at_1"].update(estimate=61.0), "pass_at_1.estimate = 61.0"),
    "half an interval": (lambda d: d["sides"]["base"]["pass_at_1"].pop("low"), "pass_at_1.low and high"),
    "an unknown key": (lambda d: d["sides"]["base"].update(pass_at_7={}), "sides.base.pass_at_7 is not a known key"),
    "a decoding that cannot be": (lambda d: d["sides"]["base"]["decode"].update(top_p=7.0), "sides.base.decode.top_p"),
    "counts that are none": (lambda d: d["sides"]["base"]["statuses"].update({"pass": 0.5}), "statuses.pass = 0.5"),
    "a domain is missing": (
        lambda d: d["sides"]["candidate"]["by_domain"].pop("maths"),
        "sides.candidate.by_domain has other groups",
    ),
    "a difference's domain is missing": (
        lambda d: d["deltas"]["candidate-base"]["by_domain"].pop("maths"),
        "deltas.candidate-base.by_domain has other groups",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_evaluation_is_refused_with_its_file_and_field(
    name: str, written: dict[str, Any], tmp_path: Path
) -> None:
    damage, said = DAMAGES[name]
    document = json.loads(json.dumps(written))
    damage(document)
    path = tmp_path / run_layout.EVALUATION
    path.parent.mkdir()
    path.write_text(json.dumps(document))
    for read in (lambda: read_evaluation(path), lambda: print_table(tmp_path)):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: ")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
