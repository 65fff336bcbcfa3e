"""Diversity of a task's samples."""

import pytest

from ssd_plugin.errors import DataError
from ssd_plugin.metrics.diversity import Diversity, of_side, of_task

LOOP = "def f(values):\n    total = 0\n    for value in values:\n        total += value\n    return total\n"
BUILTIN = "def f(values):\n    return sum(values)\n"


def test_one_repeated_answer_has_no_diversity() -> None:
    assert of_task([LOOP] * 4) == Diversity(distinct=0.25, similarity=1.0, lines=5.0)


def test_renaming_is_no_new_answer_but_another_algorithm_is() -> None:
    assert of_task([LOOP, LOOP.replace("total", "acc")]).distinct == 0.5
    assert of_task([LOOP, BUILTIN]).distinct == 1.0


def test_similarity_is_the_overlap_of_trigrams() -> None:
    assert of_task(["a b c d", "a b c e"]).similarity == pytest.approx(1 / 3)  # abc of abc, bcd, bce
    assert of_task(["", ""]).similarity == 1.0
    assert of_task(["a b c", "x y z"]).similarity == 0.0


def test_a_side_is_measured_apart_and_hostile_text_does_not_stop_it() -> None:
    hostile = "(" * 5000 + "-" * 5000
    found = of_side({"t": [LOOP, BUILTIN], "h": [hostile, hostile]})
    assert found["t"] == of_task([LOOP, BUILTIN])
    assert found["h"].distinct == 0.5


def test_one_sample_is_refused() -> None:
    with pytest.raises(DataError, match="two samples"):
        of_task([LOOP])
