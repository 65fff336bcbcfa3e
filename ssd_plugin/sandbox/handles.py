"""What a suite holds of values that stay in the program's process."""

from typing import Any


class Handle:
    """A value that is not plain data: its attributes, calls, items and iteration are asked for over there.

    It is equal to plain data only as the plain data that it is a subclass of (an IntEnum, a list of one's own), whatever its
    own `__eq__` says, and has no arithmetic and no order. Two handles are equal when the program's process says so: of its
    own objects, only it can.
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

    def __contains__(self, item: Any) -> bool:
        return self._program.operation("contains", self, item) is True

    def __repr__(self) -> str:
        return str(self._program.operation("repr", self))

    def __str__(self) -> str:
        return str(self._program.operation("str", self))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is Handle:
            return self._program.operation("eq", self, other) is True
        plain = self._program.operation("plain", self)
        return type(plain) is tuple and len(plain) == 1 and bool(plain[0] == other)

    def __hash__(self) -> int:
        return hash(self._number)
