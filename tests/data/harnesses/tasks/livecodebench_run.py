"""Grades made-up answers to made-up questions with the LiveCodeBench runner's own code, and writes what it writes.

Run in a clone of LiveCodeBench: python livecodebench_run.py SIDE OUTPUT_FOLDER
"""

import json
import sys
from pathlib import Path

from lcb_runner.benchmarks.code_generation import CodeGenerationProblem
from lcb_runner.evaluation import codegen_metrics, extract_instance_results

RIGHT = "a, b = map(int, input().split())\nprint({})\n"
ASKED = {"sum": "a + b", "difference": "a - b", "product": "a * b", "larger": "max(a, b)"}
WRONG = {"base": {"product": [0], "larger": [0, 1]}, "candidate": {"difference": [0, 1], "larger": [1]}}


def problem(number, name, code):
    def shown(a, b):
        return {"input": f"{a} {b}", "output": str(eval(code)), "testtype": "stdin"}

    return CodeGenerationProblem(
        question_title=name, question_content=f"Print the {name} of two numbers.", platform="atcoder",
        question_id=f"local_{name}", contest_id="local", contest_date="2026-01-01T00:00:00", starter_code="",
        difficulty="easy" if number < 2 else "medium", public_test_cases=json.dumps([shown(3, 4)]),
        private_test_cases=json.dumps([shown(9, 2), shown(0, 5)]), metadata="{}",
    )  # fmt: skip


if __name__ == "__main__":
    side, folder = sys.argv[1], Path(sys.argv[2])
    problems = [problem(n, name, code) for n, (name, code) in enumerate(ASKED.items())]
    answers = [
        ["print(7)\n" if k in WRONG[side].get(name, ()) else RIGHT.format(code) for k in range(2)]
        for name, code in ASKED.items()
    ]
    metrics = codegen_metrics([p.get_evaluation_sample() for p in problems], answers, num_process_evaluate=1, timeout=6)
    rows = [
        one.insert_output_evaluation([f"```python\n{text}```" for text in texts], texts, graded, metadata=told)
        for one, texts, graded, told in zip(
            problems, answers, extract_instance_results(metrics[1]), metrics[2], strict=True
        )
    ]
    folder.mkdir(parents=True, exist_ok=True)
    name = "Scenario.codegeneration_2_0.2"
    (folder / f"{name}_eval.json").write_text(json.dumps(metrics, indent=4))
    (folder / f"{name}_eval_all.json").write_text(json.dumps(rows, indent=4))
