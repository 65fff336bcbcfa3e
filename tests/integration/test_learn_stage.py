"""The stage `learn` on a tiny model: a killed run ends as an uninterrupted one, and what cannot be learnt from is refused."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_model

from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_jsonl, write_json, write_jsonl
from ssd_plugin.errors import ConfigError, DataError, TrainingError
from ssd_plugin.grading.feedback import Feedback, FeedbackKind
from ssd_plugin.grading.in_memory import Judged
from ssd_plugin.grading.judgement import Judgement
from ssd_plugin.methods import METHODS, method_of
from ssd_plugin.models.weights import model_digest
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport, learn
from ssd_plugin.pipeline.teacher_views import TeacherViews
from ssd_plugin.recipes import load
from ssd_plugin.tasks.schema import FunctionCheck, Sample, Status, Task
from ssd_plugin.training.embedded_learner import EmbeddedLearner

METHOD_NAMES = ("sdft", "sdpo", "grpo", "srpo")
SIZES = {
    "train.train_iters": 4, "train.save_interval": 1, "train.warmup_iters": 0, "train.max_lr": 1e-3, "train.min_lr": 1e-3,
    "train.seq_length": 256, "rollout.max_new_tokens": 8, "rollout.tasks_per_batch": 2, "engine.max_rows": 4,
    "engine.dtype": "float32", "guard.smallest_entropy": 0, "guard.view_tasks": 0,
    **{f"{name}.rollouts_per_task": 3 for name in METHOD_NAMES},
}  # fmt: skip


class Coin:
    """A grader whose verdict on a text is a coin's: the same text is always judged alike."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> "Coin":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def passes(self, sample: Sample) -> bool:
        return hashlib.sha256(sample.completion.encode()).digest()[0] % 2 == 0

    def grade(self, samples: Iterable[Sample]) -> Iterator[Judged]:
        for number, sample in enumerate(samples):
            status = Status.PASS if self.passes(sample) else Status.FAIL
            feedback = None if status is Status.PASS else Feedback(kind=FeedbackKind.HIDDEN)
            judgement = Judgement(status=status, feedback=feedback)
            yield Judged(number=number, sample=sample, program="pass", judgement=judgement)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture(autouse=True)
def coin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "Grader", Coin)
    monkeypatch.setattr("ssd_plugin.training.embedded_learner.has_fast_bfloat16", lambda _: False)


def tasks(**changes: Any) -> list[Task]:
    check = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))
    return [
        replace(
            Task(task_id=f"t{i}", prompt=f"Add {i}.", check=check, reference=f"def f(x): return x + {i}"), **changes
        )
        for i in range(3)
    ]


def prepared(run: Path, model_dir: Path, method: str, given: list[Task] | None = None, *more: str) -> RunConfig:
    """A run directory as the stage `prompts` leaves it."""
    texts = [f"{key}={value}" for key, value in SIZES.items()]
    config = apply_overrides(
        load(f"{method}_smollm2_135m")(), [f"model.ref={model_dir}", "model.system_message=", *texts, *more]
    )
    write_jsonl(run / layout.TRAIN_PROMPTS, (task.to_json() for task in given or tasks()))
    write_json(run / layout.BASE_MODEL, {"ref": str(model_dir), "revision": "", "digest": model_digest(model_dir)})
    return config


def learnt(run: Path, config: RunConfig) -> StageReport:
    return learn.run(RunDir(run), config)


def outcome(run: Path) -> tuple[str, list[Any], list[Any]]:
    """The model, the log without its times, and the rollouts."""
    log = [row for _, row in read_jsonl(run / layout.TRAINING_LOG)]
    timeless = [{key: value for key, value in row.items() if "seconds" not in key} for row in log]
    return model_digest(run / layout.CANDIDATE_MODEL), timeless, [row for _, row in read_jsonl(run / layout.ROLLOUTS)]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_a_method_learns_and_says_what_happened(model_dir: Path, tmp_path: Path, method: str) -> None:
    config = prepared(tmp_path, model_dir, method)
    report = learnt(tmp_path, config)
    digest, log, rollouts = outcome(tmp_path)
    assert digest != model_digest(model_dir)
    assert [row["step"] for row in log] == [1, 2, 3, 4]
    assert len(rollouts) == 4 * 2 * 3
    assert len({row["sample_id"] for row in rollouts}) == len(rollouts)
    branches = {row["branch"] for row in rollouts}
    expected = {"sdft": {"teacher"}, "grpo": {"policy"}, "srpo": {"policy", "teacher"}, "sdpo": {"teacher", "none"}}[
        method
    ]
    assert branches <= expected
    assert branches & expected
    assert all((row["reward"] is None) == (method == "sdft") for row in log)
    updated = [row for row in log if row["updated"]]
    assert updated
    assert all(row["gap"] < 1e-4 for row in updated), "in float32 sampler and trainer agree"
    assert report.facts["updates"] == len(updated)
    assert f"{len(updated)} updates of 4 batches" in report.summary
    assert set(METHODS[method].pipeline[1].writes) <= {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert learnt(tmp_path, config) == report, "what is done is not done again"


class Killed(BaseException):
    """Stands for the process's end."""


def die_in(monkeypatch: pytest.MonkeyPatch, name: str, call: int, *, after: bool) -> None:
    """The process ends in the learner's `call`-th call of a function, before or after it has worked."""
    original: Callable[..., Any] = getattr(EmbeddedLearner, name)
    calls = []

    def dying(self: EmbeddedLearner, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == call and not after:
            raise Killed
        found = original(self, *arguments)
        if len(calls) == call:
            raise Killed
        return found

    monkeypatch.setattr(EmbeddedLearner, name, dying)


MOMENTS = [("snapshot", 1, False), ("update", 2, False), ("update", 3, True), ("save", 2, False), ("save", 2, True),
           ("export", 1, False), ("export", 1, True)]  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_run_killed_at_any_moment_ends_as_an_uninterrupted_one(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[str, int, bool]
) -> None:
    config = prepared(tmp_path / "whole", model_dir, "srpo")
    learnt(tmp_path / "whole", config)
    prepared(tmp_path / "killed", model_dir, "srpo")
    with monkeypatch.context() as patched:
        die_in(patched, moment[0], moment[1], after=moment[2])
        with pytest.raises(Killed):
            learnt(tmp_path / "killed", config)
    log = tmp_path / "killed" / layout.TRAINING_LOG
    if log.exists():
        with log.open("a") as stream:
            stream.write('{"step": 4, "lo')  # half a row, as a power cut leaves it
    learnt(tmp_path / "killed", config)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def test_no_more_than_one_batch_is_done_again(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = prepared(tmp_path, model_dir, "grpo")
    with monkeypatch.context() as patched:
        die_in(patched, "update", 4, after=True)
        with pytest.raises(Killed):
            learnt(tmp_path, config)
    updates: list[int] = []
    original = EmbeddedLearner.update

    def counted(self: EmbeddedLearner, rows: Any) -> Any:
        updates.append(1)
        return original(self, rows)

    monkeypatch.setattr(EmbeddedLearner, "update", counted)
    learnt(tmp_path, config)
    assert len(updates) == 1


def test_a_group_whose_rewards_are_equal_changes_nothing_and_enough_of_them_stop_the_run(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Coin, "passes", lambda *_: False)
    config = prepared(tmp_path, model_dir, "grpo", None, "guard.batches_without_signal=2")
    with pytest.raises(TrainingError, match="batch 2: stopped, nothing could be learnt from 2 batches in a row"):
        learnt(tmp_path, config)
    assert not (tmp_path / layout.CANDIDATE_MODEL).exists()
    looser = apply_overrides(config, ["guard.batches_without_signal=9"])
    learnt(tmp_path, looser)
    _, log, rollouts = outcome(tmp_path)
    assert [(row["updated"], row["silent_groups"], row["reward"]) for row in log] == [(False, 1.0, 0.0)] * 4
    assert {row["advantage"] for row in rollouts} == {0.0}
    assert model_digest(tmp_path / layout.CANDIDATE_MODEL) != "", "the candidate is the base, and the gates will say so"


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("grpo", {"check": None}, "task 't0' has no tests, and method = grpo learns from rewards"),
        ("sdft", {"reference": ""}, "task 't0' has no reference, and method = sdft learns from demonstrations"),
    ],
)
def test_tasks_without_what_the_method_learns_from_are_refused(
    model_dir: Path, tmp_path: Path, method: str, changes: dict[str, Any], message: str
) -> None:
    config = prepared(tmp_path, model_dir, method, tasks(**changes))
    with pytest.raises(DataError, match=message):
        learnt(tmp_path, config)
    assert not (tmp_path / layout.TRAIN).exists()


@pytest.mark.parametrize(
    ("method", "override", "message"),
    [
        ("grpo", "grpo.rollouts_per_task=1", "grpo.rollouts_per_task = 1: a rollout is compared with others"),
        ("srpo", "engine.name=vllm", "engine.name = 'vllm' is not allowed with method = srpo"),
        ("sdpo", "train.method=lora", "train.method = 'lora' is not allowed with method = sdpo"),
        ("sdft", "train.backend=megatron", "train.backend = 'megatron' is not allowed with method = sdft"),
    ],
)
def test_settings_that_cannot_work_are_refused(method: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        method_of(apply_overrides(load(f"{method}_smollm2_135m")(), [override]))


def test_a_view_that_does_not_fit_is_left_out_whole_and_counted(model_dir: Path, tmp_path: Path) -> None:
    config = prepared(tmp_path, model_dir, "sdft", tasks(reference="x" * 600), "guard.batches_without_signal=99")
    learnt(tmp_path, config)
    _, log, rollouts = outcome(tmp_path)
    assert {row["too_long"] for row in log} == {1.0}
    assert {row["branch"] for row in rollouts} == {"none"}
    assert not any(row["updated"] for row in log)


def test_nothing_of_a_hidden_test_is_in_a_teachers_view_or_a_log(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = 918273645
    check = FunctionCheck(entry_point="f", inputs=((canary,),), expected=(canary,))
    shown: list[str] = []
    original = TeacherViews.encode

    def noted(self: TeacherViews, text: str, completion_tokens: int) -> tuple[int, ...]:
        shown.append(text)
        return original(self, text, completion_tokens)

    monkeypatch.setattr(TeacherViews, "encode", noted)
    for method in METHOD_NAMES:
        learnt(tmp_path / method, prepared(tmp_path / method, model_dir, method, tasks(check=check)))
        written = "".join(path.read_text() for path in (tmp_path / method / "train").glob("*.json*"))
        assert str(canary) not in written
    assert len(shown) > 10
    assert not any(str(canary) in text for text in shown)


@pytest.mark.parametrize("helps", [True, False])
def test_a_demonstration_that_does_not_help_ends_the_run_before_it_begins(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], helps: bool
) -> None:
    """The grader passes all or none of the answers that are given with the demonstration in view, and none of the others."""
    prompts: list[int] = []

    def judge(_: Coin, samples: Iterable[Sample]) -> Iterator[Judged]:
        prompts.append(1)
        status = Status.PASS if helps and len(prompts) == 2 else Status.FAIL
        for number, sample in enumerate(samples):
            yield Judged(number=number, sample=sample, program="", judgement=Judgement(status=status))

    monkeypatch.setattr(Coin, "grade", judge)
    monkeypatch.setattr("ssd_plugin.pipeline.view_check.Grader", Coin)
    config = prepared(tmp_path, model_dir, "sdft", None, "guard.view_tasks=2")
    if helps:
        learnt(tmp_path, config)
        assert "100% of 2 answers pass with the demonstration in view, 0% without" in capsys.readouterr().out
        return
    with pytest.raises(
        TrainingError, match=r"there is nothing to expect: 0% of 2 answers pass with .* guard\.view_tasks=0"
    ):
        learnt(tmp_path, config)
    assert not (tmp_path / layout.CANDIDATE_MODEL).exists()
    learnt(tmp_path, apply_overrides(config, ["guard.view_tasks=0"]))
