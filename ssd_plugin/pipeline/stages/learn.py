"""Stage `learn`: sample from the current weights, grade, make rows, update, and again, `train.train_iters` times."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, sha256_file, sha256_json
from ssd_plugin.core.progress import track
from ssd_plugin.core.stage_timing import spent
from ssd_plugin.errors import DataError, ResourceError, TrainingError
from ssd_plugin.grading.in_memory import Grader
from ssd_plugin.methods import learning_method
from ssd_plugin.methods.learning import LearningMethod
from ssd_plugin.models.device import is_out_of_disk, is_out_of_memory
from ssd_plugin.models.weights import ModelDir
from ssd_plugin.pipeline.learning_rows import log_row, rollout_row, take
from ssd_plugin.pipeline.rollouts import RolloutSource
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.pipeline.stages.model import base_model, candidate_model
from ssd_plugin.pipeline.stop_rules import why_to_stop
from ssd_plugin.pipeline.teacher_views import TeacherViews
from ssd_plugin.pipeline.view_check import require_gain, view_rates
from ssd_plugin.sampling.embedded import EmbeddedSampler
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.tasks.schema import Task, iter_tasks
from ssd_plugin.training import checkpoints
from ssd_plugin.training.embedded_learner import EmbeddedLearner
from ssd_plugin.training.losses.objective import Objective
from ssd_plugin.training.protocol import TrainSummary


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write train/model, train/log.jsonl and train/rollouts.jsonl; a restart goes on from the last checkpoint.

    Raises:
        DataError: a task lacks the tests or the demonstration that the method needs.
        TrainingError: a rule of `guard` stops the run, or the loss is not a number; the last checkpoint stays.
        SamplingError, SandboxError, ResourceError: what was finished is kept.
    """
    method = learning_method(config)
    tasks = _usable(list(iter_tasks(run / layout.TRAIN_PROMPTS)), method)
    base, work, output = base_model(run, config), run / layout.TRAIN, candidate_model(run)
    identity = _identity(run, config, method, base)
    done = checkpoints.finished(work, identity, output)
    if done is None:
        with _resource_errors(work), _grader(tasks, config, method) as grader:
            loop = _open(config, method, base, work, tasks, grader)
            resume = checkpoints.begin(work, identity)
            if resume is None and not method.graded:
                loop.check_view(tasks)
            done = loop.run(resume)
            with spent("checkpoints"):
                loop.learner.export(output)
                checkpoints.finish(work, identity, output, done)
    return _report(checkpoints.read_log(work), done)


@dataclass(frozen=True, kw_only=True)
class _Loop:
    """Everything that one batch needs."""

    config: RunConfig
    method: LearningMethod
    work: Path
    base: Path
    source: RolloutSource
    views: TeacherViews
    learner: EmbeddedLearner

    def run(self, resume: Path | None) -> TrainSummary:
        """All batches that are still to do."""
        train, done = self.config.train, checkpoints.step_of(resume)
        if resume is not None:
            self.learner.restore(resume)
        checkpoints.cut_back(self.work / layout.ROLLOUTS_NAME, done)
        with track("learn", train.train_iters, done) as advance:
            for step in range(done + 1, train.train_iters + 1):
                row = self._batch(step)
                reward = "" if row["reward"] is None else f"reward {row['reward']:.2f}, "
                advance(note=f"{reward}loss {row['loss']:.3f}")
                self._save(step)
        log = checkpoints.read_log(self.work)
        tokens = sum(row["tokens"] for row in log)
        return TrainSummary(steps=len(log), tokens=tokens, first_loss=log[0]["loss"], last_loss=log[-1]["loss"])

    def check_view(self, tasks: Sequence[Task]) -> None:
        """Say whether the demonstration helps the model, and end where it does not."""
        with closing(EmbeddedSampler(self.base, self.config.engine, self.learner.snapshot())) as sampler:
            rates = view_rates(tasks, self.config, self.views.encoder, sampler)
        if rates is not None:
            require_gain(rates, self.config)
            print(rates, flush=True)

    def _batch(self, step: int) -> JsonObject:
        began = time.monotonic()
        with closing(EmbeddedSampler(self.base, self.config.engine, self.learner.snapshot())) as sampler:
            copied = time.monotonic() - began
            with spent("model"):
                groups = self.source.batch(step, sampler)
        taken = take(groups, self.config, self.method, self.views)
        with spent("model"):
            update = self.learner.update([one.row for one in taken])
        row = log_row(step, taken, self.method.section(self.config).rollouts_per_task, update)
        row |= {"seconds": round(time.monotonic() - began, 3), "copy_seconds": round(copied, 3)}
        rollouts = (rollout_row(step, place, one) for place, one in enumerate(taken))
        checkpoints.append_rows(self.work / layout.ROLLOUTS_NAME, rollouts)
        checkpoints.append_log(self.work, row)
        if why := why_to_stop(checkpoints.read_log(self.work), self.config.guard):
            raise TrainingError(f"batch {step}: stopped, {why}")
        return row

    def _save(self, step: int) -> None:
        train = self.config.train
        if step % train.save_interval == 0 and step < train.train_iters:
            with spent("checkpoints"):
                self.learner.save(self.work / f"{checkpoints.PREFIX}{step}")
                checkpoints.seal(self.work, step)


def _open(
    config: RunConfig, method: LearningMethod, base: ModelDir, work: Path, tasks: list[Task], grader: Grader | None
) -> _Loop:
    section = method.section(config)
    encoder = PromptEncoder(base.path, config.model.system_message, config.model.reasoning_effort)
    objective = Objective(
        teacher=method.teacher(config),
        policy=method.policy(config),
        ratio_cap=section.sampler_ratio_cap,
        per=method.per,
        entropy_weight=method.entropy_weight(config),
        temperature=config.rollout.temperature,
    )
    with spent("loading"):
        learner = EmbeddedLearner(base.path, config.train, objective)
    return _Loop(
        config=config,
        method=method,
        work=work,
        base=base.path,
        source=RolloutSource(tasks, config, section.rollouts_per_task, encoder, grader),
        views=TeacherViews(encoder=encoder, template=config.model.prompt_template, longest=config.train.seq_length),
        learner=learner,
    )


def _usable(tasks: list[Task], method: LearningMethod) -> list[Task]:
    """The tasks, each with what the method learns from.

    Raises:
        DataError: names the first that lacks it.
    """
    for task in tasks:
        if method.graded and task.check is None:
            raise DataError(
                f"prompts: task {task.task_id!r} has no tests, and method = {method.name} learns from rewards; name tasks with "
                "tests, such as --set prompts.source=bank:train"
            )
        if not method.graded and not task.reference.strip():
            raise DataError(
                f"prompts: task {task.task_id!r} has no reference, and method = {method.name} learns from demonstrations; add "
                "one to every task, or rename a column: --set prompts.columns=reference=NAME"
            )
    return tasks


def _grader(tasks: list[Task], config: RunConfig, method: LearningMethod) -> AbstractContextManager[Grader | None]:
    if not method.graded:
        return nullcontext()
    by_share = config.rollout.reward == "share_of_cases"
    return Grader(tasks, feedback=method.feedback, every_case=by_share, source=layout.TRAIN_PROMPTS)


def _identity(run: RunDir, config: RunConfig, method: LearningMethod, base: ModelDir) -> str:
    """Digest of all that the result depends on: a checkpoint of anything else is not resumed from. The guards only end a run."""
    parts: list[Any] = [config.model, config.engine, config.rollout, method.section(config), config.train]
    plain = [asdict(part) for part in parts]
    return sha256_json([config.seed, config.method, base.digest, sha256_file(run / layout.TRAIN_PROMPTS), plain])


def _report(log: Sequence[JsonObject], done: TrainSummary) -> StageReport:
    """The line and the facts of the stage: means over the first and the last fifth of the batches."""
    fifth = max(1, len(log) // 5)

    def mean(key: str, rows: Sequence[JsonObject]) -> float | None:
        values = [row[key] for row in rows if row[key] is not None]
        return sum(values) / len(values) if values else None

    keys = ("reward", "loss", "entropy", "length", "taught", "gap", "silent_groups")
    facts = {key: {"first": mean(key, log[:fifth]), "last": mean(key, log[-fifth:])} for key in keys}
    updates = sum(row["updated"] for row in log)
    moved = [
        f"{key} {facts[key]['first']:.3f} -> {facts[key]['last']:.3f}"
        for key in keys[:2]
        if facts[key]["first"] is not None
    ]
    summary = f"{updates} updates of {done.steps} batches on {done.tokens} tokens, {', '.join(moved)}"
    return StageReport(summary=summary, facts={"steps": done.steps, "updates": updates, "tokens": done.tokens, **facts})


@contextmanager
def _resource_errors(work: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if is_out_of_memory(error):
            raise ResourceError(
                "out of memory while learning; lower train.seq_length, rollout.max_new_tokens or engine.max_rows"
            ) from error
        if is_out_of_disk(error):
            raise ResourceError(f"no space left near {work}: free some and run the same command again") from error
        raise
