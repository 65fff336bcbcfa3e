"""Suites taken apart without running them: only those that compare calls on literals with literals."""

from typing import Any

import pytest

from ssd_plugin.core.values import encode
from ssd_plugin.grading.compare import comparison
from ssd_plugin.grading.literal_suite import literal_suite


def same_value(expected: Any, form: Any) -> bool:
    return comparison("python")(expected, form)


HUMANEVAL = """

METADATA = {
    'author': 'jt',
}


def check(candidate):
    '''Doc.'''
    assert candidate([1.0, (2,)], -3) == True, "message " + str(1)
    assert True
    assert candidate('a') == {'b': [None]}
"""


def test_humaneval_form() -> None:
    suite = literal_suite(HUMANEVAL, "f")
    assert suite is not None
    assert suite.inputs == ([[1.0, {"$tuple": [2]}], -3], ["a"])
    assert suite.expected == (True, {"b": [None]})


def test_mbpp_form() -> None:
    suite = literal_suite("\n\nassert f(1, 2) == 3\nassert f(4, 5) == 9", "f")
    assert suite is not None
    assert (suite.inputs, suite.expected) == (([1, 2], [4, 5]), (3, 9))


@pytest.mark.parametrize(
    "test",
    [
        "",
        "def check(candidate):\n    pass\n",
        "def check(candidate):\n    assert abs(candidate(1) - 2) < 1e-6\n",
        "def check(candidate):\n    assert candidate(1) != 2\n",
        "def check(candidate):\n    assert candidate(1) == 1 == 1\n",
        "def check(candidate):\n    for x in range(3):\n        assert candidate(x) == x\n",
        "def check(candidate):\n    x = 1\n    assert candidate(x) == 1\n",
        "def check(candidate):\n    assert candidate(a=1) == 1\n",
        "def check(candidate):\n    assert candidate(*[1]) == 1\n",
        "def check(candidate):\n    assert other(1) == 1\n",
        "def check(candidate, more=0):\n    assert candidate(1) == 1\n",
        "def check(*candidate):\n    assert candidate(1) == 1\n",
        "@again\ndef check(candidate):\n    assert candidate(1) == 1\n",
        "import random\ndef check(candidate):\n    assert candidate(1) == 1\n",
        "def check(candidate):\n    assert candidate(object) == 1\n",
        "assert f(1) == 1\ncheck(",
    ],
)
def test_everything_else_is_run_as_code(test: str) -> None:
    assert literal_suite(test, "f") is None


@pytest.mark.parametrize("value", [1, 1.5, "x", None, True, [1, (2, {3})], {"a": 1}, {(1, 2): b"x"}, 10**400, 1j])
def test_same_value_is_pythons_equality(value: object) -> None:
    assert same_value(value, encode(value))
    assert not same_value([value], encode(value))


def test_what_is_equal_in_python_only_is_equal_here_too() -> None:
    assert same_value(True, 1)
    assert same_value(1.0, 1)
    assert not same_value([1], {"$tuple": [1]})
    assert not same_value(0.3, 0.1 + 0.2)


@pytest.mark.parametrize(
    "form", [{"$object": "E"}, {"$set": [[1]]}, {"$int": "zz"}, {"$bytes": 3}, {"$tuple": 1}, {"$x": 1}]
)
def test_hostile_forms_equal_nothing(form: object) -> None:
    assert not same_value(form, form)
    assert not same_value(1, form)


def test_a_set_goes_as_it_is_written() -> None:
    suite = literal_suite("assert f({3, 1, 2}, [4]) == 1", "f")
    assert suite is not None
    assert suite.inputs == ([{"$literal": "{3, 1, 2}"}, [4]],)
