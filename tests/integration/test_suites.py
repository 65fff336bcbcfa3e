"""Suites that check nothing are not believed, and what suites look at arrives."""

import json
from pathlib import Path

import pytest

from ssd_plugin.grading.grader import read_graded, score_file
from ssd_plugin.tasks.schema import Status


def statuses(where: Path, rows: list[tuple[str, str, str]]) -> list[Status]:
    """Statuses of (suite, reference, program) rows, each a task of its own."""
    tasks, samples = where / "t.jsonl", where / "s.jsonl"
    with tasks.open("w") as out:
        for number, (test, reference, _) in enumerate(rows):
            row = {"task_id": str(number), "prompt": "Write f.", "kind": "assert", "entry_point": "f", "test": test}
            out.write(json.dumps(row | {"reference": reference}) + "\n")
    with samples.open("w") as out:
        for number, (_, _, program) in enumerate(rows):
            out.write(json.dumps({"task_id": str(number), "sample_id": "0", "completion": program}) + "\n")
    score_file(tasks, samples, where / "r.jsonl")
    return [row.status for row in read_graded(where / "r.jsonl").rows]


RIGHT = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize("reference", [RIGHT, ""])
def test_suites_that_check_nothing_are_not_believed(tmp_path: Path, reference: str) -> None:
    suites = [
        "def verify(candidate):\n    assert candidate(1) == 2\n",
        "def check(candidate):\n    candidate(1)\n",
        "def check(candidate):\n    if candidate(1) is not None:\n        assert candidate(1) == 2\n",
        "def check(candidate):\n    try:\n        assert candidate(1) == 2\n    except Exception:\n        pass\n",
    ]
    found = statuses(tmp_path, [(suite, reference, RIGHT) for suite in suites])
    assert found == [Status.INFRA] * len(suites)


def test_test_functions_and_cases_are_run(tmp_path: Path) -> None:
    suites = [
        "def test_one():\n    assert f(1) == 2\n",
        "class TestF:\n    def test_one(self):\n        assert f(1) == 2\n",
        "import unittest\nclass Cases(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(f(1), 2)\n",
    ]
    rows = [(suite, RIGHT, program) for suite in suites for program in (RIGHT, "def f(x):\n    return x\n")]
    assert statuses(tmp_path, rows) == [Status.PASS, Status.FAIL] * len(suites)


def test_the_state_of_the_argument_is_seen(tmp_path: Path) -> None:
    kept = "def check(c):\n    v = [2, 1]\n    assert c(v) == [1, 2]\n    assert v == [2, 1]\n"
    sorts = "def check(c):\n    v = [2, 1]\n    assert c(v) is None\n    assert v == [1, 2]\n"
    new, inside = "def f(v):\n    return sorted(v)\n", "def f(v):\n    v.sort()\n    return list(v)\n"
    alone = "def f(v):\n    v.sort()\n"
    rows = [(kept, new, new), (kept, new, inside), (sorts, alone, alone), (sorts, alone, "def f(v):\n    sorted(v)\n")]
    assert statuses(tmp_path, rows) == [Status.PASS, Status.FAIL] * 2


LIAR = """
class E:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __len__(self): return 1
    def __bool__(self): return True
    def __iter__(self): return iter([self])
    def __hash__(self): return 0
def f(x):
    return E()
"""


def test_an_object_that_equals_everything_fails_in_every_form_of_suite(tmp_path: Path) -> None:
    suites = [
        "assert f(1) == [2]\n",
        "def check(c):\n    for x in (1, 2):\n        assert c(x) == [x + 1]\n",
        "def check(c):\n    assert [2] == c(1)\n    assert not c(1) != [2]\n",
        "def check(c):\n    found = list(c(1))\n    assert found == [2]\n",
        "def check(c):\n    assert c(1) in ([2],)\n",
        "def check(c):\n    assert {c(1)[0]} == {2}\n",
        "def test_one():\n    assert f(1) == [2]\n",
        "import unittest\nclass Cases(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(f(1), [2])\n",
    ]
    right = "def f(x):\n    return [x + 1]\n"
    rows = [(suite, right, program) for suite in suites for program in (right, LIAR)]
    assert statuses(tmp_path, rows) == [Status.PASS, Status.FAIL] * len(suites)


def test_what_a_suite_uses_of_the_program_is_there(tmp_path: Path) -> None:
    size = "import sys\ndef f(x):\n    return sys.getsizeof(x)\n"
    calls = "def f(g, x):\n    return g(x) + 1\n"
    own = "class Odd(Exception):\n    pass\ndef f(x):\n    raise Odd('no', x)\n"
    suite = "def check(c):\n    try:\n        c(1)\n    except Odd as error:\n        assert error.args == ('no', 1)\n"
    suite += "    else:\n        assert False\n"
    rows = [
        ("def check(c):\n    x = (1, 2)\n    assert c(x) == sys.getsizeof((1, 2))\n", size, size),
        ("def check(c):\n    seen = []\n    assert c(lambda x: 2 * x, 3) == 7\n", calls, calls),
        ("def check(c):\n    assert c(lambda x: 2 * x, 3) == 7\n", calls, "def f(g, x):\n    return x + 1\n"),
        (suite, own, own),
        (suite, own, own.replace("'no'", "'yes'")),
    ]
    assert statuses(tmp_path, rows) == [Status.PASS, Status.PASS, Status.FAIL, Status.PASS, Status.FAIL]
