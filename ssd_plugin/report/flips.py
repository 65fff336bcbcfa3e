"""Tasks won and lost between two graded sides, and the programs behind the clearest ones, side by side."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.metrics.summary import Tally
from ssd_plugin.tasks.schema import Result, Status, Task, read_results

SHOWN = 10  # programs are shown for this many wins and this many losses
MAX_LINES, MAX_COLUMNS = 60, 120  # keep the page under 3 MB even if every character is escaped
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")

Span = tuple[str, bool]  # a piece of a line, and whether it differs from the other side


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A task on which the sides differ; rates are the shares of its samples that passed (0 to 1)."""

    task_id: str
    domain: str
    baseline: float
    candidate: float

    @property
    def won(self) -> bool:
        """More of the candidate's samples pass."""
        return self.candidate > self.baseline


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a program beside its counterpart; `mark` is "added", "removed" or empty."""

    mark: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A flip with one program of each side: for a win a failing one and a passing one, for a loss the reverse."""

    flip: Flip
    prompt: str
    baseline_status: str
    candidate_status: str
    baseline: tuple[Line, ...]
    candidate: tuple[Line, ...]
    cut: bool


def find_flips(tasks: Mapping[str, Task], baseline: Tally, candidate: Tally) -> list[Flip]:
    """The tasks whose pass rates differ, the clearest first; both tallies hold every task."""
    rates = [{task: passed / n for task, (n, passed) in side.tasks.items()} for side in (baseline, candidate)]
    flips = [
        Flip(task_id=name, domain=task.domain, baseline=rates[0][name], candidate=rates[1][name])
        for name, task in tasks.items()
        if rates[0][name] != rates[1][name]
    ]
    return sorted(flips, key=lambda flip: (-abs(flip.candidate - flip.baseline), flip.task_id))


def _first(results: Path, wanted: Mapping[str, bool]) -> dict[str, Result]:
    """Each wanted task's first result that passed (True) or did not (False)."""
    found: dict[str, Result] = {}
    for result in read_results(results):
        passed = wanted.get(result.task_id)
        if passed is not None and result.task_id not in found and (result.status is Status.PASS) == passed:
            found[result.task_id] = result
    return found


def _clip(program: str) -> tuple[list[str], bool]:
    lines = program.splitlines()
    kept = [line if len(line) <= MAX_COLUMNS else line[:MAX_COLUMNS] + " …" for line in lines[:MAX_LINES]]
    return kept, len(lines) > MAX_LINES or any(len(line) > MAX_COLUMNS for line in lines)


def _changed_line(line: str, other: str, mark: str) -> Line:
    """The words between the common start and the common end are marked: linear in time, whatever the line holds."""
    words, others = _WORDS.findall(line), _WORDS.findall(other)
    shortest = min(len(words), len(others))
    start = next((i for i in range(shortest) if words[i] != others[i]), shortest)
    room = shortest - start
    end = next((i for i in range(room) if words[-1 - i] != others[-1 - i]), room)
    stop = len(words) - end
    pieces = (("".join(words[:start]), False), ("".join(words[start:stop]), True), ("".join(words[stop:]), False))
    return Line(mark=mark, spans=tuple(piece for piece in pieces if piece[0]))


def side_by_side(left: Sequence[str], right: Sequence[str]) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Two aligned columns of equal length: equal lines plain, others marked with their differing words."""
    columns: tuple[list[Line], list[Line]] = ([], [])
    blank = Line(mark="", spans=())
    for kind, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for offset in range(max(b - a, d - c)):
            mine = left[a + offset] if a + offset < b else None
            other = right[c + offset] if c + offset < d else None
            if kind == "equal":
                columns[0].append(Line(mark="", spans=((mine or "", False),)))
                columns[1].append(Line(mark="", spans=((other or "", False),)))
                continue
            columns[0].append(blank if mine is None else _changed_line(mine, other or "", "removed"))
            columns[1].append(blank if other is None else _changed_line(other, mine or "", "added"))
    return tuple(columns[0]), tuple(columns[1])


def program_pairs(flips: Sequence[Flip], tasks: Mapping[str, Task], baseline: Path, candidate: Path) -> list[Pair]:
    """The programs of the clearest wins and losses, losses first: they are what a reader must see.

    Raises:
        DataError: a result file cannot be read.
    """
    chosen = [flip for flip in flips if not flip.won][:SHOWN] + [flip for flip in flips if flip.won][:SHOWN]
    before = _first(baseline, {flip.task_id: not flip.won for flip in chosen})
    after = _first(candidate, {flip.task_id: flip.won for flip in chosen})
    pairs = []
    for flip in chosen:
        one, two = before[flip.task_id], after[flip.task_id]
        (left, cut_left), (right, cut_right) = (
            _clip(one.program or one.completion),
            _clip(two.program or two.completion),
        )
        columns = side_by_side(left, right)
        pairs.append(
            Pair(
                flip=flip,
                prompt=tasks[flip.task_id].prompt[:1000],
                baseline_status=one.status.value,
                candidate_status=two.status.value,
                baseline=columns[0],
                candidate=columns[1],
                cut=cut_left or cut_right,
            )
        )
    return pairs
