"""Writes bundles of made-up results with NeMo Evaluator's own code: python nemo_run.py OUTPUT_FOLDER"""

import sys
from pathlib import Path

from nemo_evaluator.engine.artifacts import build_artifact_bundle, write_all

RIGHT = {"base": [(1, 1), (1, 0), (0, 0), (1, 1)], "candidate": [(1, 1), (0, 0), (1, 0), (1, 1)]}


def results(side):
    return [
        {
            "problem_idx": problem, "repeat": repeat, "reward": float(right),
            "scorer_rewards": {"scorer:exact": float(right)}, "prompt": f"What is {problem} + 2?",
            "model_response": str(problem + 2 if right else repeat - 9), "extracted_answer": None,
            "expected_answer": str(problem + 2), "scoring_details": {"method": "exact"},
            "metadata": {"category": "small" if problem < 2 else "large"}, "tokens": 3, "latency_ms": 1.0,
        }
        for problem, rights in enumerate(RIGHT[side])
        for repeat, right in enumerate(rights)
    ]  # fmt: skip


if __name__ == "__main__":
    for side in RIGHT:
        rows = results(side)
        mean = sum(row["reward"] for row in rows) / len(rows)
        config = {"benchmark": "local_sums", "model": side, "temperature": 0.7, "max_tokens": 16, "repeats": 2}
        bundle = build_artifact_bundle("local_sums", rows, {"mean_reward": {"value": mean}}, config)
        write_all({**bundle, "_results": rows}, Path(sys.argv[1]) / side)
