"""One batch of rollouts: tasks drawn in a seeded order, answered by the current weights, graded as they finish."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.grading.in_memory import Grader, Judged
from ssd_plugin.pipeline.samples_file import seed_for, user_text
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.sampling.protocol import Completion, Request, Sampler, SamplingParams
from ssd_plugin.tasks.schema import Sample, Status, Task


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One answer to a task. `reward`: 0 to 1; None where nothing was graded, or the task turned out to be broken. `program`:
    what was run of it; `feedback`: what its model may be told."""

    task: Task
    index: int
    prompt: tuple[int, ...]
    completion: Completion
    reward: float | None = None
    program: str = ""
    feedback: str = ""


Group = list[Rollout]
"""All rollouts of one task, by their index."""


class RolloutSource:
    """Draws the batches of a run. The same run gives the same batches, whichever process draws them."""

    def __init__(
        self, tasks: Sequence[Task], config: RunConfig, per_task: int, encoder: PromptEncoder, grader: Grader | None
    ) -> None:
        """`per_task`: rollouts of each task. `grader`: None where no reward is needed."""
        self._tasks, self._config, self._per_task = tasks, config, per_task
        self._encoder, self._grader = encoder, grader
        settings = config.rollout
        self._params = SamplingParams(
            temperature=settings.temperature, top_k=0, top_p=1.0, max_new_tokens=settings.max_new_tokens
        )

    def batch(self, number: int, sampler: Sampler) -> list[Group]:
        """The groups of a batch (from 1), in the order of its tasks.

        Raises:
            SamplingError, SandboxError, ResourceError: from the engine or the sandbox.
        """
        chosen = self._chosen(number)
        finished: list[tuple[int, int, Completion]] = []
        samples = self._samples(number, chosen, sampler, finished)
        judged = dict[int, Judged]()
        if self._grader is None:
            for _ in samples:
                pass
        else:
            judged = {one.number: one for one in self._grader.grade(samples)}
        groups: list[Group] = [[] for _ in chosen]
        for order, (place, index, completion) in enumerate(finished):
            task, prompt = chosen[place]
            rollout = Rollout(task=task, index=index, prompt=prompt, completion=completion)
            groups[place].append(self._with_judgement(rollout, judged[order]) if judged else rollout)
        return [sorted(group, key=lambda one: one.index) for group in groups]

    def _chosen(self, number: int) -> list[tuple[Task, tuple[int, ...]]]:
        size = self._config.rollout.tasks_per_batch
        places = islice(self._order(), (number - 1) * size, number * size)
        template = self._config.model.prompt_template
        return [
            (self._tasks[i], self._encoder.encode(template.replace("{prompt}", user_text(self._tasks[i]))))
            for i in places
        ]

    def _order(self) -> Iterator[int]:
        """Every task once per epoch, in a new seeded order each."""
        for epoch in count():
            generator = numpy.random.Generator(numpy.random.Philox(key=[self._config.seed, epoch]))
            yield from generator.permutation(len(self._tasks)).tolist()

    def _samples(
        self,
        number: int,
        chosen: list[tuple[Task, tuple[int, ...]]],
        sampler: Sampler,
        finished: list[tuple[int, int, Completion]],
    ) -> Iterator[Sample]:
        """Completions as samples, each also noted in `finished` with its task's place in the batch."""
        requests = (
            Request(
                request_id=f"{place}#{index}",
                prompt_token_ids=prompt,
                seed=seed_for(self._config.seed, f"{number}/{place}/{task.task_id}", index),
            )
            for place, (task, prompt) in enumerate(chosen)
            for index in range(self._per_task)
        )
        for completion in sampler.sample(requests, self._params):
            place, index = map(int, completion.request_id.split("#"))
            finished.append((place, index, completion))
            task = chosen[place][0]
            yield Sample(
                task_id=task.task_id,
                sample_id=f"{task.task_id}#{index}",
                completion=completion.text,
                finish_reason=completion.finish_reason,
                thinking=self._encoder.opens_thought,
            )

    def _with_judgement(self, rollout: Rollout, judged: Judged) -> Rollout:
        found = judged.judgement
        if found.status is Status.INFRA:
            return rollout
        by_share = self._config.rollout.reward == "share_of_cases"
        return Rollout(
            task=rollout.task,
            index=rollout.index,
            prompt=rollout.prompt,
            completion=rollout.completion,
            reward=found.share if by_share else float(found.status is Status.PASS),
            program=judged.program,
            feedback=found.feedback.text() if found.feedback else "",
        )
