"""EvalPlus' and LiveCodeBench's own verdicts; run by `published.py` with the Python of the benchmarks' own environment.

python _published_peers.py evalplus DATASET TASKS PROGRAMS OUT
python _published_peers.py livecodebench CHECKOUT TASKS PROGRAMS OUT
"""

import gzip
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def _lines(path: str) -> Rows:
    data = Path(path).read_bytes()
    text = gzip.decompress(data) if path.endswith(".gz") else data
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def evalplus(dataset: str, tasks: str, programs: Rows) -> list[bool]:
    """`evaluate`'s own loop on the published file: expected values from the reference, base and plus inputs, fast check."""
    from evalplus.data.mbpp import mbpp_deserialize_inputs  # type: ignore[import-not-found]
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS  # type: ignore[import-not-found]
    from evalplus.evaluate import check_correctness  # type: ignore[import-not-found]
    from evalplus.gen.util import trusted_exec  # type: ignore[import-not-found]

    wanted = {row["task_id"] for row in programs}
    problems: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    for problem in _lines(tasks):
        if problem["task_id"] not in wanted:
            continue
        task_id = problem["task_id"]
        if dataset == "mbpp":
            for name in ("base_input", "plus_input"):
                problem[name] = mbpp_deserialize_inputs(task_id, problem[name]) if problem[name] else []
        code, name = problem["prompt"] + problem["canonical_solution"], problem["entry_point"]
        only = dataset == "mbpp" and name in MBPP_OUTPUT_NOT_NONE_TASKS
        expected[task_id] = {}
        for part in ("base", "plus"):
            found = trusted_exec(code, problem[f"{part}_input"], name, record_time=True, output_not_none=only)
            expected[task_id][part], expected[task_id][f"{part}_time"] = found
        problems[task_id] = problem
    verdicts = []
    with ProcessPoolExecutor(max_workers=2) as pool:
        for number, row in enumerate(programs):
            task_id = row["task_id"]
            arguments: tuple[Any, ...] = (
                dataset,
                number,
                problems[task_id],
                row["program"],
                expected[task_id],
                False,
                True,
            )
            verdicts.append(pool.submit(check_correctness, *arguments))
        return [all(job.result()[part][0] == "pass" for part in ("base", "plus")) for job in verdicts]


def livecodebench(checkout: str, tasks: str, programs: Rows) -> list[bool]:
    """`testing_util.run_test` of the runner, six seconds a test, one process a program as the runner has it."""
    sys.path.insert(0, checkout)
    from lcb_runner.evaluation.compute_code_generation_metrics import (  # type: ignore[import-not-found]
        check_correctness,
    )

    samples = {row["task_id"]: row["sample"] for row in _lines(tasks)}
    found = [check_correctness(samples[row["task_id"]], row["program"], timeout=6, debug=False) for row in programs]
    return [bool(results) and all(result is True or result == 1 for result in results) for results, _ in found]


if __name__ == "__main__":
    peer, name, tasks, programs, out = sys.argv[1:]
    found = {"evalplus": evalplus, "livecodebench": livecodebench}[peer](name, tasks, _lines(programs))
    Path(out).write_text(json.dumps(found))
