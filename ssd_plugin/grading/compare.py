"""Whether a program's result is the expected one, by the rule of the task's benchmark.

The expected side is a Python value. The result is the JSON form that the program's process wrote (`ssd_plugin.core.values`):
hostile, so it is walked through beside the expected value and never made into objects (a set of its making could be one
whose members all collide).

    python         Python's own `==`: 1 == 1.0 == True, a list is no tuple, 0.1 + 0.2 is not 0.3. Suites of literals.
    livecodebench  as python; a tuple as the whole result counts as a list.
    evalplus       as python; once a float or a list of floats is expected, or with `atol` in the row, values of the same type are
                   equal as well within atol + 1e-7 * |expected| (absolute 1e-6 where the row has none), member by member.
    json           for task files of the project's own form, which cannot say every type: true and false equal only
                   themselves; where a float is expected, within 1e-6 + 1e-7 * |expected|; NaN equals NaN; a list in
                   `expected` accepts a tuple, `{"$tuple": ...}` only a tuple.

Sets and dicts are equal by their members and keys, exactly, whatever the order. numpy's numbers count as Python's, named tuples
as tuples, Counter and its like as dict. `{"$object": ...}`, an instance of any other class, equals nothing.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from ssd_plugin.core.values import decode, encode, tag_of

ABSOLUTE, RELATIVE = 1e-6, 1e-7
_MALFORMED = (ValueError, TypeError, LookupError, RecursionError, ArithmeticError, AttributeError)
_NUMBERS = (bool, int, float, complex, Fraction, Decimal)
_NUMBER_TAGS = ("$int", "$float", "$complex", "$fraction", "$decimal")
_MOST_EXPONENT = 5000
# What Decimal reads beside this is not what a program prints as a number: 1_000, other scripts' digits, sNaN. A run of digits
# matches in one way only: in two, a long one that goes wrong at its end would take quadratic time.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def comparison(rule: str, atol: float = 0.0) -> Callable[[Any, Any], bool]:
    """Compares (expected value, form of the result), call after call of one program; anything malformed is not equal."""
    compare = {"json": _Json(), "python": _Python(), "livecodebench": _LiveCodeBench()}.get(rule) or _EvalPlus(atol)

    def same(expected: Any, form: Any) -> bool:
        try:
            return compare.same(expected, form)
        except _MALFORMED:
            return False

    return same


class _Python:
    """Python's `==`."""

    def same(self, expected: Any, form: Any) -> bool:
        return self._same(expected, form)

    def _same(self, expected: Any, form: Any) -> bool:
        kind = type(expected)
        if expected is None:
            return form is None
        if kind is str:
            return _text(form) == expected  # type: ignore[no-any-return]
        if isinstance(expected, _NUMBERS):
            found = _number(form)
            return found is not None and self._same_number(expected, found)
        if isinstance(expected, list | tuple):
            return self._same_items(expected, self._items(expected, form))
        if isinstance(expected, set | frozenset):
            return self._same_members(expected, form)
        if isinstance(expected, dict):
            return self._same_dicts(expected, form)
        if isinstance(expected, bytes | bytearray):
            return self._same_bytes(expected, form)
        # ranges, dates, deques: few, and made of what is compared with one value's own length
        return isinstance(form, dict) and tag_of(form) == tag_of(encode(expected)) and form == encode(expected)

    def _same_number(self, expected: Any, found: Any) -> bool:
        return bool(expected == found)

    def _same_bytes(self, expected: bytes | bytearray, form: Any) -> bool:
        return isinstance(form, dict) and tag_of(form) in ("$bytes", "$bytearray") and decode(form) == expected

    def _items(self, expected: Any, form: Any) -> Any:
        """The items of the form of a sequence of the expected kind, else None."""
        if isinstance(expected, list):
            return form
        return _tuple_items(form)

    def _same_items(self, expected: Sequence[Any], found: Any) -> bool:
        if not isinstance(found, list) or len(expected) != len(found):
            return False
        return all(map(self._same, expected, found))

    def _same_members(self, expected: Any, form: Any) -> bool:
        members = form[tag_of(form)] if isinstance(form, dict) and tag_of(form) in ("$set", "$frozenset") else None
        if not isinstance(members, list) or len(members) != len(expected):
            return False
        return {self._key(encode(item)) for item in expected} == {self._key(item) for item in members}

    def _same_dicts(self, expected: dict[Any, Any], form: Any) -> bool:
        pairs = _pairs(form)
        if len(pairs) != len(expected):
            return False
        found = {self._key(key): value for key, value in pairs}
        wanted = {self._key(encode(key)): value for key, value in expected.items()}
        if type(expected) is OrderedDict and tag_of(form) == "$ordereddict" and list(found) != list(wanted):
            return False
        return found.keys() == wanted.keys() and all(self._same(value, found[key]) for key, value in wanted.items())

    def _key(self, form: Any) -> str:
        """One text for each value that may be a key or a member: equal values, equal texts.

        Texts, whose hashes nobody outside can foresee, put together as they are: quoted anew, as JSON in JSON, a hostile one
        would double with every level.
        """
        if form is None:
            return "null"
        text = _text(form)
        if text is not None:
            return f"{len(text)}'{text}'"
        number = _number(form)
        if number is not None:
            return self._key_of_number(number)
        tag = tag_of(form)
        if tag in ("$set", "$frozenset"):
            return f"set({','.join(sorted(map(self._key, form[tag])))})"
        items = _tuple_items(form)
        if items is not None:
            return f"({','.join(map(self._key, items))})"
        if tag in ("$bytes", "$object"):
            return f"{tag}{form[tag]}"
        return f"{tag}{self._key(form[tag])}"

    def _key_of_number(self, number: Any) -> str:
        if isinstance(number, complex):
            if number.imag:
                return repr(number)
            number = number.real
        if isinstance(number, Decimal) and (not number.is_finite() or abs(number.adjusted()) > _MOST_EXPONENT):
            return str(number)
        if isinstance(number, float) and not math.isfinite(number):
            return str(number)
        exact = number if isinstance(number, int) else Fraction(number)
        return f"{exact.numerator:x}" if exact.denominator == 1 else f"{exact.numerator:x}/{exact.denominator:x}"


class _LiveCodeBench(_Python):
    """The benchmark makes a list of a tuple before it compares, at the top only."""

    def same(self, expected: Any, form: Any) -> bool:
        items = _tuple_items(form)
        return self._same(expected, form if items is None else items)


class _Json(_Python):
    """The project's own task files: expected values came through JSON."""

    def _same_number(self, expected: Any, found: Any) -> bool:
        if isinstance(expected, bool) or isinstance(found, bool):
            return expected is found
        if isinstance(expected, float | complex):
            return type(found) in (int, float, type(expected)) and _close(expected, found, ABSOLUTE, nan_equal=True)
        return not isinstance(found, complex) and bool(expected == found)

    def _items(self, expected: Any, form: Any) -> Any:
        items = _tuple_items(form)
        return form if items is None and isinstance(expected, list) else items

    def _same_bytes(self, expected: bytes | bytearray, form: Any) -> bool:
        return f"${type(expected).__name__}" == tag_of(form) and super()._same_bytes(expected, form)

    def _key_of_number(self, number: Any) -> str:
        return str(number) if isinstance(number, bool) else super()._key_of_number(number)


class _EvalPlus(_Python):
    """`evalplus/eval/__init__.py` of EvalPlus 0.3.1. Once a float was expected, the tolerance holds for later calls too."""

    def __init__(self, atol: float) -> None:
        self._atol = atol

    def same(self, expected: Any, form: Any) -> bool:
        if not self._atol and _is_floats(expected):
            self._atol = ABSOLUTE
        if self._same(expected, form):
            return True
        return bool(self._atol) and _kind(form) is type(expected) and self._near(expected, form)

    def _near(self, expected: Any, form: Any) -> bool:
        if isinstance(expected, list | tuple):
            items = form if isinstance(form, list) else _tuple_items(form)
            return isinstance(items, list) and len(items) == len(expected) and all(map(self._near, expected, items))
        found = _number(form)
        plain = (bool, int, float, complex)
        return isinstance(expected, plain) and isinstance(found, plain) and _close(expected, found, self._atol)


def _is_floats(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _close(expected: Any, found: Any, atol: float, *, nan_equal: bool = False) -> bool:
    if expected == found:
        return True
    if isinstance(expected, complex) or isinstance(found, complex):
        parts = ((complex(expected).real, complex(found).real), (complex(expected).imag, complex(found).imag))
        return all(_close(one, other, atol, nan_equal=nan_equal) for one, other in parts)
    if math.isnan(expected) or math.isnan(found):
        return nan_equal and math.isnan(expected) and math.isnan(found)
    if math.isinf(expected) or math.isinf(found):
        return False
    return bool(abs(expected - found) <= atol + RELATIVE * abs(expected))


def _kind(form: Any) -> type | None:
    """The type of the value that a form stands for, where it is one of those that a tolerance is for."""
    if not isinstance(form, dict):
        return type(form)
    return {"$tuple": tuple, "$int": int, "$float": float, "$complex": complex}.get(str(tag_of(form)))


def _text(form: Any) -> str | None:
    if isinstance(form, str):
        return form
    if isinstance(form, dict):
        match tag_of(form):
            case "$text":
                return str(decode(form))
            case "$numpy":
                return _text(_tuple_items(form["$numpy"])[1])
    return None


def _number(form: Any) -> Any:
    """The number of a form; None where it is none."""
    if isinstance(form, int | float):
        return form
    if isinstance(form, dict):
        tag = tag_of(form)
        if tag in _NUMBER_TAGS:
            return decode(form) if _has_plain_parts(form[tag]) else None
        if tag == "$numpy":
            return _number(_tuple_items(form["$numpy"])[1])
    return None


def _has_plain_parts(content: Any) -> bool:
    """Whether a number's form holds texts and numbers only: nothing that would be built anew before it is found to be none."""
    items = content if isinstance(content, list) else _tuple_items(content)
    parts = [content] if items is None else items
    plain = [part[tag] if (tag := _tag(part)) in ("$int", "$float") else part for part in parts]
    return len(plain) <= 2 and not any(isinstance(part, list | dict) for part in plain)


def _tag(form: Any) -> str | None:
    return tag_of(form) if isinstance(form, dict) else None


def _tuple_items(form: Any) -> Any:
    if isinstance(form, dict):
        match tag_of(form):
            case "$tuple":
                return form["$tuple"]
            case "$namedtuple":
                return _tuple_items(form["$namedtuple"])[2]
    return None


def _pairs(form: Any) -> list[Any]:
    """The (key, value) forms of the form of a dict.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(form, dict):
        raise TypeError("not a dict")
    match tag_of(form):
        case None:
            return list(form.items())
        case "$dict":
            return list(form["$dict"])
        case "$counter" | "$ordereddict" as tag:
            return [_tuple_items(pair) for pair in form[tag]]
        case "$defaultdict":
            return [_tuple_items(pair) for pair in _tuple_items(form["$defaultdict"])[1]]
    raise ValueError("not a dict")


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
