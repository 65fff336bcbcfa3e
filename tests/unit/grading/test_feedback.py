"""What a model is told stays bounded and printable, whatever a program reports."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.core.values import encode
from ssd_plugin.grading.feedback import (
    LONGEST_FIELD,
    Feedback,
    FeedbackKind,
    PublicCase,
    of_error,
    shown,
    written,
    written_call,
)

FORMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$tuple", "$set", "$dict", "$int"]), inner)
    ),
    max_leaves=12,
)


def harmless(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


@given(FORMS)
def test_any_form_is_written_in_bounds(form: Any) -> None:
    assert harmless(written(form))
    assert len(written(form)) <= LONGEST_FIELD


@given(
    st.dictionaries(st.sampled_from(["raised", "line"]), FORMS, min_size=2),
    st.booleans(),
    st.sampled_from(FeedbackKind),
)
def test_any_report_gives_bounded_text(line: dict[str, Any], quote: bool, kind: FeedbackKind) -> None:
    case = PublicCase(input="x", output="y", expected="z")
    feedback = of_error(kind, "raised", line, "one\ntwo\n", case, quote=quote)
    assert harmless(feedback.text())
    assert len(feedback.text()) < 2000
    assert 0 <= feedback.line <= 3
    assert quote or (feedback.message, feedback.case) == ("", None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, (2,), {"a": {3}}], "[1, (2,), {'a': {3}}]"),
        ({1: None}, "{1: None}"),
        (float("inf"), "inf"),
        (set(), "set()"),
        ("a\x1b[31m", "'a\\x1b[31m'"),
    ],
)
def test_values_are_written_as_python_writes_them(value: Any, text: str) -> None:
    assert written(encode(value)) == text


def test_calls_and_deep_forms() -> None:
    assert written_call("Solution.f", ([1], {"$literal": "{1, 2}"}, {"$tuple": []})) == "f([1], {1, 2}, ())"
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert written(deep) == "(a value that cannot be shown)"
    assert shown("a\x00\u202eb\nc" + "d" * 999).startswith("a  b\ncddd")
    assert " ... " in shown("d" * 999)


@pytest.mark.parametrize("kind", FeedbackKind)
def test_every_kind_says_something(kind: FeedbackKind) -> None:
    assert Feedback(kind=kind).text().endswith(".")
    assert json.dumps(kind) == f'"{kind.value}"'
