"""What the gates read off a program without running it."""

import sys

import pytest

from ssd_plugin.metrics import program_syntax as syntax


def test_a_histogram_counts_nodes_calls_imports_and_neighbouring_tokens() -> None:
    counts = syntax.histogram("import json\n\ndef f(text):\n    return json.loads(text)  # read\n")
    assert counts["FunctionDef"] == 1
    assert counts["call:loads"] == 1
    assert counts["import:json"] == 1
    assert counts["tokens:def NAME"] == 1
    assert counts["tokens:. NAME"] == 1
    assert not any("COMMENT" in key for key in counts), "layout and comments are no part of it"


def test_programs_of_the_same_nodes_differ_by_their_tokens() -> None:
    first, second = (
        syntax.histogram(f"def f(a, b, c):\n    return {value}\n") for value in ("a + b * c", "(a + b) * c")
    )
    nodes = [{key: n for key, n in side.items() if not key.startswith("tokens:")} for side in (first, second)]
    assert nodes[0] == nodes[1]
    assert first != second


def test_names_of_its_own_and_layout_do_not_move_a_program() -> None:
    assert syntax.histogram("def f(x):\n  return [x,1]") == syntax.histogram("def g(y):\n    return [ y, 1 ]  # g\n")


@pytest.mark.parametrize(
    "program",
    [
        "def f(:",
        "",
        "\x00",
        "f'{\"\\\\n\".join(x)}'",
        "(" * 500,
        "-" * sys.getrecursionlimit() * 2 + "1",
        "x = " + "a." * 3000 + "b",
    ],
)
def test_hostile_text_is_counted_or_left_out_and_never_raises(program: str) -> None:
    assert all(count > 0 for count in syntax.histogram(program).values())
