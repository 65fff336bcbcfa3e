"""The prompts stage: evaluation tasks are kept out of training, graded tasks must have tests, ids are unique."""

from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core.jsonl import write_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.models.weights import ModelDir
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.samples_file import user_text
from ssd_plugin.pipeline.stages import prompts
from ssd_plugin.recipes import load
from ssd_plugin.tasks.schema import Task, read_tasks

STATEMENT = "Return the number of green apples that are left in the basket after n of them were eaten."


def task(name: str, prompt: str, **extra: Any) -> dict[str, Any]:
    return {"task_id": name, "prompt": prompt, **extra}


def with_tests(name: str, prompt: str) -> dict[str, Any]:
    return task(name, prompt, kind="function", entry_point="f", inputs=[[1]], expected=[1])


@pytest.fixture(autouse=True)
def _model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = ModelDir(path=tmp_path, digest="d" * 64, source="dir:model")
    monkeypatch.setattr(prompts, "resolve", lambda ref, revision: found)


def config(tmp_path: Path, train: list[Any], dev: list[Any], heldout: list[Any]) -> RunConfig:
    files = {"prompts": train, "select.data": dev, "evaluate.data": heldout}
    for name, rows in files.items():
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    return apply_overrides(load("ssd_smollm2_135m")(), [f"{name}.source={tmp_path / name}.jsonl" for name in files])


def test_a_prompt_that_shares_ten_words_with_an_evaluation_task_is_left_out_and_counted(tmp_path: Path) -> None:
    train = [with_tests("t1", "Add two numbers."), with_tests("t2", "Please: " + STATEMENT.upper())]
    settings = config(tmp_path, train, [with_tests("d1", "Double a number.")], [with_tests("h1", STATEMENT)])
    report = prompts.run(RunDir(tmp_path / "run"), settings)
    assert [t.task_id for t in read_tasks(tmp_path / "run/prompts/train.jsonl")] == ["t1"]
    assert report.facts["left_out"] == 1
    assert "1 left out" in report.summary


def test_a_prompt_that_holds_a_short_evaluation_task_whole_is_left_out(tmp_path: Path) -> None:
    short = "Return the sum of two numbers."
    train = [
        with_tests("t1", "Add two numbers."),
        with_tests("t2", f"Answer briefly, in Python only: {short} Nothing else."),
    ]
    settings = config(tmp_path, train, [with_tests("d1", "Double a number.")], [with_tests("h1", short)])
    assert prompts.run(RunDir(tmp_path / "run"), settings).facts["left_out"] == 1
    assert [t.task_id for t in read_tasks(tmp_path / "run/prompts/train.jsonl")] == ["t1"]


def test_what_many_tasks_say_in_the_same_words_is_no_tasks_own(tmp_path: Path) -> None:
    form = " The input is given from Standard Input in the following format: N and then one line of words."
    graded = [with_tests(f"h{n}", f"{name} the words of a list that has no more than {n} of them." + form)
              for n, name in enumerate(["Sort", "Count", "Reverse", "Join"])]  # fmt: skip
    train = [with_tests("t1", "Add two numbers." + form), with_tests("t2", graded[1]["prompt"])]
    report = prompts.run(RunDir(tmp_path / "run"), config(tmp_path, train, [with_tests("d1", "Double it.")], graded))
    assert [t.task_id for t in read_tasks(tmp_path / "run/prompts/train.jsonl")] == ["t1"]
    assert report.facts["left_out"] == 1


def test_training_on_nothing_but_evaluation_tasks_is_refused(tmp_path: Path) -> None:
    settings = config(
        tmp_path, [with_tests("t1", STATEMENT)], [with_tests("d1", STATEMENT)], [with_tests("h1", "Double it.")]
    )
    with pytest.raises(DataError, match="every prompt overlaps an evaluation task"):
        prompts.run(RunDir(tmp_path / "run"), settings)


def test_a_graded_task_needs_tests_and_ids_are_unique(tmp_path: Path) -> None:
    good = [with_tests("x", "Double a number.")]
    with pytest.raises(DataError, match=r"appears twice"):
        prompts.run(RunDir(tmp_path / "run"), config(tmp_path, good, good * 2, good))
    untested = [task("y", "Add one.", reference="def f(x): return x + 1")]
    with pytest.raises(DataError, match=r"no tests"):
        prompts.run(RunDir(tmp_path / "run"), config(tmp_path, good, untested, good))


def test_starter_code_reaches_the_model_unless_the_statement_shows_it() -> None:
    code = "def f(x):"
    assert user_text(Task(task_id="t", prompt="Double.", starter_code=code)).endswith("```python\ndef f(x):\n```")
    shown = f"Complete:\n{code}\n"
    assert user_text(Task(task_id="t", prompt=shown, starter_code=code)) == shown
    assert user_text(Task(task_id="t", prompt="Double.")) == "Double."
