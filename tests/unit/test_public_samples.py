"""Samples files of other harnesses are read as they are; what could be read in two ways is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.errors import DataError
from ssd_plugin.tasks.schema import read_samples


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def triples(path: Path) -> list[tuple[str, str, str]]:
    return [(sample.task_id, sample.sample_id, sample.completion) for sample in read_samples(path)]


@pytest.mark.parametrize(
    ("rows", "samples"),
    [
        ([{"task_id": "a", "sample_id": 7, "completion": "x"}], [("a", "7", "x")]),
        ([{"task_id": "a", "completion": "x"}, {"task_id": "a", "completion": ""}], [("a", "0", "x"), ("a", "1", "")]),
        (
            [{"task_id": "a", "solution": "x"}, {"task_id": "b", "solution": "y"}, {"task_id": "a", "solution": "x"}],
            [("a", "0", "x"), ("b", "0", "y"), ("a", "1", "x")],
        ),
        (
            [{"task_id": "BigCodeBench/0", "solution": "x", "raw_solution": "Say\nx"}],
            [("BigCodeBench/0", "0", "Say\nx")],
        ),
        ([{"question_id": "abc", "code_list": ["x", "y"]}], [("abc", "0", "x"), ("abc", "1", "y")]),
        (
            [
                {
                    "question_id": "abc",
                    "output_list": ["```\nx\n```", "no"],
                    "code_list": ["x", ""],
                    "graded_list": [True, False],
                }
            ],
            [("abc", "0", "```\nx\n```"), ("abc", "1", "no")],
        ),
        ([{"task_id": 3, "output": "x"}], [("3", "0", "x")]),
        ([{"task_id": 3, "output": ["x", "y"]}], [("3", "0", "x"), ("3", "1", "y")]),
        ([{"task_id": "a", "completion": "x", "solution": "x"}], [("a", "0", "x")]),
        ([{"task_id": "a", "sample_id": "0", "completion": "x", "solution": None}], [("a", "0", "x")]),
    ],
)
def test_public_forms(tmp_path: Path, rows: list[dict[str, Any]], samples: list[tuple[str, str, str]]) -> None:
    assert triples(write(tmp_path / "s.jsonl", *rows)) == samples
    (tmp_path / "s.json").write_text(json.dumps(rows))
    assert triples(tmp_path / "s.json") == samples
    with gzip.open(tmp_path / "s.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    assert triples(tmp_path / "s.jsonl.gz") == samples


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"task_id": "a", "completion": "x", "solution": "y"}], "'completion' and 'solution'"),
        ([{"task_id": "a", "completion": "x", "output": "x2"}], "'completion' and 'output'"),
        ([{"task_id": "a", "solution": "x", "code_list": ["y"]}], "'solution' and 'code_list'"),
        ([{"question_id": "a", "output_list": ["x"], "code_list": ["x", "x"]}], "'output_list' and 'code_list'"),
        (
            [{"task_id": "a", "completion": "x"}, {"task_id": "a", "sample_id": 1, "completion": "y"}],
            "in every row or in none",
        ),
        (
            [{"task_id": "a", "sample_id": 1, "completion": "y"}, {"task_id": "b", "completion": "x"}],
            "in every row or in none",
        ),
        ([{"task_id": "a", "sample_id": "0", "code_list": ["x", "y"]}], "one sample_id for 2 completions"),
        ([{"task_id": "a", "code_list": []}], "holds no completion"),
        ([{"task_id": "a", "code_list": "x"}], "must be a list"),
        ([{"task_id": "a", "output": [1]}], "'completion' must be"),
        ([{"task_id": "a", "completion": None}], "is null"),
        ([{"task_id": "a", "sample_id": True, "completion": "x"}], "'sample_id' must be"),
        ([{"task_id": "a", "text": "x"}], "'completion' must be text, is missing"),
        ([{"completion": "x"}], "'task_id' must be"),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], named: str
) -> None:
    path = write(tmp_path / "s.jsonl", *rows)
    with pytest.raises(DataError, match=rf"s\.jsonl:\d+: .*{named}"):
        triples(path)
