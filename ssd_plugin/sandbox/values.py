"""Python values as JSON, without loss and without running any of their code.

Plain JSON stands for itself (null, bool, int, float, text, list, object with text keys). Everything else is an object
with one key that starts with `$`:

    {"$tuple": [...]}  {"$set": [...]}  {"$frozenset": [...]}  {"$dict": [[key, value], ...]}
    {"$bytes": "hex"}  {"$bytearray": "hex"}  {"$complex": [re, im]}  {"$float": "nan" | "inf" | "-inf"}
    {"$int": "0x..."}  (beyond 1,000 bits)     {"$object": "type name"}  (anything else: equal to nothing)

A value is taken apart by its exact type (`type(x) is list`), so a subclass with an `__eq__` of its own is an
`$object`. Of the standard library's subclasses of dict, `defaultdict`, `OrderedDict` and `Counter` count as dict.
The same notation may be used in a task file's `inputs` and `expected`.
"""

import collections
import math
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 200
_DICTS = (dict, collections.defaultdict, collections.OrderedDict, collections.Counter)
_SEQUENCES: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}


class ValueTooDeepError(ValueError):
    """The value is nested more than `MAX_DEPTH` deep, or contains itself."""


def _describe(value: object) -> dict[str, Any]:
    return {"$object": type(value).__name__[:80]}


def encode(value: Any, other: Callable[[object], dict[str, Any]] = _describe, depth: int = 0) -> Any:
    """The JSON form of a value; `other` makes the form of whatever is not plain data.

    Raises:
        ValueTooDeepError: deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise ValueTooDeepError(f"nested more than {MAX_DEPTH} deep")
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if value.bit_length() <= 1000 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is list:
        return [encode(item, other, depth + 1) for item in value]
    if kind in _SEQUENCES:
        return {_SEQUENCES[kind]: [encode(item, other, depth + 1) for item in value]}
    if kind in _DICTS:
        return _encode_dict(value, other, depth + 1)
    if kind is bytes or kind is bytearray:
        return {f"${kind.__name__}": value.hex()}
    if kind is complex:
        return {"$complex": [encode(value.real), encode(value.imag)]}
    return other(value)


def _encode_dict(value: dict[Any, Any], other: Callable[[object], dict[str, Any]], depth: int) -> Any:
    pairs = [(key, encode(item, other, depth)) for key, item in dict.items(value)]
    if all(type(key) is str and not key.startswith("$") for key, _ in pairs):
        return dict(pairs)
    return {"$dict": [[encode(key, other, depth), item] for key, item in pairs]}


def _refuse(form: dict[str, Any]) -> Any:
    raise ValueError(f"not plain data: {str(form)[:80]}")


def decode(form: Any, other: Callable[[dict[str, Any]], Any] = _refuse) -> Any:
    """The value of a JSON form; `decode(encode(x)) == x` for plain data. `other` makes values of unknown tags.

    Raises:
        ValueError: a tag is unknown, or its content is malformed.
    """
    if isinstance(form, list | tuple):  # an argument list may come as a tuple
        return [decode(item, other) for item in form]
    if not isinstance(form, dict):
        return form
    tag = tag_of(form)
    if tag is None:
        return {key: decode(item, other) for key, item in form.items()}
    content = form[tag]
    match tag:
        case "$tuple":
            return tuple(decode(item, other) for item in content)
        case "$set":
            return {decode(item, other) for item in content}
        case "$frozenset":
            return frozenset(decode(item, other) for item in content)
        case "$dict":
            return {decode(key, other): decode(item, other) for key, item in content}
        case "$bytes":
            return bytes.fromhex(content)
        case "$bytearray":
            return bytearray.fromhex(content)
        case "$complex":
            return complex(decode(content[0]), decode(content[1]))
        case "$float":
            return float(content)
        case "$int":
            return int(content, 16)
        case _:
            return other(form)


def tag_of(form: dict[str, Any]) -> str | None:
    """The tag of a JSON object that stands for something else than a dict with text keys."""
    if len(form) == 1:
        key = next(iter(form))
        if key.startswith("$"):
            return key
    return None
