"""What a suite holds of values that stay in the program's process, and how its own arguments get the state they have there."""

import collections
from typing import Any


class Handle:
    """A value that is not plain data: its attributes, calls, items and iteration are asked for over there.

    It is never equal to plain data, whatever its own `__eq__` says, and has no arithmetic and no order. Two handles are
    equal when the program's process says so: of its own objects, only it can.
    """

    def __init__(self, number: int, program: Any) -> None:
        self._number, self._program = number, program

    def __getattr__(self, name: str) -> Any:
        return self._program.operation("getattr", self, name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._program.operation("call", self, *arguments, **keywords)

    def __iter__(self) -> Any:
        return self._program.operation("iter", self)

    def __next__(self) -> Any:
        return self._program.operation("next", self)

    def __len__(self) -> int:
        return self._program.operation("len", self)  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return self._program.operation("bool", self) is True

    def __getitem__(self, key: Any) -> Any:
        return self._program.operation("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._program.operation("setitem", self, key, value)

    def __str__(self) -> str:
        return str(self._program.operation("str", self))

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is Handle and self._program.operation("eq", self, other) is True)

    def __hash__(self) -> int:
        return hash(self._number)


def bring_up_to_date(mine: Any, now: Any) -> Any:
    """Give a container the content it has after the call, in place; returns what stands for `now` on this side."""
    if type(mine) is not type(now):
        return now
    if isinstance(mine, list | collections.deque):
        both = [bring_up_to_date(one, other) for one, other in zip(mine, now, strict=False)]
        both += list(now)[len(both) :]
        mine.clear()
        mine.extend(both)
    elif isinstance(mine, dict):
        changed = {key: bring_up_to_date(mine[key], item) if key in mine else item for key, item in now.items()}
        mine.clear()
        mine.update(changed)
    elif isinstance(mine, set):
        if mine != now:
            mine.clear()
            mine.update(now)
    elif isinstance(mine, bytearray):
        mine[:] = now
    elif isinstance(mine, tuple) and len(mine) == len(now):
        for one, other in zip(mine, now, strict=True):
            bring_up_to_date(one, other)
        return mine
    else:
        return now
    return mine
