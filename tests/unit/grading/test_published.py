"""Benchmarks load as they are published: rows in each published form."""

import base64
import collections
import contextlib
import gzip
import json
import pickle
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.errors import DataError
from ssd_plugin.tasks.benchmarks import Window, fetch, load_tasks, stream_tasks
from ssd_plugin.tasks.schema import AssertCheck, FunctionCheck, StdioCheck, task_from_json

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def f(x):\n",
    "canonical_solution": "    return x\n",
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
}
EVALPLUS = HUMANEVAL | {"base_input": [[1]], "plus_input": [[2], [3]], "contract": "", "atol": 0}
MBPP = {
    "task_id": 11,
    "text": "Remove it.",
    "code": "def other():\r\n  pass\r\ndef f(x):\r\n  return x",
    "test_setup_code": "import math",
    "test_list": ["assert f(1) == 1", "assert set(f([2])) == {2}"],
    "challenge_test_list": [],
}
MBPP_PLUS = {
    "task_id": 2,
    "code": "def f(x): return x",
    "prompt": "Say it.",
    "test_imports": [],
    "test_list": ["assert f(1) == 1"],
    "test": "inputs = [[1]]\nfor i in inputs: assert f(*i) == 1\n",
}


def pack(tests: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def livecodebench(**changes: Any) -> dict[str, Any]:
    public = [{"input": "1\n", "output": "2\n", "testtype": "stdin"}]
    private = [{"input": "3\n", "output": "4\n", "testtype": "stdin"}]
    return {
        "question_id": "abc1_a",
        "question_content": "Add one.",
        "platform": "atcoder",
        "contest_date": "2025-02-08T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps(public),
        "private_test_cases": pack(private),
        "metadata": "{}",
    } | changes


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_humaneval(tmp_path: Path) -> None:
    packed = tmp_path / "HumanEval.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(HUMANEVAL).encode()))
    for path in (packed, write(tmp_path / "plain.jsonl", HUMANEVAL)):
        (task,) = load_tasks(path)
        assert isinstance(task.check, AssertCheck)
        assert (task.task_id, task.check.entry_point, task.reference) == (
            "HumanEval/0",
            "f",
            "def f(x):\n    return x\n",
        )


def test_evalplus_release(tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", EVALPLUS))
    assert task.check == FunctionCheck(entry_point="f", inputs=((1,), (2,), (3,)), expected=(), rule="evalplus")


def mbpp_plus(number: int, *inputs: list[Any]) -> dict[str, Any]:
    return EVALPLUS | {"task_id": f"Mbpp/{number}", "base_input": list(inputs), "plus_input": []}


@pytest.mark.parametrize(
    ("number", "given", "form"),
    [
        (3, [[1, [2]]], [[1, [2]]]),
        (116, [[1, 2]], [{"$tuple": [1, 2]}]),
        (63, [[[1, 2]]], [[{"$tuple": [1, 2]}]]),
        (75, [[[6, 2]], 6], [[{"$tuple": [6, 2]}], 6]),
        (106, [[5], [9]], [[5], {"$tuple": [9]}]),
        (115, [[[1], []]], [[{"$set": [1]}, {}]]),
        (124, [1, "2j"], [1.0, {"$complex": [0.0, 2.0]}]),
        (250, [[1], 1], [{"$tuple": [1]}, 1]),
        (259, [[[1, 3]]], [{"$tuple": [{"$tuple": [1, 3]}]}]),
        (278, [[1, [2]]], [{"$tuple": [1, {"$tuple": [2]}]}]),
        (307, [["a"], 0, 1], [{"$tuple": ["a"]}, 0, 1]),
        (722, [{"a": [6.2, 70]}, 6.0], [{"a": {"$tuple": [6.2, 70]}}, 6.0]),
        (252, ["1+2j"], [{"$complex": [1.0, 2.0]}]),
        (580, [[1, [2]]], [{"$tuple": [1, {"$tuple": [2]}]}]),
    ],
)
def test_mbpp_plus_release(tmp_path: Path, number: int, given: list[Any], form: list[Any]) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", mbpp_plus(number, given)))
    assert task.check == FunctionCheck(entry_point="f", inputs=(tuple(form),), expected=(), rule="evalplus")


def test_tasks_with_more_than_one_answer_become_suites(tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", mbpp_plus(2, [[3, 4], [4]])))
    assert isinstance(task.check, AssertCheck)
    assert "for arguments in [[(3, 4), (4,)]]" in task.check.test
    with pytest.raises(DataError, match=r"t.jsonl:1: the inputs of Mbpp/2 are not what that task takes"):
        load_tasks(write(tmp_path / "t.jsonl", mbpp_plus(2, [3])))
    for tolerance in ("1", [1], -1, float("nan")):
        with pytest.raises(DataError, match=r"t.jsonl:1: field 'atol' must be a number"):
            load_tasks(write(tmp_path / "t.jsonl", mbpp_plus(2, [[3], [4]]) | {"atol": tolerance}))


def test_mbpp(tmp_path: Path) -> None:
    listed = tmp_path / "sanitized.json"
    listed.write_text(json.dumps([MBPP]))
    (task,) = load_tasks(listed)
    assert isinstance(task.check, AssertCheck)
    assert (task.task_id, task.check.entry_point) == ("Mbpp/11", "f")
    assert task.check.test == "import math\nassert f(1) == 1\nassert set(f([2])) == {2}"
    (plus,) = load_tasks(write(tmp_path / "plus.jsonl", MBPP_PLUS))
    assert isinstance(plus.check, AssertCheck)
    assert plus.check.test.startswith("inputs = ")


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([HUMANEVAL]), path)
    assert load_tasks(path)[0].task_id == "HumanEval/0"


def test_livecodebench_stdio(tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", livecodebench()))
    assert task.check == StdioCheck(inputs=("1\n", "3\n"), expected=("2\n", "4\n"))
    assert (task.domain, task.difficulty) == ("atcoder", "easy")
    assert task.prompt.startswith("Add one.\n\nWrite a whole Python program that reads the input from standard input")


def test_livecodebench_functional(tmp_path: Path) -> None:
    tests = [{"input": "[1, 2]\n3", "output": "[1, 3]", "testtype": "functional"}]
    row = livecodebench(public_test_cases=json.dumps(tests), private_test_cases=pack([]), metadata='{"func_name": "g"}')
    (task,) = load_tasks(write(tmp_path / "t.jsonl", row))
    assert task.check == FunctionCheck(
        entry_point="Solution.g", inputs=(([1, 2], 3),), expected=([1, 3],), rule="livecodebench"
    )
    assert task.prompt == "Add one."


def test_livecodebench_brings_its_prelude_and_its_time(tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", livecodebench()))
    assert task.seconds_per_test == 6
    names: dict[str, Any] = {}
    limit = sys.getrecursionlimit()
    try:
        exec(task.prelude, names)
        assert sys.getrecursionlimit() == 50_000
    finally:
        sys.setrecursionlimit(limit)
    code = "[List[int], Optional[int], deque(), Counter('a'), inf, cache, heappush, heapq.heappop, defaultdict(int)]\n"
    code += (
        "[bisect.bisect, bisect_left, math.gcd, gcd, lru_cache, accumulate, ascii_lowercase, re.sub, random.choice]\n"
    )
    code += (
        "[datetime.datetime, mean, operator.add, itemgetter, copy.deepcopy, deepcopy, StringIO, json.dumps, stdin]\n"
    )
    exec(code, names)
    assert (names["pow"], names["open"], names["abs"], names["Counter"]) == (pow, open, abs, collections.Counter)
    assert task_from_json(task.to_json()) == task


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_packed_tests_of_any_protocol(tmp_path: Path, protocol: int) -> None:
    private = [{"input": "\u00e4" * 100_000, "output": "4\n", "testtype": "stdin"}]
    packed = pickle.dumps(json.dumps(private, ensure_ascii=False), protocol=protocol)
    row = livecodebench(private_test_cases=base64.b64encode(zlib.compress(packed)).decode())
    (task,) = load_tasks(write(tmp_path / "t.jsonl", row))
    assert isinstance(task.check, StdioCheck)
    assert len(task.check.inputs[1]) == 100_000


@pytest.mark.parametrize(
    "packed",
    [
        b"Vabc\n(Vx\ne.",
        b"Vabc\nr\xff\xff\xff\x7f.",
        b"Vabc\nVabc\n.",
        b".",
        b"Vabc\n",
        b"I1\n.",
        pickle.dumps("[" * 100_000),
        pickle.dumps(["[]"]),
    ],
)
def test_crafted_pickles_are_refused_in_one_line(tmp_path: Path, packed: bytes) -> None:
    field = base64.b64encode(zlib.compress(packed)).decode()
    with pytest.raises(DataError, match=r"t\.jsonl:1: its tests cannot be decoded"):
        load_tasks(write(tmp_path / "t.jsonl", livecodebench(private_test_cases=field)))


def functional(given: Any, output: Any) -> dict[str, Any]:
    tests = [{"input": given, "output": output, "testtype": "functional"}]
    return livecodebench(
        public_test_cases=json.dumps(tests), private_test_cases=pack([]), metadata='{"func_name": "g"}'
    )


@pytest.mark.parametrize(
    "row",
    [
        HUMANEVAL | {"prompt": 3},
        HUMANEVAL | {"canonical_solution": None},
        HUMANEVAL | {"entry_point": ["f"]},
        HUMANEVAL | {"test": {}},
        MBPP | {"code": "x = a" + ".a" * 50_000},
        MBPP | {"code": "\0"},
        MBPP | {"test_list": "assert f(1) == 1"},
        MBPP | {"test_imports": 5},
        functional("[1]", "NaN"),
        functional("1e999", "1"),
        functional(1, "1"),
        functional("[1]", "[" * 100_000),
        functional("1" * 5_000, "1"),
        livecodebench(private_test_cases="[" * 100_000),
        livecodebench(metadata=None, public_test_cases=json.dumps([{"input": "", "output": "", "testtype": "x"}])),
    ],
)
def test_crafted_rows_are_refused_in_one_line(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1: ") as refused:
        load_tasks(write(tmp_path / "t.jsonl", row))
    assert "\n" not in str(refused.value)


RELEASE = {name: value for name, value in EVALPLUS.items() if name != "test"}
TEXTS = ("task_id", "prompt", "canonical_solution", "entry_point")
INPUTS = ("base_input", "plus_input")
ROWS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (HUMANEVAL, (*TEXTS, "test")),
    (RELEASE, (*TEXTS, *INPUTS)),
    (RELEASE | {"task_id": "Mbpp/2", "base_input": [[[3], [4]]], "plus_input": []}, (*TEXTS, *INPUTS)),
    (MBPP, ("task_id", "text", "code", "test_list")),
    (MBPP_PLUS, ("task_id", "prompt", "code", "test_list", "test")),
    (livecodebench(), ("question_id", "question_content", "public_test_cases", "private_test_cases")),
    (functional("[1]", "1"), ("question_id", "question_content", "public_test_cases", "metadata")),
]


@pytest.mark.parametrize("damage", [None, " ", -0.5, True, [5], ["a"], [["a"], {}], {"a": 5}], ids=str)
@pytest.mark.parametrize(("row", "field"), [(row, field) for row, fields in ROWS for field in fields])
def test_a_damaged_field_is_refused_in_one_line(tmp_path: Path, row: dict[str, Any], field: str, damage: Any) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1: ") as refused:
        load_tasks(write(tmp_path / "t.jsonl", row | {field: damage}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("row", "field"), [(row, field) for row, _ in ROWS for field in row])
def test_a_missing_or_odd_field_is_refused_or_not_needed(tmp_path: Path, row: dict[str, Any], field: str) -> None:
    without = {name: value for name, value in row.items() if name != field}
    for damaged in (without, *(row | {field: odd} for odd in (None, "", 5, ["a"], {"a": 5}))):
        with contextlib.suppress(DataError):
            load_tasks(write(tmp_path / "t.jsonl", damaged))


@pytest.mark.parametrize("test", [{"input": 5, "output": "2"}, {"input": "5", "output": None}, {"input": "5"}])
def test_a_test_that_is_not_text_is_refused(tmp_path: Path, test: dict[str, Any]) -> None:
    row = livecodebench(public_test_cases=json.dumps([test | {"testtype": "stdin"}]))
    with pytest.raises(DataError, match=r"t\.jsonl:1: its tests must be a list of objects with input and output"):
        load_tasks(write(tmp_path / "t.jsonl", row))


OWN = {"task_id": "a", "prompt": "p", "kind": "function", "entry_point": "f", "inputs": [[1]], "expected": [1]}


@pytest.mark.parametrize(
    "changes",
    [
        {"expected": [float("nan")]},
        {"expected": [[1, {"a": float("inf")}]]},
        {"inputs": [[float("-inf")]]},
        {"seconds_per_test": -1},
        {"seconds_per_test": True},
        {"seconds_per_test": float("nan")},
        {"seconds_per_test": 10**9},
        {"seconds_per_test": "6"},
        {"prelude": 5},
    ],
)
def test_task_rows_that_cannot_be_graded_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1: "):
        load_tasks(write(tmp_path / "t.jsonl", OWN | changes))


def test_prelude_and_seconds_are_written_only_when_set(tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", OWN))
    assert task.to_json().keys() == {*OWN, "domain"}
    (task,) = load_tasks(write(tmp_path / "t.jsonl", OWN | {"prelude": "import os\n", "seconds_per_test": 1.5}))
    assert (task.prelude, task.seconds_per_test, task_from_json(task.to_json())) == ("import os\n", 1.5, task)


def test_windows_of_dates(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", livecodebench(), livecodebench(question_id="b", contest_date="2025-06-01"))
    inside = stream_tasks(path, Window(start="2025-02-01", end="2025-05-31"))
    assert [task.task_id for _, task in inside] == ["abc1_a"]
    with pytest.raises(DataError, match="YYYY-MM-DD"):
        Window(start="May")
    for row in (HUMANEVAL, livecodebench(contest_date=None), livecodebench(contest_date=["2025-02-08"])):
        with pytest.raises(DataError, match="no contest_date"):
            list(stream_tasks(write(tmp_path / "h.jsonl", row), Window(start="2025-01-01")))


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "exploded").touch, ())

    hostile = base64.b64encode(zlib.compress(pickle.dumps(Bomb()))).decode()
    with pytest.raises(DataError, match="not text"):
        load_tasks(write(tmp_path / "t.jsonl", livecodebench(private_test_cases=hostile)))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("field", ["!!", "eJw=", "[1]", '{"a": 1}', ""])
def test_broken_tests_are_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1"):
        load_tasks(write(tmp_path / "t.jsonl", livecodebench(private_test_cases=field)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", "", "holds no tasks"),
        ("t.json", "{}", "expected a list"),
        ("t.json", "[", "not readable JSON"),
        ("t.gz", "x", "gzipped"),
        ("t.parquet", "x", "parquet"),
        ("t.jsonl", '{"task_id": "a"}\n', "t.jsonl:1: field 'prompt'"),
        (
            "t.jsonl",
            '{"task_id": "a", "prompt": "p"}\n{"task_id": "a", "prompt": "p"}\n',
            "t.jsonl:2: task_id 'a' appears twice",
        ),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        load_tasks(tmp_path / name)


def test_unknown_names() -> None:
    with pytest.raises(DataError, match=r"not one of humaneval, humaneval\+"):
        fetch("humanevil")
    with pytest.raises(DataError, match="YYYY-MM-DD"):
        fetch("livecodebench-v6:2025:x")
