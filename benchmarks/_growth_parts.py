"""The parts that growth.py measures: each is the pipeline's own code on the files of a run directory."""

import json
import random
import resource
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _grading_programs import wrong
from _machine import Meter

from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core.jsonl import read_jsonl, write_jsonl
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.errors import SamplingError
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.sampling.protocol import Completion, Request, SamplingParams
from ssd_plugin.tasks.schema import Task, read_tasks
from ssd_plugin.tasks.sources import BANK

if TYPE_CHECKING:  # each part imports what it needs, so that its memory is its own
    from ssd_plugin.pipeline.samples_file import CompletionJob
    from ssd_plugin.pipeline.stages.completions import LoadedModel

Row = dict[str, Any]
WINDOW = 64
SIDE_TASKS = 100


def solutions() -> list[Task]:
    """The held-out tasks of the bank that have a reference."""
    return [task for task in read_tasks(BANK / "heldout.jsonl") if task.reference]


def program(task: Task, number: int) -> str:
    """The task's solution, every third one broken."""
    text = task.reference
    if number % 3 == 2:
        text = wrong(text, getattr(task.check, "entry_point", ""))
    return f"```python\n{text}\n```"


def synthetic_prompts(count: int) -> Iterator[Row]:
    """Statements of sixty words, none of which shares ten in a row with a task of the bank."""
    rng = random.Random(0)
    vocabulary = sorted({word for task in read_tasks(BANK / "train.jsonl") for word in task.prompt.split()})
    for number in range(count):
        words = " ".join(rng.choices(vocabulary, k=60))
        yield {"task_id": f"synthetic/{number}", "prompt": f"Write a Python function `f{number}`. {words}"}


def config(folder: Path) -> RunConfig:
    """The embedded recipe on the synthetic prompts, with filters that look at every sample twice."""
    from ssd_plugin.config.overrides import apply_overrides
    from ssd_plugin.recipes import load

    changes = [f"prompts.source={folder / 'source.jsonl'}", "prompts.deduplicate=true", "filters.drop_loops=true",
               "filters.drop_shortest_fraction=0.1"]  # fmt: skip
    return apply_overrides(load("ssd_smollm2_135m")(), changes)


def prepare(folder: Path, count: int, programs: int) -> None:
    """Write the prompts, the samples to grade, and the samples of two sides for the gates."""
    write_jsonl(folder / "source.jsonl", synthetic_prompts(count))
    RunDir(folder / "run").root.mkdir()
    RunDir(folder / "run").bind(config_to_json(config(folder)))
    tasks = solutions()
    write_jsonl(folder / "tasks.jsonl", (task.to_json() for task in tasks))
    write_jsonl(folder / "samples.jsonl", (
        {"task_id": task.task_id, "sample_id": str(number), "completion": program(task, number)}
        for number, task in ((n, tasks[n % len(tasks)]) for n in range(programs))
    ))  # fmt: skip
    chosen = tasks[:SIDE_TASKS]
    write_jsonl(folder / "gate-tasks.jsonl", (task.to_json() for task in chosen))
    for shift, side in enumerate(("baseline", "candidate")):
        rows = (
            {"task_id": task.task_id, "sample_id": f"{task.task_id}#0", "completion": program(task, number + shift)}
            for number, task in enumerate(chosen)
        )
        write_jsonl(folder / f"{side}.jsonl", rows)


def prompts(folder: Path) -> Row:
    """The stage `prompts`."""
    from ssd_plugin.pipeline.stages import prompts as stage

    meter = Meter()
    report = stage.run(RunDir(folder / "run"), config(folder))
    return meter.read() | {"items": report.facts["tasks"]["train"]}


class Synthetic:
    """An engine without a model: the bank's programs, out of order as a real one's. `stop`: raise at the first request."""

    def __init__(self, tokenizer: Any, stop: bool) -> None:
        self._answers = []
        for number, task in enumerate(solutions()):
            text = program(task, number)
            self._answers.append((text, tuple(tokenizer(text)["input_ids"])))
        self._stop = stop

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """See `Sampler.sample`."""
        stream = iter(requests)
        if self._stop:
            next(stream)
            raise SamplingError("stopped, as the benchmark wants it")
        while window := list(islice(stream, WINDOW)):
            for request in reversed(window):
                text, tokens = self._answers[request.seed % len(self._answers)]
                yield Completion(request_id=request.request_id, text=text, token_ids=tokens, finish_reason="stop")

    def close(self) -> None:
        """Nothing to free."""


def _job(folder: Path, out: Path, stop: bool) -> "tuple[CompletionJob, LoadedModel]":
    """The stage `sample` with the synthetic engine, the one thing that is not the pipeline's own."""
    from transformers import AutoTokenizer

    from ssd_plugin.pipeline.samples_file import CompletionJob
    from ssd_plugin.pipeline.stages.completions import LoadedModel
    from ssd_plugin.pipeline.stages.model import base_model

    run, settings = RunDir(folder / "run"), config(folder)
    model = LoadedModel(base_model(run, settings).path, settings)
    model._sampler = Synthetic(AutoTokenizer.from_pretrained(model.path), stop)
    params = SamplingParams(temperature=0.7, top_k=20, top_p=0.8, max_new_tokens=160)
    tasks = run / "prompts/train.jsonl"
    return CompletionJob(label="sample", tasks=tasks, out=out, samples_per_task=1, params=params), model


def sample(folder: Path) -> Row:
    """The stage `sample` but for the model."""
    from ssd_plugin.pipeline.stages.completions import complete

    job, model = _job(folder, folder / "run/sample/completions.jsonl", stop=False)
    meter = Meter()
    complete(job, model)
    return meter.read()


def resume(folder: Path, done: int) -> Row:
    """A second start when `done` completions are there, up to the first request for a missing one."""
    from ssd_plugin.pipeline.stages.completions import complete, signature

    job, model = _job(folder, folder / f"resumed-{done}.jsonl", stop=True)
    with PartialFile(job.out, signature(job, model), len(job)) as partial:
        for number, row in islice(read_jsonl(folder / "run/sample/completions.jsonl"), done):
            partial.append(number - 1, row)
    meter = Meter()
    with suppress(SamplingError):
        complete(job, model)
    return meter.read()


def filter_samples(folder: Path) -> Row:
    """The stage `filter`."""
    from ssd_plugin.pipeline.stages import filter as stage

    meter = Meter()
    stage.run(RunDir(folder / "run"), config(folder))
    return meter.read()


def pack(folder: Path) -> Row:
    """One epoch of packs, as the embedded backend makes them."""
    from ssd_plugin.training import packing
    from ssd_plugin.training.examples import Examples

    train = config(folder).train
    meter = Meter()
    examples = Examples(folder / "run/filter/kept.jsonl", seq_length=train.seq_length, vocabulary=49_152)
    steps = packing.plan(
        examples.lengths, seed=0, iterations=len(examples) // train.global_batch_size, batch=train.global_batch_size,
        capacity=train.seq_length, unit="samples",
    )  # fmt: skip
    tokens = sum(packing.build(examples, indices).input_ids.shape[1] for packs in steps for indices in packs)
    return meter.read() | {"tokens": tokens}


def grade(folder: Path) -> Row:
    """`ssd score` on the prepared samples; every verdict must be the right one."""
    from ssd_plugin.grading.grader import score_file

    meter = Meter()
    out = folder / "results.jsonl"
    score_file(folder / "tasks.jsonl", folder / "samples.jsonl", out)
    row = meter.read()
    with out.open() as stream:
        for number, line in enumerate(stream):
            assert (json.loads(line)["status"] == "pass") == (number % 3 != 2), line
    return row


def gate(folder: Path) -> Row:
    """A whole gate run whose training data are all the prompts and samples."""
    from ssd_plugin.gating.request import GateRequest
    from ssd_plugin.gating.run import run_gates

    meter = Meter()
    verdict = run_gates(GateRequest(
        policy="default", tasks=folder / "gate-tasks.jsonl", baseline=folder / "baseline.jsonl",
        candidate=folder / "candidate.jsonl", training=(folder / "run/prompts/train.jsonl", folder / "run/filter/kept.jsonl"),
        ledger=folder / "looks.jsonl", out=folder / "gate",
    ))  # fmt: skip
    status = {one.result.gate: one.result.status.value for one in verdict.gates}
    assert status["contamination"] == "pass", verdict.reason
    row = meter.read()
    gates = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9  # each gate is a child of this process
    return row | {"peak_gb": max(row["peak_gb"], gates)}
