"""Whether a program's result is the expected one. Both sides are JSON forms (`ssd_plugin.sandbox.values`), never objects.

- `true` and `false` equal only themselves; `null` only itself; text by code points.
- Numbers compare as numbers, because JSON has one kind: 1 equals 1.0, but never `true`. Where a float is expected,
  a result within 1e-6 + 1e-7 * |expected| is equal (EvalPlus' tolerance); where an int is expected, exactly.
- NaN equals NaN, infinities equal themselves.
- A list in `expected` accepts a list or a tuple (a JSON file cannot say which); `{"$tuple": ...}` accepts only a tuple.
- Sets and frozensets equal by their members, exactly (no float tolerance), whatever the order.
- Dicts equal by their keys, exactly, and their values by these rules, whatever the order.
- `{"$object": ...}`, an instance of any other class, equals nothing.
"""

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from ssd_plugin.sandbox.values import tag_of

ABSOLUTE, RELATIVE = 1e-6, 1e-7
_SETS = ("$set", "$frozenset")
# What Decimal reads beside this is not what a program prints as a number: 1_000, other scripts' digits, sNaN. A run of digits
# matches in one way only: in two, a long one that goes wrong at its end would take quadratic time.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def equal(expected: Any, actual: Any) -> bool:
    """Whether `actual` is what `expected` asks for; anything malformed is not."""
    try:
        return _equal(expected, actual)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        return False


def _equal(expected: Any, actual: Any) -> bool:
    expected, actual = _normal(expected), _normal(actual)
    if isinstance(expected, bool) or isinstance(actual, bool) or expected is None or actual is None:
        return expected is actual
    if isinstance(expected, int | float):
        return isinstance(actual, int | float) and _same_number(expected, actual)
    if isinstance(expected, str):
        return isinstance(actual, str) and expected == actual
    if isinstance(expected, list):
        items = actual.get("$tuple") if isinstance(actual, dict) and tag_of(actual) == "$tuple" else actual
        return _same_items(expected, items)
    return isinstance(expected, dict) and isinstance(actual, dict) and _same_objects(expected, actual)


def _normal(form: Any) -> Any:
    """Numbers out of their tags."""
    if isinstance(form, dict):
        match tag_of(form):
            case "$int":
                return int(form["$int"], 16)
            case "$float":
                return float(form["$float"])
    return form


def _same_number(expected: float, actual: float) -> bool:
    if type(expected) is int:
        return expected == actual
    if math.isnan(expected) or math.isnan(actual):
        return math.isnan(expected) and math.isnan(actual)
    if math.isinf(expected) or math.isinf(actual):
        return expected == actual
    return abs(expected - actual) <= ABSOLUTE + RELATIVE * abs(expected)


def _same_items(expected: list[Any], actual: Any) -> bool:
    if not isinstance(actual, list) or len(expected) != len(actual):
        return False
    return all(_equal(one, other) for one, other in zip(expected, actual, strict=True))


def _same_objects(expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    tag, found = tag_of(expected), tag_of(actual)
    if tag in (None, "$dict") and found in (None, "$dict"):
        return _same_dicts(_by_key(expected), _by_key(actual))
    if tag in _SETS and found in _SETS:
        return sorted(map(_key, expected[tag])) == sorted(map(_key, actual[found]))
    if tag != found or tag is None:
        return False
    match tag:
        case "$tuple":
            return _same_items(expected[tag], actual[tag])
        case "$complex":
            return _same_items(expected[tag], actual[tag])
        case "$bytes" | "$bytearray":
            return isinstance(actual[tag], str) and bytes.fromhex(expected[tag]) == bytes.fromhex(actual[tag])
        case _:
            return False


def _by_key(form: dict[str, Any]) -> dict[str, Any]:
    if tag_of(form) == "$dict":
        return {_key(key): value for key, value in form["$dict"]}
    return {_key(key): value for key, value in form.items()}


def _same_dicts(expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    return expected.keys() == actual.keys() and all(_equal(value, actual[key]) for key, value in expected.items())


def _key(form: Any) -> str:
    """One text for each value that may be a key or a member: equal values, equal texts.

    Texts stand in each other as they are: quoted anew, as JSON in JSON, a hostile one would double with every level.
    """
    form = _normal(form)
    if type(form) is float and math.isfinite(form) and form == int(form):
        form = int(form)
    if type(form) is int and form.bit_length() > 1000:
        return hex(form)
    if isinstance(form, dict) and (tag := tag_of(form)):
        if tag in _SETS:
            return f"set({','.join(sorted(map(_key, form[tag])))})"
        if tag == "$tuple":
            return f"({','.join(map(_key, form[tag]))})"
    return json.dumps(form, sort_keys=True)


def same_output(expected: str, actual: str) -> bool:
    """Whether standard output is what a stdio task expects.

    Line by line, without spaces at the ends of lines and without empty lines at the beginning and end; two lines
    are also equal when both are the same count of decimal numbers, in ASCII digits, with equal values (`1.50` and `1.5`).
    """
    wanted, found = _lines(expected), _lines(actual)
    return len(wanted) == len(found) and all(map(_same_line, wanted, found))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(expected: str, actual: str) -> bool:
    if expected == actual:
        return True
    if len(actual) > 2 * len(expected) + 64:
        return False
    wanted, found = expected.split(), actual.split()
    return len(wanted) == len(found) and all(map(_same_word, wanted, found))


def _same_word(expected: str, actual: str) -> bool:
    if not (_NUMBER.fullmatch(expected) and _NUMBER.fullmatch(actual)):
        return False
    try:
        return Decimal(expected) == Decimal(actual)
    except InvalidOperation:  # an exponent beyond what a Decimal holds
        return False
