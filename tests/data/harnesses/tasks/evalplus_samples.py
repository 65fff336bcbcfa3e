"""Tasks in EvalPlus's form, and the answers of two made-up models to them: python evalplus_samples.py OUTPUT_FOLDER"""

import json
import sys
from pathlib import Path

BODIES = {
    "double": ("return x * 2", "return x + x", "return x + 2"),
    "square": ("return x * x", "return x ** 2", "return x * 2"),
    "negate": ("return -x", "return 0 - x", "return abs(x)"),
    "halve": ("return x // 2", "return x >> 1", "return int(x / 2)"),
}
CHOSEN = {"base": [(1, 0), (1, 1), (1, 2), (2, 2)], "candidate": [(1, 1), (1, 2), (0, 1), (2, 1)]}


def task(number, name):
    head = f'def {name}(x):\n    """The whole number x, made {name}d."""\n'
    return {
        "task_id": f"Local/{number}", "prompt": head, "entry_point": name,
        "canonical_solution": f"    {BODIES[name][0]}\n", "base_input": [[2], [0]], "plus_input": [[-3], [7]],
        "contract": "", "atol": 0,
    }  # fmt: skip


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    tasks = [task(number, name) for number, name in enumerate(BODIES)]
    write(out / "tasks.jsonl", tasks)
    for side, choices in CHOSEN.items():
        rows = [
            {"task_id": one["task_id"], "solution": f"{one['prompt']}    {BODIES[one['entry_point']][choice]}\n"}
            for one, pair in zip(tasks, choices, strict=True)
            for choice in pair
        ]
        write(out / f"{side}.jsonl", rows)
