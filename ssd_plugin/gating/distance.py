"""Two-sample test between the programs of two sides: maximum mean discrepancy with a kernel on histograms of syntax,
calls and tokens.

The kernel is the inner product of square roots of normalised counts (Hellinger), hashed to a fixed width: the discrepancy is the
distance between mean vectors (Gretton et al. 2012, section 2.2, for a finite feature map). Under "same model" the labels of a
task's two sides can be exchanged; the threshold is a quantile over such exchanges, which keeps tasks paired.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]
WIDTH = 1024


@dataclass(frozen=True, kw_only=True)
class Shift:
    """`moved`: distance between the sides; `baseline`, `candidate`: each side's distance to the corpus. The thresholds are the
    99th percentiles under exchanged labels; `away`: candidate's minus baseline's squared distance to the corpus. `rises`: each
    task's part in `candidate` - `baseline`, to first order; their mean is that difference, their spread tells its error."""

    moved: float
    moved_threshold: float
    away: float
    away_threshold: float
    baseline: float
    candidate: float
    rises: tuple[float, ...]


def embed(histogram: Counter[str]) -> Vectors:
    """Unit vector of a histogram, width 1024; the zero vector for an empty one."""
    vector = np.zeros(WIDTH)
    for key, count in histogram.items():
        vector[zlib.crc32(key.encode("utf-8", "replace")) % WIDTH] += count
    total = vector.sum()
    return np.sqrt(vector / total) if total else vector


def measure(baseline: Mapping[str, Vectors], candidate: Mapping[str, Vectors], corpus: Sequence[Vectors]) -> Shift:
    """Compare sides by task (each task's mean vector), and both with the corpus; 2,000 exchanges, seed fixed.

    `rises` is the delta method: a distance changes with a task's vector along the direction from the corpus to the mean.
    """
    before = np.array([baseline[task] for task in sorted(baseline)])
    after = np.array([candidate[task] for task in sorted(baseline)])
    differences, middle = after - before, (before.mean(axis=0) + after.mean(axis=0)) / 2
    centre = np.mean(corpus, axis=0)
    from_corpus = middle - centre
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(2000, len(differences)))
    exchanged = signs @ differences / len(differences)
    shift = differences.mean(axis=0)
    return Shift(
        moved=float(np.linalg.norm(shift)),
        moved_threshold=float(np.quantile(np.linalg.norm(exchanged, axis=1), 0.99)),
        away=float(2 * shift @ from_corpus),  # |m + s/2 - c|^2 - |m - s/2 - c|^2
        away_threshold=float(np.quantile(2 * exchanged @ from_corpus, 0.99)),
        baseline=float(np.linalg.norm(from_corpus - shift / 2)),
        candidate=float(np.linalg.norm(from_corpus + shift / 2)),
        rises=tuple((_along(after - centre) - _along(before - centre)).tolist()),
    )


def _along(vectors: Vectors) -> Vectors:
    """Each row's length along the direction of their mean ("tasks width" to "tasks"); the mean of the lengths is the mean's."""
    mean = vectors.mean(axis=0)
    length = float(np.linalg.norm(mean))
    along: Vectors = vectors @ (mean / length) if length else np.zeros(len(vectors))
    return along
