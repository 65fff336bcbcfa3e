"""Comparison rules, and that hostile forms are never equal and never raise."""

import json
import time
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.core.values import MAX_DEPTH, ValueTooDeepError, decode, encode
from ssd_plugin.grading.compare import comparison, same_output

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
HASHABLE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=4
)
PLAIN = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=6,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["$tuple", "$set", "$dict", "$int", "$bytes"]), inner)
    ),
    max_leaves=6,
)


def equal(expected: Any, form: Any, rule: str = "json", atol: float = 0) -> bool:
    return comparison(rule, atol)(expected, form)


def same_type(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


@given(PLAIN)
def test_encoding_loses_nothing(value: Any) -> None:
    assert same_type(decode(encode(value)), value)


@given(PLAIN)
def test_every_plain_value_equals_itself(value: Any) -> None:
    assert equal(value, encode(value))


@given(PLAIN, JSON)
def test_hostile_forms_never_raise(expected: Any, actual: Any) -> None:
    assert equal(expected, actual) in (True, False)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 1.0),
        (2.0, 2),
        (0.1 + 0.2, 0.3),
        (float("nan"), float("nan")),
        (float("inf"), float("inf")),
        ([1, 2], (1, 2)),
        ({1, 2}, {2, 1}),
        ({1, 2}, frozenset({1, 2})),
        ({1: "a", (2, 3): [4]}, {(2, 3): [4], 1: "a"}),
        (10**400, 10**400),
        ({"a": 1.0}, {"a": 1}),
        (b"x", b"x"),
        ({1.0}, {1}),
        (1j, 1j),
    ],
)
def test_equal(expected: Any, actual: Any) -> None:
    assert equal(expected, encode(actual))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, True),
        (True, 1),
        (False, 0),
        (0, None),
        (1, "1"),
        (1, 2),
        (1.0, 1.1),
        (float("nan"), 0.0),
        (float("inf"), float("-inf")),
        ((1, 2), [1, 2]),
        ([1, 2], {1, 2}),
        ({1}, [1]),
        ([1], [1, 2]),
        ({"a": 1}, {"a": 2}),
        ({"1": 1}, {1: 1}),
        (b"x", "x"),
        (b"x", bytearray(b"x")),
        (1, 1 + 1e-9),
        ({True}, {1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        (10**20, 10**20 + 1),
        ([], None),
        ("", []),
    ],
)
def test_not_equal(expected: Any, actual: Any) -> None:
    assert not equal(expected, encode(actual))


def test_objects_equal_nothing_not_even_themselves() -> None:
    class Always:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    class Number(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    for value in (Always(), Number(3), object(), lambda: 0):
        form = encode(value)
        assert list(form) == ["$object"]
        assert not equal(form, form)
        assert not equal(3, form)


def test_depth_is_bounded() -> None:
    nested: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        nested = [nested]
    with pytest.raises(ValueTooDeepError):
        encode(nested)


@pytest.mark.parametrize("form", [{"$int": "zz"}, {"$bytes": "0"}, {"$what": 1}, {"$dict": [[1]]}])
def test_malformed_tags_are_refused(form: Any) -> None:
    with pytest.raises(ValueError):
        decode(form)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("1 2\n3\n", "1 2  \r\n3\n\n", True),
        ("1.50\n", "1.5", True),
        ("YES\n", "yes\n", False),
        ("1 2\n", "1\n2\n", False),
        ("1\n", "", False),
        ("", "", True),
        ("nan\n", "NaN\n", False),
        ("10", "1e1", True),
        ("a 1.0", "a 1", False),
        ("3", "sNaN", False),
        ("sNaN", "3", False),
        ("sNaN", "snan", False),
        ("3", "NaN", False),
        ("1000", "1_000", False),
        ("12", "\u0661\u0662", False),
        ("-.5 +2.", "-0.50 2", True),
        ("1", "1e99999999999999999999", False),
        ("1 2", "1", False),
    ],
)
def test_output_lines(expected: str, actual: str, same: bool) -> None:
    assert same_output(expected, actual) is same


def test_a_deep_key_costs_what_it_is_long() -> None:
    deep: Any = ()
    for _ in range(MAX_DEPTH // 2):
        deep = (deep,)
    for expected, actual in (({1}, {deep}), ({1: 2}, {deep: 2}), ({deep, 1}, {frozenset({deep}), 1})):
        assert not equal(expected, encode(actual))
        assert equal(actual, encode(actual))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({("a,b",)}, {("a", "b")}),
        ({"(1)"}, {(1,)}),
        ({((1,), 2)}, {(1, (2,))}),
        ({"set(1)"}, {frozenset({1})}),
        ({frozenset({1, 2})}, {(1, 2)}),
        ({()}, {frozenset()}),
        ({'a","b'}, {"a", "b"}),
    ],
)
def test_different_members_have_different_texts(one: Any, other: Any) -> None:
    assert not equal(one, encode(other))


def test_a_long_run_of_digits_is_compared_in_linear_time() -> None:
    started = time.process_time()
    assert not same_output("1" * 500_000, "1" * 500_000 + "x")
    assert not same_output("." + "1" * 500_000, "." + "1" * 500_000 + "x")
    assert same_output("1" * 500_000 + ".0", "1" * 500_000)
    assert time.process_time() - started < 10  # it was hours


class Celsius(int):
    """Compares as an int does."""


Point = namedtuple("Point", "x y")

ALIKE: list[tuple[str, Any, Any, float]] = [
    ("python", 0, False, 0),
    ("python", {True}, {1}, 0),
    ("python", 2.0, numpy.float64(2), 0),
    ("python", [3], [numpy.int32(3)], 0),
    ("python", True, numpy.bool_(True), 0),
    ("python", "x", numpy.str_("x"), 0),
    ("python", 0.5, Fraction(1, 2), 0),
    ("python", 5, Decimal(5), 0),
    ("python", (1, 2), Point(1, 2), 0),
    ("python", {"a": 1}, Counter(a=1), 0),
    ("python", {1: [2]}, defaultdict(list, {1: [2]}), 0),
    ("python", 3, Celsius(3), 0),
    ("python", range(3), range(3), 0),
    ("python", deque([1]), deque([1]), 0),
    ("python", date(2020, 1, 1), date(2020, 1, 1), 0),
    ("python", b"x", bytearray(b"x"), 0),
    ("python", "\ud83d\ude00", "\ud83d\ude00", 0),
    ("livecodebench", [1, 2], (1, 2), 0),
    ("evalplus", 0, False, 0),
    ("evalplus", 0.1 + 0.2, 0.3, 0),
    ("evalplus", [0.1 + 0.2], [0.3], 0),
    ("evalplus", 1 / 3, 0.33333, 1e-4),
    ("evalplus", [(1.0, 2.0)], [[1.00001, 2.0]], 1e-4),
    ("evalplus", 2.0, 2, 0),
]
UNLIKE: list[tuple[str, Any, Any, float]] = [
    ("python", [1], (1,), 0),
    ("python", 0.1 + 0.2, 0.3, 0),
    ("python", float("nan"), float("nan"), 0),
    ("python", OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), 0),
    ("python", [0, 1, 2], range(3), 0),
    ("python", [1], deque([1]), 0),
    ("python", "\U0001f600", "\ud83d\ude00", 0),
    ("python", {"\U0001f600": 1}, {"\ud83d\ude00": 1}, 0),
    ("livecodebench", [[1]], [(1,)], 0),
    ("livecodebench", 0.3, 0.1 + 0.2, 0),
    ("evalplus", [1], (1,), 0),
    ("evalplus", [[1]], [(1,)], 0),
    ("evalplus", [1.0], (1.0 + 1e-9,), 0),
    ("evalplus", 1.0 + 1e-9, 1, 0),
    ("evalplus", [[0.1 + 0.2]], [[0.3]], 0),
    ("evalplus", 1 / 3, 0.333, 1e-4),
    ("evalplus", float("nan"), float("nan"), 1e-4),
    ("evalplus", [1, "a"], [2, "a"], 10),
    ("evalplus", None, 0, 1e-4),
]


@pytest.mark.parametrize(("rule", "expected", "actual", "atol"), ALIKE)
def test_what_a_benchmark_takes_as_equal(rule: str, expected: Any, actual: Any, atol: float) -> None:
    assert equal(expected, json.loads(json.dumps(encode(actual))), rule, atol)


@pytest.mark.parametrize(("rule", "expected", "actual", "atol"), UNLIKE)
def test_what_a_benchmark_takes_as_different(rule: str, expected: Any, actual: Any, atol: float) -> None:
    assert not equal(expected, json.loads(json.dumps(encode(actual))), rule, atol)


@given(PLAIN, PLAIN)
def test_pythons_rule_is_pythons_equality(one: Any, other: Any) -> None:
    for value in (one, other):
        assert equal(one, encode(value), "python") == (one == value)


def test_members_that_all_collide_cost_what_they_are_long() -> None:
    prime = (1 << 61) - 1
    hostile = [index * prime for index in range(30_000)]
    started = time.process_time()
    for expected in ("y", set(range(30_000)), dict.fromkeys(range(30_000))):
        for form in ({"$set": hostile}, {"$dict": [[item, None] for item in hostile]}):
            assert not equal(expected, form, "python")
    for tag in ("$fraction", "$decimal", "$complex", "$int", "$float"):
        for content in ({"$set": hostile}, {"$tuple": [{"$set": hostile}, 1]}, [{"$set": hostile}, 1]):
            assert not equal(1.0, {tag: content}, "json")
    assert time.process_time() - started < 20  # it was minutes
