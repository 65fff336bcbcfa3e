"""The LiveCodeBench runner: `SCENARIO_N_TEMPERATURE_eval_all.json`, a list of questions with the grades of their samples."""

import re
from pathlib import Path
from typing import Any

from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.results import DECODING, TASK_VERSION, VERSION, Grades, TaskResults

NAME = "LiveCodeBench"
KEYS = frozenset({"question_id", "graded_list", "contest_date", "difficulty", "output_list", "pass@1"})
_NAMED = re.compile(r"Scenario\.(?P<scenario>\w+?)_\d+_(?P<temperature>[\d.]+)(?P<cot>_cot)?_eval_all\.json")
_ASKED = ("question_content", "starter_code", "code", "input", "function_name", "test_id")
_TOLD = ("question_id", "platform", "difficulty", "contest_id", "problem_id")


def holds(document: object) -> bool:
    """Whether the JSON document is a list of graded questions."""
    return isinstance(document, list) and bool(document) and _is_graded(document[0])


def _is_graded(row: object) -> bool:
    return isinstance(row, dict) and {"question_id", "graded_list"} <= row.keys()


def summary(document: object) -> str:
    """What to give in the place of the runner's figures, or of answers that were not graded; empty for another document."""
    if isinstance(document, list) and document and isinstance(document[0], dict):
        if "detail" in document[0] and "pass@1" in document[0]:
            return f"has the figures of a run of {NAME}; give the file that ends in _eval_all.json beside it"
        if "question_id" in document[0]:
            return f"has answers of {NAME} that were not graded; run it with --evaluate and give the _eval_all.json"
    return ""


def read_document(path: Path, document: list[Any]) -> list[TaskResults]:
    """The one scenario of the file. The metric is `pass@1`.

    Raises:
        DataError: a question has no grades, or a grade is not true or false.
    """
    grades = Grades(where=str(path))
    for number, row in enumerate(document, start=1):
        graded = row["graded_list"] if _is_graded(row) else None
        if not isinstance(graded, list) or not graded or not all(isinstance(grade, bool) for grade in graded):
            raise DataError(f"{path}: question {number} has no graded_list of true and false; grade it again")
        for sample, grade in enumerate(graded):
            grades.add(
                _item(row),
                sample,
                scores={"pass@1": grade},
                prompt=[row.get(name) for name in _ASKED],
                answer=[row.get("output_list"), row.get("code_list"), sample],
                columns={name: row.get(name) for name in _TOLD},
            )
    named = _NAMED.fullmatch(path.name)
    decoding = f"temperature {named['temperature']}{', with reasoning' if named['cot'] else ''}" if named else ""
    return [
        TaskResults(
            harness=NAME,
            task=_scenario(document[0]),
            where=str(path),
            conditions={VERSION: "", TASK_VERSION: "", DECODING: decoding},
            items=grades.items(),
        )
    ]


def _item(row: dict[str, Any]) -> str:
    """A question has several tests to predict, and several programs to run."""
    return "/".join(str(row[name]) for name in ("question_id", "test_id", "id") if name in row)


def _scenario(row: dict[str, Any]) -> str:
    if "test_id" in row:
        return "testoutputprediction"
    return "codegeneration" if "code_list" in row else "codeexecution"
