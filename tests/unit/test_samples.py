"""Rows of a samples file: what is written is read back, and what is not a row is refused by name."""

from typing import Any

import pytest

from ssd_plugin.errors import DataError
from ssd_plugin.tasks.schema import Sample, sample_from_json

ROW = {"task_id": "double", "sample_id": "double#0", "completion": "def double(x):\n    return 2 * x\n"}


@pytest.mark.parametrize("more", [{}, {"finish_reason": "length"}, {"thinking": True}, {"token_ids": [1, 2]}])
def test_a_row_is_read_back(more: dict[str, Any]) -> None:
    sample = sample_from_json(ROW | more)
    assert sample.to_json() == ROW | more
    assert sample_from_json(sample.to_json()) == sample


def test_what_a_row_leaves_out_is_plain() -> None:
    assert sample_from_json(ROW) == Sample(**ROW, finish_reason="", thinking=False, token_ids=())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"thinking": "false"}, "samples.jsonl:3: field 'thinking' must be true or false, is 'false'"),
        ({"thinking": 1}, "samples.jsonl:3: field 'thinking' must be true or false, is 1"),
        ({"token_ids": [1.5]}, "samples.jsonl:3: field 'token_ids' must be a list of whole numbers"),
        ({"completion": None}, "samples.jsonl:3: field 'completion' must be non-empty text, is None"),
        ({"finish_reason": 4}, "samples.jsonl:3: field 'finish_reason' must be text, is 4"),
    ],
)
def test_what_is_no_row_is_named(more: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as caught:
        sample_from_json(ROW | more, "samples.jsonl:3")
    assert str(caught.value) == says
