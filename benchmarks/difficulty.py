"""How hard is each task of a file for SmolLM2-135M-Instruct?

    nice python benchmarks/difficulty.py ssd_plugin/tasks/bank/ruler-*.jsonl --out ssd_plugin/tasks/bank/difficulty.json

The recipe's model and prompts, untruncated, at two temperatures; a seed that no reported figure uses. A task's difficulty is the
share of its samples that pass, all temperatures together, with an exact 95 % interval (Clopper and Pearson). Stopped, it goes on
where it was.
"""

import argparse
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.core.jsonl import JsonObject, write_json
from ssd_plugin.grading.grader import Grading
from ssd_plugin.metrics.inference import exact_share
from ssd_plugin.models.weights import resolve
from ssd_plugin.pipeline.stages.completions import LoadedModel
from ssd_plugin.pipeline.stages.sample_and_grade import Split, sample_and_grade
from ssd_plugin.recipes import load
from ssd_plugin.tasks.schema import Status, read_results

SEED = 913_000_517
TEMPERATURES = (0.2, 0.6)
SAMPLES = 4
MAX_NEW_TOKENS = 96


def measure(tasks: Path, work: Path, config: RunConfig) -> dict[str, JsonObject]:
    """Each task's passes at every temperature, their share of all samples and its interval."""
    found = resolve(config.model.ref, config.model.revision)
    passes: dict[str, Counter[float]] = {}
    with Grading(tasks) as grading, closing(LoadedModel(found.path, config, found.digest)) as model:
        split = Split(grading=grading, samples_per_task=SAMPLES, max_new_tokens=MAX_NEW_TOKENS)
        for temperature in TEMPERATURES:
            decode = DecodeConfig(temperature=temperature)
            folder = work / tasks.stem / decode.label
            graded = sample_and_grade(split, model, decode, folder, f"{tasks.stem} {decode.label}")
            for result in read_results(graded.results):
                passes.setdefault(result.task_id, Counter())[temperature] += result.status is Status.PASS
    return {task: _row(counts) for task, counts in passes.items()}


def _row(passes: Counter[float]) -> JsonObject:
    share = exact_share(passes.total(), SAMPLES * len(TEMPERATURES))
    bounds = {"rate": share.estimate, "low": share.low, "high": share.high}
    by_temperature = [passes[temperature] for temperature in TEMPERATURES]
    return {"passes": by_temperature} | {name: round(value, 3) for name, value in bounds.items()}


def main() -> None:
    """Measure every file and write one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, default=Path("runs/difficulty"), help="where samples are kept")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    config = replace(load("ssd_smollm2_135m")(), seed=SEED)
    tasks = {task: row for path in options.tasks for task, row in measure(path, options.work, config).items()}
    design = {
        "command": "python benchmarks/difficulty.py ssd_plugin/tasks/bank/ruler-dev.jsonl "
        "ssd_plugin/tasks/bank/ruler-heldout.jsonl --out ssd_plugin/tasks/bank/difficulty.json",
        "model": config.model.ref,
        "seed": SEED,
        "temperatures": list(TEMPERATURES),
        "samples_per_temperature": SAMPLES,
        "max_new_tokens": MAX_NEW_TOKENS,
    }
    write_json(options.out, {**design, "tasks": tasks})


if __name__ == "__main__":
    main()
