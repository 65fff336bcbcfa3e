"""Which keys were met before, in eight bytes each: a set of a hundred thousand strings would take ten megabytes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

RECENT = 4096


class Seen:
    """Remembers 64-bit hashes. Two different keys are taken for one with a probability of (keys met) squared / 2**65: one in
    a billion for two hundred thousand."""

    def __init__(self) -> None:
        """Nothing was met."""
        import numpy

        self._numpy = numpy
        self._recent: set[int] = set()
        self._older: NDArray[int64] = numpy.empty(0, dtype=numpy.int64)  # sorted

    def add(self, key: Any) -> bool:
        """Remember a hashable key; whether it was met before."""
        value = hash(key)
        place = int(self._older.searchsorted(value))
        if value in self._recent or (place < len(self._older) and int(self._older[place]) == value):
            return True
        self._recent.add(value)
        if len(self._recent) == RECENT:
            merged = self._numpy.concatenate([self._older, self._numpy.fromiter(self._recent, dtype=self._numpy.int64)])
            merged.sort()
            self._older, self._recent = merged, set()
        return False
