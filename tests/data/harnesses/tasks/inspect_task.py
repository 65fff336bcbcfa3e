"""A task for inspect_ai over a local file beside this one."""

import json
from pathlib import Path

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import includes, match
from inspect_ai.solver import generate

HERE = Path(__file__).parent


def _rows(name):
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


@task
def sums():
    samples = [
        Sample(
            id=f"sum-{number}",
            input=f"What is {row['question'].removesuffix(' =')}? Answer with the number.",
            target=row["answer"],
            metadata={"left": row["question"].split()[0]},
        )
        for number, row in enumerate(_rows("sums.jsonl")[:6], start=1)
    ]
    return Task(
        dataset=MemoryDataset(samples),
        solver=generate(),
        scorer=[includes(), match(location="any", numeric=True)],
        config=GenerateConfig(max_tokens=10, temperature=0.7, seed=1),
        epochs=Epochs(2),
        version=3,
    )
