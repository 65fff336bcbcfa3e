"""The plain form, and what pairing refuses: every trouble is one line that names file, item and what to do."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import write_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.pairing import Pairs, pair
from ssd_plugin.harnesses.reading import files_of, read_results

Row = dict[str, Any]


def rows(count: int = 6, **changes: Any) -> list[Row]:
    """Items of a made-up benchmark; every second one is right."""
    common = {"harness": "house", "harness_version": "1.2", "task": "quiz", "decoding": "greedy", "task_version": "3"}
    return [
        common | {"item": f"q{n}", "acc": n % 2, "passage": f"p{n // 2}", "prompt_sha256": f"{n:064x}"} | changes
        for n in range(count)
    ]


@pytest.fixture
def paired(tmp_path: Path) -> Callable[..., Pairs]:
    """Two sides written and paired."""

    def run(baseline: Sequence[Row], candidate: Sequence[Row], metric: str = "acc", **settings: Any) -> Pairs:
        sides = []
        for name, side in (("baseline", baseline), ("candidate", candidate)):
            path = tmp_path / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in side))  # NaN is written as Python writes it
            sides.append(read_results(files_of(path)))
        return pair(sides[0], sides[1], metric=metric, **settings)

    return run


def test_items_are_paired_by_id_in_whatever_order(paired: Callable[..., Pairs]) -> None:
    pairs = paired(rows(), [row | {"acc": 1} for row in reversed(rows())], cluster="passage")
    assert pairs.baseline == {f"quiz/q{n}": float(n % 2) for n in range(6)}
    assert set(pairs.candidate.values()) == {1.0}
    assert pairs.clusters["quiz/q5"] == "p2"
    assert (pairs.graded_by, pairs.unstated, pairs.same) == ("house 1.2", (), False)


def test_csv_says_the_same_as_json_lines(tmp_path: Path) -> None:
    lines, table = tmp_path / "a.jsonl", tmp_path / "b.csv"
    write_jsonl(lines, rows())
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows()[0])
        writer.writeheader()
        writer.writerows(rows())
    one, other = (read_results(files_of(path))[0] for path in (lines, table))
    assert {name: item.scores["acc"] for name, item in one.items.items()} == {
        name: item.scores["acc"] for name, item in other.items.items()
    }
    assert one.conditions == other.conditions
    pair([one], [other], metric="acc", cluster="passage")


def test_samples_of_an_item_are_averaged(paired: Callable[..., Pairs]) -> None:
    def sampled(*right: int) -> list[Row]:
        return [row | {"sample": n, "acc": value} for row in rows(2) for n, value in enumerate(right)]

    pairs = paired(sampled(0, 1), sampled(1, 1, 0, 1))
    assert (pairs.baseline["quiz/q0"], pairs.candidate["quiz/q0"], pairs.samples) == (0.5, 0.75, 2)


def test_what_no_file_states_is_named_and_what_one_states_must_agree(paired: Callable[..., Pairs]) -> None:
    unsaid = rows(task_version=None)
    assert paired(unsaid, unsaid).unstated == ("task version",)
    with pytest.raises(DataError, match="task version is 3 for the baseline and not stated for the candidate"):
        paired(rows(), unsaid)


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (rows(harness="other"), "graded by house, the candidate by other"),
        (rows(harness_version="1.3"), "the harness version is 1.2 for the baseline and 1.3 for the candidate"),
        (rows(task_version="4"), "the task version is 3 for the baseline and 4"),
        (rows(decoding={"temperature": 0.8}), 'the decoding config is greedy for the baseline and {"temperature":0.8}'),
        (rows(prompt_sha256="0" * 64), "'quiz/q1' was asked with another prompt"),
        (rows(5), "1 items are on the baseline's side only, such as 'quiz/q5'"),
        (rows(7), "1 items are on the candidate's side only, such as 'quiz/q6'"),
        (rows(task="quiz2"), "task 'quiz' is on one side only"),
        ([*rows(), rows()[0]], "item 'q0' stands there twice"),
        (rows(acc=float("nan")), "acc of item 'quiz/q0' is nan"),
        (rows(acc=float("inf")), "acc of item 'quiz/q0' is inf"),
        (rows(acc=37), "acc of item 'quiz/q0' is 37; a benchmark is judged by a figure between 0 and 1"),
        (rows(acc="yes"), "has no metric 'acc'; it has none"),
        (rows(passage="elsewhere"), "has another 'passage' on each side"),
        (rows(item=""), "has no 'item'; the plain form needs item, harness"),
        ([*rows(3), *rows(harness_version="9")[3:]], "harness_version is '9', and '1.2' in the first row"),
        ([], "is not a results file of a harness that is known here"),
    ],
)
def test_sides_that_cannot_be_compared_are_refused(
    paired: Callable[..., Pairs], candidate: list[Row], said: str
) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        paired(rows(), candidate, cluster="passage")


def test_a_metric_that_is_not_there_names_those_that_are(paired: Callable[..., Pairs]) -> None:
    with pytest.raises(DataError, match="has no metric 'f1'; it has acc"):
        paired(rows(), rows(), "f1")


def test_a_task_that_is_not_there_names_those_that_are(paired: Callable[..., Pairs]) -> None:
    with pytest.raises(DataError, match="holds no results of 'mmlu'; it has quiz"):
        paired(rows(), rows(), tasks=("mmlu",))


def test_a_broken_table_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("item,harness,harness_version,task,decoding,acc\nq0,h,1,t,greedy,1\nq1,h,1,t,greedy\n")
    with pytest.raises(DataError, match=r"a\.csv:3: has not as many fields"):
        read_results([path])
    path.write_bytes(b"item,\xff\n")
    with pytest.raises(DataError, match="not readable CSV in UTF-8"):
        read_results([path])


def test_a_table_of_something_else_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows())
    (tmp_path / "times.csv").write_text("step,seconds\n1,2\n")
    assert [one.task for one in read_results(files_of(tmp_path))] == ["quiz"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 0 files that may be results"):
        files_of(tmp_path)
