"""Containers that suite and program both hold: what one of them does to a container, the other sees, at every depth.

The two are processes of their own, so each has a copy. A container crosses as `{"$shared": number}`; its content (one level,
`[kind, extra, items]`) goes along with the message where it is new to the other side or has changed since it was last said.
What the program no longer holds anywhere else it cannot change any more: it lets go of it, says so, and so does the suite.
"""

import collections
import marshal
import sys
from collections.abc import Callable
from typing import Any

from ssd_plugin.core.standard_values import taken_apart
from ssd_plugin.core.values import MAX_DEPTH, ValueTooDeepError, decode, encode, in_order

_MADE: dict[str, Callable[[Any], Any]] = {
    "list": lambda _: [],
    "dict": lambda _: {},
    "bytearray": lambda _: bytearray(),
    "deque": lambda longest: collections.deque(maxlen=longest),
    "Counter": lambda _: collections.Counter(),
    "OrderedDict": lambda _: collections.OrderedDict(),
    "defaultdict": collections.defaultdict,
}
_KINDS: dict[type, str] = {
    list: "list", dict: "dict", set: "set", bytearray: "bytearray", collections.deque: "deque",
    collections.Counter: "Counter", collections.OrderedDict: "OrderedDict", collections.defaultdict: "defaultdict",
}  # fmt: skip
_IN_TUPLES: dict[type, str] = {tuple: "$tuple", frozenset: "$frozenset"}


class OrderLostError(TypeError):
    """A set that cannot be made anew with its members in the same order; a program may give another result for it."""


class Shared:
    """One side's containers by number. `first`: 0 for the suite, 1 for the program, so that they give different numbers.
    `form_of`, `value_of`: the form of what is no plain data, and back. `ordered`: refuse sets whose order would be lost."""

    def __init__(
        self, first: int, form_of: Callable[[object], Any], value_of: Callable[[dict[str, Any]], Any], *, ordered: bool
    ) -> None:
        self._next, self._form_of, self._value_of, self._ordered = first, form_of, value_of, ordered
        self._held: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._said: dict[int, bytes] = {}
        self._pending: list[int] = []

    def form(self, value: Any, depth: int = 0) -> Any:
        """The form of a value; containers in it are held from now on.

        Raises:
            ValueTooDeepError: tuples in tuples, too deep.
            OrderLostError: see `ordered`.
        """
        if depth > MAX_DEPTH:
            raise ValueTooDeepError(f"nested more than {MAX_DEPTH} deep")
        kind = type(value)
        if kind in _KINDS or _is_array(value):
            return {"$shared": self._number_of(value)}
        if kind in _IN_TUPLES:
            return {_IN_TUPLES[kind]: [self.form(item, depth + 1) for item in self._members(value)]}
        parts = taken_apart(value)
        if parts and parts[0] == "$namedtuple":
            name, fields, items = parts[1]
            return {"$namedtuple": {"$tuple": [name, fields, [self.form(item, depth + 1) for item in items]]}}
        return encode(value, self._form_of)

    def value(self, form: Any) -> Any:
        """The value of a form.

        Raises:
            ValueError, TypeError, LookupError: it is none.
        """
        return decode(form, self._unusual)

    def contents(self) -> list[Any]:
        """`[number, content]` of each container that is new to the other side or has changed."""
        found = []
        self._pending = list(self._held)
        for number in self._pending:  # which grows by what is met in the contents
            content = self._content(self._held[number])
            text = _text_of(content)
            if self._said.get(number) != text:
                self._said[number] = text
                found.append([number, content])
        return found

    def take(self, contents: list[Any]) -> None:
        """Bring the containers to the contents that the other side sent.

        Raises:
            ValueError, TypeError, LookupError: they are no contents.
        """
        for number, (kind, extra, items) in contents:
            if number not in self._held:
                self._hold(number, self._made(kind, extra, items))
            self._said[number] = _text_of([kind, extra, items])
        for number, (_, _, items) in contents:
            self._fill(self._held[number], items)

    def let_go(self) -> list[int]:
        """Let go of the containers that nothing else in this process holds; returns the numbers of the others."""
        while alone := [number for number, count in _references(self._held).items() if count <= _ALONE]:
            self.keep(self._held.keys() - set(alone))
        return list(self._held)

    def keep(self, numbers: Any) -> None:
        """Hold none but these."""
        for number in self._held.keys() - set(numbers):
            del self._numbers[id(self._held.pop(number))]
            self._said.pop(number, None)

    def _members(self, value: Any) -> list[Any]:
        members = list(value)
        if self._ordered and isinstance(value, set | frozenset) and not _repeatable(members):
            raise OrderLostError("a set that cannot be passed to the program with its members in the same order")
        return members

    def _number_of(self, container: Any) -> int:
        number = self._numbers.get(id(container))
        if number is None:
            number, self._next = self._next, self._next + 2
            self._hold(number, container)
            self._pending.append(number)
        return number

    def _hold(self, number: int, container: Any) -> None:
        self._held[number], self._numbers[id(container)] = container, number

    def _content(self, container: Any) -> list[Any]:
        kind = _KINDS.get(type(container), "array")
        if kind in ("array", "bytearray"):
            return [kind, None, encode(container)]
        extra = None
        if kind == "deque":
            extra = container.maxlen
        elif kind == "defaultdict":
            extra = self.form(container.default_factory)
        if isinstance(container, dict):
            return [kind, extra, [[self.form(key), self.form(item)] for key, item in dict.items(container)]]
        return [kind, extra, [self.form(item) for item in self._members(container)]]

    def _made(self, kind: str, extra: Any, items: Any) -> Any:
        if kind == "array":
            return decode(items)
        if kind == "set":
            return in_order([self.value(item) for item in items])
        return _MADE[kind](self.value(extra))

    def _fill(self, container: Any, items: Any) -> None:
        if isinstance(container, dict):
            pairs = [(self.value(key), self.value(item)) for key, item in items]
            container.clear()
            for key, item in pairs:
                container[key] = item
        elif isinstance(container, list):
            container[:] = [self.value(item) for item in items]
        elif isinstance(container, bytearray):
            container[:] = decode(items)
        elif isinstance(container, set | collections.deque):
            now = [self.value(item) for item in items]
            if list(container) != now:
                container.clear()
                (container.update if isinstance(container, set) else container.extend)(now)
        else:
            now = decode(items)
            if container.shape != now.shape:
                container.resize(now.shape, refcheck=False)
            container[...] = now

    def _unusual(self, form: dict[str, Any]) -> Any:
        return self._held[form["$shared"]] if "$shared" in form else self._value_of(form)


def _is_array(value: Any) -> bool:
    return type(value).__name__ == "ndarray" and (taken_apart(value) or ("",))[0] == "$array"


def _repeatable(members: list[Any]) -> bool:
    return all(one is other for one, other in zip(in_order(members), members, strict=True))


def _text_of(content: list[Any]) -> bytes:
    """What tells contents apart, exactly: 1, 1.0 and true are equal in Python."""
    kind, extra, items = content
    if kind == "set":
        items = sorted(items, key=repr)
    return marshal.dumps([kind, extra, items], 2)


def _references(held: dict[int, Any]) -> dict[int, int]:
    return {number: sys.getrefcount(one) for number, one in held.items()}


_ALONE = _references({0: []})[0]  # of a container that nothing but the dict holds
