"""Python values as JSON, without loss and without running any of their code.

Plain JSON stands for itself (null, bool, int, float, text, list, object with text keys). Everything else is an object
with one key that starts with `$`:

    {"$tuple": [...]}  {"$set": [...]}  {"$frozenset": [...]}  {"$dict": [[key, value], ...]}
    {"$bytes": "hex"}  {"$bytearray": "hex"}  {"$complex": [re, im]}  {"$float": "nan" | "inf" | "-inf"}
    {"$int": "0x..."}  (beyond 1,000 bits)     {"$text": "hex of UTF-8"}  (text with halves of surrogate pairs)
    {"$object": "type name"}  (anything else: equal to nothing)

and what `standard_values` lists: fractions, decimals, dates, named tuples, numpy's numbers and arrays, and more.

A value is taken apart by its exact type (`type(x) is list`); a subclass counts as its base where it compares as the base
does, and is an `$object` where it has an `__eq__` of its own. The same notation may be used in a task file's `inputs` and
`expected`.
"""

import math
from collections.abc import Callable
from typing import Any

from ssd_plugin.core import standard_values

MAX_DEPTH = 200
_SEQUENCES: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}
_BASES = (bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict)


class ValueTooDeepError(ValueError):
    """The value is nested more than `MAX_DEPTH` deep, or contains itself."""


def _describe(value: object) -> dict[str, Any]:
    base = plain_base(value)
    return {"$object": type(value).__name__[:80]} if base is None else encode(base(value), _describe)


def plain_base(value: object) -> Callable[[Any], Any] | None:
    """The built-in type as which an instance of a subclass compares; None where it compares in a way of its own."""
    kind = type(value)
    base = next((base for base in kind.__mro__ if base in _BASES), None)
    return base if base and kind is not base and (kind.__eq__, kind.__ne__) == (base.__eq__, base.__ne__) else None


def encode(value: Any, other: Callable[[object], Any] = _describe, depth: int = 0) -> Any:
    """The JSON form of a value; `other` makes the form of whatever is not plain data.

    Raises:
        ValueTooDeepError: deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise ValueTooDeepError(f"nested more than {MAX_DEPTH} deep")
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if _is_whole(value) else {"$text": value.encode("utf-8", "surrogatepass").hex()}
    if kind is int:
        return value if value.bit_length() <= 1000 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is list:
        return [encode(item, other, depth + 1) for item in value]
    if kind in _SEQUENCES:
        return {_SEQUENCES[kind]: [encode(item, other, depth + 1) for item in value]}
    if kind is dict:
        return _encode_dict(value, other, depth + 1)
    if kind is bytes or kind is bytearray:
        return {f"${kind.__name__}": value.hex()}
    if kind is complex:
        return {"$complex": [encode(value.real), encode(value.imag)]}
    parts = standard_values.taken_apart(value)
    if parts:
        return {parts[0]: encode(parts[1], other, depth + 1)}
    return other(value)


def _is_whole(text: str) -> bool:
    """Whether JSON can carry the text as it is: it would join the halves of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _encode_dict(value: dict[Any, Any], other: Callable[[object], Any], depth: int) -> Any:
    pairs = [(key, encode(item, other, depth)) for key, item in dict.items(value)]
    if all(type(key) is str and not key.startswith("$") and _is_whole(key) for key, _ in pairs):
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
            return in_order([decode(item, other) for item in content])
        case "$frozenset":
            return frozenset(in_order([decode(item, other) for item in content]))
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
        case "$text":
            return bytes.fromhex(content).decode("utf-8", "surrogatepass")
        case _ if tag in standard_values.TAGS:
            return standard_values.put_together(tag, decode(content, other))
        case _:
            return other(form)


def in_order(members: list[Any]) -> set[Any]:
    """A set that is walked through in the order of `members`, where one of the ways to build it gives that order: members
    added one by one, or another set's, as a literal does it, which makes a smaller table."""
    plain, backwards = set(members), set()
    backwards.update(reversed(members))
    for made in (plain, plain.copy(), backwards, backwards.copy()):
        if all(one is other for one, other in zip(made, members, strict=False)):
            return made
    return plain


def tag_of(form: dict[str, Any]) -> str | None:
    """The tag of a JSON object that stands for something else than a dict with text keys."""
    if len(form) == 1:
        key = next(iter(form))
        if key.startswith("$"):
            return key
    return None
