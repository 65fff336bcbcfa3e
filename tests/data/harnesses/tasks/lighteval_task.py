"""A task for lighteval over a local file: the sums, as the folder `sums/` with the one file `test.jsonl`."""

from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def prompt(line, task_name=None):
    return Doc(task_name=task_name, query=line["question"], choices=[f" {line['answer']}"], gold_index=0)


TASKS_TABLE = [
    LightevalTaskConfig(
        name="local_sums",
        prompt_function=prompt,
        hf_repo="sums",
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        metrics=[Metrics.exact_match, Metrics.f1_score],
        generation_size=4,
        stop_sequence=["\n"],
        version=2,
    )
]
