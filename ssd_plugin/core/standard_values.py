"""Values of the standard library's and numpy's own types, as a tag and plain data, and back.

    {"$fraction": {"$tuple": [n, d]}}  {"$decimal": "text"}  {"$range": {"$tuple": [start, stop, step]}}
    {"$date": "ISO"}  {"$time": "ISO"}  {"$datetime": "ISO"}  {"$timedelta": {"$tuple": [days, seconds, microseconds]}}
    {"$deque": {"$tuple": [items, maxlen]}}  {"$counter": pairs}  {"$ordereddict": pairs}
    {"$defaultdict": {"$tuple": ["int" | "list" | ... | null, pairs]}}
    {"$namedtuple": {"$tuple": [name, fields, items]}}
    {"$numpy": {"$tuple": ["float64", value]}}  {"$array": {"$tuple": ["float64", shape, items]}}

Modules are looked up among the loaded ones: a value of a type whose module is not loaded cannot exist.
"""

import builtins
import collections
import importlib
import sys
from typing import Any

_FACTORIES = ("int", "list", "dict", "set", "str", "float", "bool", "tuple")
_ISO = ("date", "time", "datetime")
_MOST_ITEMS = 1 << 20
TAGS = frozenset(
    {
        "$fraction", "$decimal", "$range", "$date", "$time", "$datetime", "$timedelta", "$deque", "$counter", "$ordereddict",
        "$defaultdict", "$namedtuple", "$numpy", "$array",
    }
)  # fmt: skip


def taken_apart(value: Any) -> tuple[str, Any] | None:
    """The tag and the plain data of a value of a standard type, by its exact type; None for all others."""
    kind = type(value)
    if kind is range:
        return "$range", (value.start, value.stop, value.step)
    if kind is collections.deque:
        return "$deque", (list(value), value.maxlen)
    if kind is collections.Counter or kind is collections.OrderedDict:
        return f"${kind.__name__.lower()}", list(dict.items(value))
    if kind is collections.defaultdict:
        factory = value.default_factory
        known = isinstance(factory, type) and factory.__name__ in _FACTORIES
        return "$defaultdict", (factory.__name__ if known else None, list(dict.items(value)))
    if kind.__bases__ == (tuple,) and hasattr(kind, "_fields") and "__eq__" not in vars(kind):
        return "$namedtuple", (kind.__name__, list(kind._fields), list(tuple.__iter__(value)))
    return _of_modules(value, kind)


def _of_modules(value: Any, kind: type) -> tuple[str, Any] | None:
    module = kind.__module__
    if module == "fractions" and kind is _loaded("fractions", "Fraction"):
        return "$fraction", (value.numerator, value.denominator)
    if module == "decimal" and kind is _loaded("decimal", "Decimal"):
        return "$decimal", str(value)
    if module == "datetime":
        if kind is _loaded("datetime", "timedelta"):
            return "$timedelta", (value.days, value.seconds, value.microseconds)
        if kind.__name__ in _ISO and kind is _loaded("datetime", kind.__name__):
            return f"${kind.__name__}", value.isoformat()
    if module == "numpy":
        return _of_numpy(value)
    return None


def _of_numpy(value: Any) -> tuple[str, Any] | None:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or type(value).__module__ != "numpy":
        return None
    if isinstance(value, numpy.generic) and value.dtype.kind in "biufcUS":
        return "$numpy", (value.dtype.str, value.item())
    if type(value) is numpy.ndarray and value.dtype.kind in "biufcUS" and value.size <= _MOST_ITEMS:
        return "$array", (value.dtype.str, list(value.shape), value.ravel().tolist())
    return None


def _loaded(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def put_together(tag: str, data: Any) -> Any:
    """The value of a tag and its decoded data.

    Raises:
        ValueError, TypeError, LookupError, OverflowError: the data is not what the tag says.
    """
    match tag:
        case "$range":
            return range(*data)
        case "$deque":
            return collections.deque(*data)
        case "$counter" | "$ordereddict":
            pairs = [(key, value) for key, value in data]
            return collections.Counter(dict(pairs)) if tag == "$counter" else collections.OrderedDict(pairs)
        case "$defaultdict":
            factory, items = data
            return collections.defaultdict(
                getattr(builtins, factory) if factory in _FACTORIES else None, [(key, value) for key, value in items]
            )
        case "$namedtuple":
            name, fields, items = data
            return collections.namedtuple(str(name), [str(field) for field in fields])(*items)
        case "$fraction":
            return _new("fractions", "Fraction", *data)
        case "$decimal":
            return _new("decimal", "Decimal", str(data))
        case "$timedelta":
            return _new("datetime", "timedelta", *data)
        case "$numpy" | "$array":
            return _numpy(tag, data)
        case _:
            return getattr(importlib.import_module("datetime"), tag[1:]).fromisoformat(data)


def _new(module: str, name: str, *data: Any) -> Any:
    try:
        return getattr(importlib.import_module(module), name)(*data)
    except ArithmeticError as error:  # a denominator of zero, a text that is no decimal
        raise ValueError(f"no {name}: {error}") from error


def _numpy(tag: str, data: Any) -> Any:
    numpy: Any = importlib.import_module("numpy")
    dtype = numpy.dtype(str(data[0]))
    if dtype.kind not in "biufcUS":
        raise ValueError(f"no numpy type of plain numbers or text: {data[0]!r:.40}")
    if tag == "$numpy":
        return dtype.type(data[1])
    return numpy.array(data[2], dtype).reshape(data[1])
