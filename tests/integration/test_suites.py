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


SEES = {  # suite, a program that leaves its argument as it is, and one that does not
    "lists in a tuple": ("v = ([2, 1], [3])\n    assert c(v) == 3\n    assert v == ([2, 1], [3])\n",
        "    return sum(map(len, v))\n", "    for one in v: one.sort()\n    return sum(map(len, v))\n"),
    "a list met twice": ("v = [2, 1]\n    assert c([v, v]) == 2\n    assert v == [2, 1]\n",
        "    return len(v)\n", "    v[0].append(0)\n    return len(v)\n"),
    "a named tuple": ("from collections import namedtuple\n"
        "    v = namedtuple('P', 'a')([2, 1])\n    assert c(v) == 2\n    assert v.a == [2, 1]\n",
        "    return len(v.a)\n", "    v.a.sort()\n    return len(v.a)\n"),
    "an array": ("import numpy\n    v = numpy.array([2, 1])\n    assert c(v) == 3\n    assert v.tolist() == [2, 1]\n",
        "    return int(v.sum())\n", "    v.sort()\n    return int(v.sum())\n"),
    "a defaultdict": ("from collections import defaultdict\n"
        "    v = defaultdict(list, a=[1])\n    assert c(v) == 1\n    assert list(v) == ['a']\n",
        "    return len(v)\n", "    v['b']\n    return len(v) - 1\n"),
    "a true for a one": ("v = [1]\n    assert c(v) == 1\n    assert v[0] is not True\n",
        "    return len(v)\n", "    v[0] = True\n    return len(v)\n"),
    "what is inside the result": ("v = [[1]]\n    w = c(v)\n    assert w == v and w[0] is not v[0]\n",
        "    return [list(one) for one in v]\n", "    return v[:]\n"),
    "the argument of an earlier call": ("v = [1]\n    assert c(v) == 1\n    assert c([5]) == 5\n    assert v == [1]\n",
        "    return v[0]\n", "    for one in kept: one.append(0)\n    kept.append(v)\n    return v[0]\nkept = []\n"),
    "an object of the suite": ("class N:\n        def __init__(self): self.v = [2, 1]\n"
        "    v = N()\n    assert c(v) == 2\n    assert v.v == [2, 1]\n",
        "    return len(v.v)\n", "    v.v.sort()\n    return len(v.v)\n"),
    "an iterator": ("v = iter([1, 2])\n    assert c(v) == 1\n    assert next(v) == 2\n",
        "    return next(v)\n", "    return list(v)[0]\n"),
    "an object of the program": ("v = Node(1)\n    assert c(v) == 1\n    assert v.value == 1\n",
        "    return v.value\nclass Node:\n    def __init__(self, value): self.value = value\n",
        "    v.value += 1\n    return v.value - 1\nclass Node:\n    def __init__(self, value): self.value = value\n"),
}  # fmt: skip


def test_the_state_of_arguments_is_seen_at_every_depth(tmp_path: Path) -> None:
    rows = []
    for suite, *bodies in SEES.values():
        programs = ["def f(v):\n" + body for body in bodies]
        rows += [("def check(c):\n    " + suite, programs[0], program) for program in programs]
    found = statuses(tmp_path, rows)
    assert dict(zip(SEES, zip(found[::2], found[1::2], strict=True), strict=True)) == dict.fromkeys(
        SEES, (Status.PASS, Status.FAIL)
    )


def test_a_suite_that_needs_the_programs_own_objects_runs_beside_it(tmp_path: Path) -> None:
    suite = "def check(c):\n    assert isinstance(c(1), Box) and Box(2).value + c(1).value == 3\n"
    box = "class Box:\n    def __init__(self, value): self.value = value\n"
    rows = [
        (suite, box + "def f(x): return Box(x)\n", box + f"def f(x): return {value}\n") for value in ("Box(x)", "x")
    ]
    assert statuses(tmp_path, rows) == [Status.PASS, Status.FAIL]
    assert read_graded(tmp_path / "r.jsonl").meta["suites_beside"] == ["0", "1"]


def test_tests_are_found_as_pytest_and_scripts_find_them(tmp_path: Path) -> None:
    several = "import pytest\n@pytest.mark.parametrize('a, b', [(1, 2), pytest.param(2, 3)])\n"
    suites = [
        several + "@pytest.mark.parametrize('c', [0, (0,)])\ndef test_one(a, b, c):\n    assert f(a) == b\n",
        "class TestF:\n    def setup_method(self):\n        self.b = 2\n    def test_one(self):\n        assert f(1) == self.b\n",
        "async def test_one():\n    assert f(1) == 2\n",
        "def run():\n    assert f(1) == 2\nif __name__ == '__main__':\n    run()\n",
        "import unittest\nclass C(unittest.TestCase):\n    def test_one(self):\n        assert f(1) == 2\nunittest.main()\n",
        "import sys\ndef check(c):\n    sys.exit(c(1) != 2)\n",
        "import sys\nsys.exit(0 if f(1) == 2 else 3)\n",
    ]
    rows = [(suite, RIGHT, program) for suite in suites for program in (RIGHT, "def f(x):\n    return x\n")]
    assert statuses(tmp_path, rows) == [Status.PASS, Status.FAIL] * len(suites)


def test_a_program_that_leaves_does_not_end_a_suite(tmp_path: Path) -> None:
    suite = "def check(c):\n    assert {}c(1) == 2\n"
    leaves = "class Box: pass\nimport sys\ndef f(x):\n    sys.exit(0)\n"
    rows = [(suite.format(more), "class Box: pass\n" + RIGHT, leaves) for more in ("", "issubclass(Box, object) and ")]
    assert statuses(tmp_path, rows) == [Status.FAIL] * 2
    assert read_graded(tmp_path / "r.jsonl").meta["suites_beside"] == ["1"]


ENUM = "from enum import Enum, IntEnum\nclass C({}):\n    R = 1\n    G = 2\n"
DATA = "from dataclasses import dataclass\n@dataclass(order=True)\nclass P:\n    a: int\n"
NAMED = "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int\n    def b(self): return self.a\n"
LIST = "class L(list):\n    def top(self): return self[-1]\n"
DEFAULT = "from collections import defaultdict\n"
KINDS = {  # imports and classes; a right result; a wrong one; what the suite says of it
    "an instance that is an int": (ENUM.format("IntEnum"), "C(x)", "C.G", "c(1) == 1"),
    "an enum": (ENUM.format("Enum"), "C(x)", "C.G", "c(1) is C.R"),
    "a dataclass": (DATA, "P(x)", "P(0)", "c(1) == P(1)"),
    "an order": (DATA, "P(x)", "P(-1)", "c(1) > P(0)"),
    "a named tuple's subclass": (NAMED, "P(x)", "P(0)", "c(1).b() == 1 and c(1) == (1,)"),
    "a view of a buffer": ("", "memoryview(bytes([x]))", "memoryview(b'')", "c(1) == bytes([1])"),
    "a path": ("from pathlib import Path\n", "Path(str(x))", "Path('2')", "c(1).name == '1'"),
    "a generator": ("", "(i for i in range(x))", "(i for i in range(2))", "list(c(1)) == [0]"),
    "a closure": ("", "lambda y: x + y", "lambda y: y", "c(1)(2) == 3"),
    "a default of one's own": (DEFAULT, "defaultdict(lambda: 7)", "defaultdict(lambda: 8)", "c(1)[5] == 7"),
    "not a number": ("", "float('nan')", "1.0", "c(1) != c(1)"),
    "no end": ("", "float('inf')", "1e308", "c(1) > 1e308"),
    "a list of one's own": (LIST, "L([x])", "L([0])", "c(1) == [1] and c(1).top() == 1"),
}


def test_results_of_every_kind_are_judged(tmp_path: Path) -> None:
    rows = []
    for head, right, wrong, said in KINDS.values():
        programs = [f"{head}def f(x):\n    return {value}\n" for value in (right, wrong)]
        rows += [(f"def check(c):\n    assert {said}\n", programs[0], program) for program in programs]
    found = statuses(tmp_path, rows)
    assert dict(zip(KINDS, zip(found[::2], found[1::2], strict=True), strict=True)) == dict.fromkeys(
        KINDS, (Status.PASS, Status.FAIL)
    )


def test_a_suite_that_hangs_on_a_planted_program_does_not_pass_it(tmp_path: Path) -> None:
    suite = "def check(c):\n    found, depth = c(3), 0\n"
    suite += "    while found: found, depth = found[0], depth + 1\n    assert depth == 3\n"
    right = "def f(x):\n    found = []\n    for _ in range(x): found = [found]\n    return found\n"
    assert statuses(tmp_path, [(suite, right, right), (suite, right, right.replace("range(x)", "range(2)"))]) == [
        Status.PASS,
        Status.FAIL,
    ]


def test_an_order_that_cannot_be_made_again_is_not_made_up(tmp_path: Path) -> None:
    suite = "def check(c):\n    v = set(range(64))\n    for n in range(64):\n        if n not in (7, 8): v.discard(n)\n"
    suite += "    assert c(v) == [7, 8]\n"
    rows = [
        (suite, "def f(v):\n    return list(v)\n", f"def f(v):\n    return {value}\n") for value in ("[*v]", "[8, 7]")
    ]
    assert statuses(tmp_path, rows) == [Status.PASS, Status.FAIL]
    assert read_graded(tmp_path / "r.jsonl").meta["suites_beside"] == ["0", "1"]
