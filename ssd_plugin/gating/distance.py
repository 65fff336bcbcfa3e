"""How far a program is from code written by people: Hellinger distance of histograms of syntax, calls and tokens.

A histogram becomes the unit vector of the square roots of its shares, hashed to a fixed width. Each sample has its own
distance, so a task's figure is a mean over samples: it depends on no number of samples, and is compared like any other.
"""

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]
WIDTH = 1024


def embed(histogram: Counter[str]) -> Vectors:
    """Unit vector of a histogram, width 1024; the zero vector for an empty one."""
    vector = np.zeros(WIDTH)
    for key, count in histogram.items():
        vector[zlib.crc32(key.encode("utf-8", "replace")) % WIDTH] += count
    total = vector.sum()
    return np.sqrt(vector / total) if total else vector


def hellinger(one: Vectors, other: Vectors) -> float:
    """Distance of two embedded histograms, from 0 (the same shares) to 1 (nothing in common)."""
    return float(np.linalg.norm(one - other) / np.sqrt(2))


class Library:
    """Functions that people wrote, as a ruler for programs whose task has no reference solution."""

    NEAREST = 25  # functions that a program is compared with

    def __init__(self, histograms: Sequence[Counter[str]]) -> None:
        """`histograms`: one per function."""
        ordered = sorted(histograms, key=Counter.total)
        self._sizes = np.array([histogram.total() for histogram in ordered])
        self._vectors = np.array([embed(histogram) for histogram in ordered])

    def distance(self, histogram: Counter[str]) -> float:
        """Mean distance to the functions nearest in size: short programs differ from long functions by their length alone."""
        place = int(np.searchsorted(self._sizes, histogram.total()))
        start = min(max(0, place - self.NEAREST // 2), max(0, len(self._sizes) - self.NEAREST))
        near = self._vectors[start : start + self.NEAREST]
        return float(np.linalg.norm(near - embed(histogram), axis=1).mean() / np.sqrt(2))
