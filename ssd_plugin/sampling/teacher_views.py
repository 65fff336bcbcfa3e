"""Prompts in which a model is shown more than the question, to be its own teacher: a demonstration, a right answer of its own to
the same question, or what went wrong.

Each is one user turn through the model's own chat template. A view that leaves no room for its completion is skipped and
counted, never cut: what would go first is the question.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from ssd_plugin.errors import DataError
from ssd_plugin.sampling.prompting import THOUGHT_ENDS, PromptEncoder

EXAMPLE = "Here is an example of a response to this question:"
IN_OWN_WORDS = "Now answer the question with a response of your own, thinking included."
RIGHT_ANSWER = "A correct solution to this problem:"
WENT_WRONG = "An earlier attempt at this problem was not right. What was found:"
SOLVE = "Now solve the original problem."
PHRASES = (EXAMPLE, IN_OWN_WORDS, RIGHT_ANSWER, WENT_WRONG, SOLVE)
"""What the views say beside the texts they are given: none of it belongs into an answer of the model."""


class Outcome(StrEnum):
    """What became of a view that was asked for."""

    BUILT = "built"
    EMPTY = "nothing to show"
    TOO_LONG = "longer than the context"
    CONTROL = "control tokens in what would be shown"


class TeacherViews:
    """Builds views as token ids. `counts`: how many ended how."""

    def __init__(self, encoder: PromptEncoder, context: int) -> None:
        """`context`: the most tokens that the model reads, completion included."""
        self._encoder, self._context = encoder, context
        self.counts: Counter[Outcome] = Counter()

    def demonstration(self, question: str, shown: str, *, completion: int) -> tuple[int, ...] | None:
        """The question with a demonstration; None where there is no view. `completion`: tokens that must fit after it."""
        parts = [question, EXAMPLE, shown, IN_OWN_WORDS] if shown.strip() else []
        return self._built(question, parts, completion)

    def hindsight(
        self, question: str, *, sibling: str = "", feedback: str = "", completion: int
    ) -> tuple[int, ...] | None:
        """The question with a right answer (`sibling_of`), with feedback, or both; None where there is neither."""
        parts = [RIGHT_ANSWER, sibling] if sibling.strip() else []
        parts += [WENT_WRONG, feedback] if feedback.strip() else []
        return self._built(question, [question, *parts, SOLVE] if parts else [], completion)

    def _built(self, question: str, parts: list[str], completion: int) -> tuple[int, ...] | None:
        ids = self._encoder.encode("\n\n".join(part.strip() for part in parts)) if parts else ()
        outcome = self._outcome(question, ids, completion) if parts else Outcome.EMPTY
        self.counts[outcome] += 1
        return ids if outcome is Outcome.BUILT else None

    def _outcome(self, question: str, ids: tuple[int, ...], completion: int) -> Outcome:
        if len(ids) + completion > self._context:
            return Outcome.TOO_LONG
        # A text that spells the end of a turn would end it: what follows were then not the user's any more.
        if self._controls(ids) != self._controls(self._encoder.encode(question)):
            return Outcome.CONTROL
        return Outcome.BUILT

    def _controls(self, ids: tuple[int, ...]) -> list[int]:
        return [token for token in ids if token in self._encoder.control_ids]


def demonstration_of(row: Mapping[str, Any], column: str = "reference") -> str:
    """The demonstration of a task's row: its reference, or another column.

    Raises:
        DataError: there is none (names the task).
    """
    found = row.get(column)
    if not isinstance(found, str) or not found.strip():
        raise DataError(
            f"task {row.get('task_id')!r} has no demonstration: its column '{column}' must be non-empty text; "
            "give it one, name another column, or leave the task out"
        )
    return found


def sibling_of(at: int, completions: Sequence[str], passed: Sequence[bool]) -> str:
    """A right answer to the same question for completion `at`: the next one after it that passed and is not the same text,
    without its thought; empty where there is none."""
    for step in range(1, len(completions)):
        other = (at + step) % len(completions)
        if passed[other] and completions[other] != completions[at]:
            return completions[other].rpartition(THOUGHT_ENDS)[2].strip()
    return ""
