"""Flips and the side-by-side view, without any file."""

from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.metrics.summary import Tally
from ssd_plugin.report.flips import Line, find_flips, side_by_side
from ssd_plugin.tasks.schema import Task

LINES = st.lists(st.text(alphabet="ab +=(", max_size=8), max_size=8)


def text(line: Line) -> str:
    return "".join(piece for piece, _ in line.spans)


@given(LINES, LINES)
def test_both_columns_hold_their_whole_program_in_order_and_align(left: list[str], right: list[str]) -> None:
    columns = side_by_side(left, right)
    assert len(columns[0]) == len(columns[1])
    for program, column, mark in ((left, columns[0], "removed"), (right, columns[1], "added")):
        assert "".join(map(text, column)) == "".join(program)
        assert {line.mark for line in column} <= {"", mark}
    for one, two in zip(*columns, strict=True):
        if not one.mark and not two.mark:
            assert text(one) == text(two)


def test_only_the_differing_words_are_marked() -> None:
    (left,), (right,) = side_by_side(["total += value"], ["total -= value"])
    assert left.spans == (("total ", False), ("+", True), ("= value", False))
    assert right.spans == (("total ", False), ("-", True), ("= value", False))


def test_a_line_of_one_side_faces_a_blank() -> None:
    left, right = side_by_side(["a", "b"], ["a", "new", "b"])
    assert [text(line) for line in left] == ["a", "", "b"]
    assert [line.mark for line in right] == ["", "added", ""]


def test_flips_are_the_differing_tasks_the_clearest_first() -> None:
    tasks = {name: Task(task_id=name, prompt="p", domain=f"d{name}") for name in "abcd"}
    before = Tally(tasks={"a": (4, 4), "b": (4, 2), "c": (4, 1), "d": (4, 0)})
    after = Tally(tasks={"a": (4, 3), "b": (4, 2), "c": (4, 4), "d": (4, 1)})
    flips = find_flips(tasks, before, after)
    assert [(flip.task_id, flip.won) for flip in flips] == [("c", True), ("a", False), ("d", True)]
    assert (flips[0].baseline, flips[0].candidate, flips[0].domain) == (0.25, 1.0, "dc")
