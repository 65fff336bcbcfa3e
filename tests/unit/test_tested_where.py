"""The table "What is tested where" in docs/nemo.md names tests that exist and are what their row says."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/nemo.md"
SHIM = "megatron_cpu"
KINDS = {"CPU-real", "CPU-shim", "golden", "GPU", "pretended", "untested"}
FAILURES = {f"{kind}, expected failure" for kind in KINDS}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: what, how, and the tests it names (a file, or one test of it)."""

    part: str
    kind: str
    tests: tuple[str, ...]


def rows() -> list[Row]:
    section = PAGE.read_text().partition("## What is tested where")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    found = []
    for line in lines:
        part, kind, tests = (cell.strip() for cell in line.strip("|").split("|"))
        found.append(Row(part=part, kind=kind, tests=tuple(re.findall(r"`(tests/[^`]+)`", tests))))
    return found


@cache
def module(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def functions(path: str) -> dict[str, ast.FunctionDef]:
    """The tests that pytest collects from a file by their names."""
    return {n.name: n for n in module(path).body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}


def marks(path: str) -> set[str]:
    """The names of `pytest.mark.NAME` in the file's `pytestmark`."""
    values = [
        node.value
        for node in module(path).body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)
    ]
    return {name for value in values for name in re.findall(r"\bmark\.(\w+)", ast.unparse(value))}


def test_the_table_is_there() -> None:
    found = rows()
    assert len(found) >= 12
    kinds = {row.kind for row in found}
    assert KINDS <= kinds <= KINDS | FAILURES, "every kind has a row, and every row one of the kinds"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.part[:40])
def test_a_row_names_tests_that_are_what_it_says(row: Row) -> None:
    assert bool(row.tests) == (row.kind != "untested"), "untested rows name no test, all others do"
    for name in row.tests:
        path, _, test = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert functions(path), f"{path}: no tests"
        if test:
            assert test in functions(path), name
        text = (ROOT / path).read_text()
        assert ("gpu" in marks(path)) == (row.kind == "GPU"), name
        if row.kind.startswith("CPU"):
            assert "frameworks" in marks(path), name
            assert (SHIM in text) == row.kind.startswith("CPU-shim"), name
        if row.kind == "golden":
            assert '"golden"' in text, name
        if row.kind == "pretended":
            assert not marks(path), name
        if test:
            decorators = " ".join(ast.unparse(d) for d in functions(path)[test].decorator_list)
            assert ("xfail" in decorators) == row.kind.endswith("expected failure"), name


def test_no_test_of_the_frameworks_is_left_out() -> None:
    named = {test.partition("::")[0] for row in rows() for test in row.tests}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/frameworks").glob("test_*.py")}
    assert len(files) > 4
    assert files <= named
    marked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if marks(path.relative_to(ROOT).as_posix()) & {"gpu", "frameworks"}
    }
    assert marked == files, "tests that need a framework or a GPU lie in tests/frameworks"


def test_every_expected_failure_has_a_row() -> None:
    expected = {
        f"{path}::{name}"
        for path in {test.partition("::")[0] for row in rows() for test in row.tests}
        for name, function in functions(path).items()
        if any("xfail" in ast.unparse(d) for d in function.decorator_list)
    }
    assert expected == {test for row in rows() if row.kind.endswith("expected failure") for test in row.tests}
