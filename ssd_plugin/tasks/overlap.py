"""Do two sets of texts share an n-gram? Lower-cased word n-grams; the indexed set costs 8 bytes an n-gram, the other streams."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import bool_, int64
    from numpy.typing import NDArray

WORD = re.compile(r"\w+")
WHOLE = 6
"""Words of the shortest text that is looked for inside longer ones; fewer ("Sort a list.") are what any text may say."""


def words(text: str) -> list[str]:
    """The lower-cased words of a text: maximal runs of letters, digits and underscores."""
    return WORD.findall(text.lower())


class NgramIndex:
    """The n-grams of `texts`. A text of fewer than `n` words counts as one n-gram, so equal short texts are found too, and one of
    `WHOLE` words or more wherever it stands whole, word for word, inside a longer text.

    N-grams are kept as 64-bit hashes salted by the process: texts cannot be made to collide, and a chance collision
    has a probability of about (n-grams here) x (n-grams looked up) / 2**64.
    """

    def __init__(self, texts: Iterable[str], n: int = 10) -> None:
        import numpy as np

        self.n = n
        hashes = array("q")
        short = set()
        for found in map(words, texts):
            hashes.extend(map(hash, _ngrams(found, n)))
            short.add(len(found))
        self._sizes = [n, *(size for size in range(n - 1, WHOLE - 1, -1) if size in short)]
        self._hashes: NDArray[int64] = np.unique(np.frombuffer(hashes, dtype=np.int64))

    def __len__(self) -> int:
        """How many different n-grams are indexed."""
        return len(self._hashes)

    def first_shared(self, text: str) -> str:
        """The first n-gram of `text` that an indexed text holds too, else the first short indexed text that stands in it whole;
        its words joined by spaces, empty if there is none."""
        return self._first(self._looked_up(words(text)))

    def first_kept(self, text: str) -> str:
        """The first n-gram of an indexed text that `keep_shared` left, its words joined by spaces; empty if it left none."""
        return self._first(_ngrams(words(text), self.n))

    def keep_shared(self, texts: Iterable[str]) -> int:
        """Forget every n-gram that none of `texts` holds; they stream, so they may be many. Returns how many have any words."""
        import numpy as np

        held = np.zeros(len(self._hashes), dtype=bool)
        count = 0
        for found in filter(None, map(words, texts)):
            inside, places = self._find(self._looked_up(found))
            held[places[inside]] = True
            count += 1
        self._hashes = self._hashes[held]
        return count

    def _first(self, grams: Iterator[tuple[str, ...]]) -> str:
        looked_up = list(grams)
        inside, _ = self._find(looked_up)
        hits = inside.nonzero()[0]
        return " ".join(looked_up[hits[0]]) if hits.size else ""

    def _find(self, grams: Iterable[tuple[str, ...]]) -> "tuple[NDArray[bool_], NDArray[int64]]":
        """For each run of words: whether it is indexed, and where."""
        import numpy as np

        hashes = np.fromiter(map(hash, grams), dtype=np.int64)
        # The index is sorted: a binary search per n-gram, where `np.isin` would sort the whole index again for every text.
        places = np.searchsorted(self._hashes, hashes)
        inside = places < len(self._hashes)
        inside[inside] = self._hashes[places[inside]] == hashes[inside]
        return inside, places

    def _looked_up(self, found: list[str]) -> Iterator[tuple[str, ...]]:
        """The n-grams of these words, then their runs as long as indexed short texts, of which only whole ones are indexed."""
        for size in self._sizes:
            if size == self.n or size < len(found):
                yield from _ngrams(found, size)


def _ngrams(found: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """All runs of n words, or the whole where there are fewer; nothing without words."""
    if found:
        yield from (tuple(found[i : i + n]) for i in range(max(1, len(found) - n + 1)))


def own_wording(prompts: Mapping[str, str], n: int, template_share: float) -> dict[str, list[str]]:
    """By task: the stretches of its prompt that are left when what many tasks say in the same words is cut out, such as how their
    input is given. That is what at least `template_share` of them have in common, and three; a prompt of fewer than `n` words
    counts as a whole."""
    texts = {task: words(prompt) for task, prompt in prompts.items()}
    counts = Counter(gram for found in texts.values() for gram in set(_hashes(found, n)))
    common = max(3.0, template_share * len(prompts))
    stretches: dict[str, list[str]] = {}
    for task, found in texts.items():
        own = [counts[gram] < common for gram in _hashes(found, n)]
        stretches[task] = list(_stretches(found, own, n))
    return stretches


def _hashes(found: Sequence[str], n: int) -> list[int]:
    return list(map(hash, _ngrams(found, n)))


def _stretches(found: Sequence[str], own: Sequence[bool], n: int) -> Iterator[str]:
    """Runs of words all of whose n-grams are the task's own."""
    start: int | None = None
    for i, is_own in enumerate([*own, False]):
        if is_own and start is None:
            start = i
        elif not is_own and start is not None:
            yield " ".join(found[start : i + n - 1])
            start = None
