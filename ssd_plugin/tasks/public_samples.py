"""Samples as other harnesses write them, to rows of ours: EvalPlus, human-eval, LiveCodeBench and BigCodeBench."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ssd_plugin.errors import DataError

# What a model said, and what a harness took from it.
_RAW = ("completion", "output", "output_list", "raw_solution")
_TAKEN = ("solution", "code_list")
_LISTS = frozenset({"output", "output_list", "code_list"})


class PublicSamples:
    """Turns the rows of one file into rows with `task_id`, `sample_id` and `completion`; samples without an id are numbered
    by their order within the task, from 0."""

    def __init__(self) -> None:
        self._numbered: Counter[str] = Counter()
        self._named = False

    def rows(self, row: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
        """The samples of a row: one, or as many as its list holds. Other fields come along as they are.

        Raises:
            DataError: more than one field could be the completion, or only some rows of the file have a `sample_id`.
        """
        texts = _completions(row, where)
        given = {key: value for key, value in row.items() if key not in (*_RAW, *_TAKEN)}
        if "task_id" not in given and "question_id" in given:
            given["task_id"] = given.pop("question_id")
        for key in ("task_id", "sample_id"):
            if type(given.get(key)) is int:
                given[key] = str(given[key])
        if "sample_id" in given and len(texts) > 1:
            raise DataError(f"{where}: has one sample_id for {len(texts)} completions; leave it out, they are numbered")
        for text in texts:
            yield given | {"sample_id": self._identifier(given, where), "completion": text}

    def _identifier(self, given: Mapping[str, Any], where: str) -> Any:
        if "sample_id" in given:
            self._named = True
        if self._named and (self._numbered or "sample_id" not in given):
            raise DataError(f"{where}: some rows have a sample_id and some have none; give it in every row or in none")
        if self._named:
            return given["sample_id"]
        task = str(given.get("task_id"))
        self._numbered[task] += 1
        return str(self._numbered[task] - 1)


def _completions(row: Mapping[str, Any], where: str) -> list[Any]:
    found = {name: _listed(row[name], name, where) for name in (*_RAW, *_TAKEN) if row.get(name) is not None}
    if not found:
        there = "is null" if "completion" in row else "is missing"
        raise DataError(
            f"{where}: field 'completion' must be text, {there}; read too are {', '.join((*_RAW[1:], *_TAKEN))}"
        )
    chosen, *others = found
    for name in others:
        texts, known = found[name], found[chosen]
        if texts != known and not (name in _TAKEN and chosen in _RAW and _all_taken(texts, known)):
            raise DataError(
                f"{where}: both '{chosen}' and '{name}' could be the completion, and they differ; leave one of the two out"
            )
    return found[chosen]


def _listed(value: Any, name: str, where: str) -> list[Any]:
    if isinstance(value, list) and name in _LISTS:
        if not value:
            raise DataError(f"{where}: field '{name}' holds no completion")
        return value
    if name.endswith("_list"):
        raise DataError(f"{where}: field '{name}' must be a list of texts, is {value!r:.60}")
    return [value]


def _all_taken(programs: list[Any], answers: list[Any]) -> bool:
    """Whether each program is made of lines of its answer: the harness took it from there, and nothing is to be chosen."""
    return len(programs) == len(answers) and all(
        isinstance(program, str) and isinstance(answer, str) and _lines(program) <= _lines(answer)
        for program, answer in zip(programs, answers, strict=True)
    )


def _lines(text: str) -> set[str]:
    return {line.strip() for line in text.split("\n") if line.strip()}
