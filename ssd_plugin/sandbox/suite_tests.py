"""Runs what a suite defines as tests: `check(candidate)`, functions and classes by pytest's names, unittest's cases.

A test that needs fixtures cannot be run; the suite has to prove itself without it.
"""

import inspect
import itertools
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any

_NAMES = ("test", "Test")


def run_tests(own: dict[str, Any], candidate: Any) -> None:
    """Run the tests among `own`, what the suite has defined by name; a failed one raises."""
    if "check" in own:
        _run(own["check"], candidate)
    for name, found in own.items():
        if _is_case(found):
            _run_case(found)
        elif not name.startswith(_NAMES):
            continue
        elif inspect.isclass(found):
            _run_class(found)
        elif inspect.isfunction(found):
            _run_function(found, candidate, own.keys())


def _run(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
    result = function(*arguments, **keywords)
    if inspect.iscoroutine(result):
        import asyncio

        asyncio.run(result)


def _run_function(function: Callable[..., Any], candidate: Any, fixtures: Collection[str]) -> None:
    for given in _parameters(function):
        missing = [name for name in _required(function) if name not in given]
        if len(missing) <= 1 and not set(missing) & set(fixtures):
            _run(function, **given, **dict.fromkeys(missing, candidate))


def _run_class(kind: Any) -> None:
    for name in [name for name in dir(kind) if name.startswith("test")]:
        for given in _parameters(getattr(kind, name)):
            instance = kind()
            if hasattr(instance, "setup_method"):
                instance.setup_method(*[getattr(instance, name)] * len(_required(instance.setup_method)))
            if set(_required(getattr(instance, name))) <= given.keys():
                _run(getattr(instance, name), **given)


def _required(function: Callable[..., Any]) -> list[str]:
    return [one.name for one in inspect.signature(function).parameters.values() if one.default is one.empty]


def _parameters(function: Any) -> Iterator[dict[str, Any]]:
    """The keywords of each run of a test: one run without any, or as many as `pytest.mark.parametrize` says."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    for row in itertools.product(*(_rows(*mark.args[:2]) for mark in marks)):
        yield {name: value for part in row for name, value in part.items()}


def _rows(names: Any, values: Any) -> list[dict[str, Any]]:
    """What one `parametrize` gives: values of a single name that is written as a text stand by themselves."""
    alone = isinstance(names, str) and "," not in names
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    rows = [getattr(value, "values", value) if type(value).__name__ == "ParameterSet" else value for value in values]
    one_by_one = [alone and row is value for row, value in zip(rows, values, strict=True)]
    return [dict(zip(names, (row,) if one else row, strict=True)) for row, one in zip(rows, one_by_one, strict=True)]


def _is_case(found: Any) -> bool:
    unittest: Any = sys.modules.get("unittest")
    return unittest is not None and inspect.isclass(found) and issubclass(found, unittest.TestCase)


def _run_case(case: Any) -> None:
    unittest: Any = sys.modules["unittest"]
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    for _, text in (*result.failures, *result.errors):
        raise AssertionError(text.strip().splitlines()[-1])
    if not result.wasSuccessful():
        raise AssertionError("an expected failure did not come")
