"""Sixty tasks that a model of 135M parameters mostly solves, as a team's regression suite would hold: one thing a function."""

from collections.abc import Callable
from typing import Any

NUMBERS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12)
WORDS = ("cat", "dog", "sun", "tea", "sea", "map", "key", "box", "pen", "cup")


def simple_tasks() -> list[dict[str, Any]]:
    """Rows of a task file, kind `function`, in two domains."""
    tasks = []
    for number in NUMBERS:
        tasks += [
            _task(f"add_{number}", "arithmetic", f"returns x + {number}", lambda x, n=number: x + n, (1, 5, -20)),
            _task(f"times_{number}", "arithmetic", f"returns x * {number}", lambda x, n=number: x * n, (1, 5, -20)),
            _task(f"minus_{number}", "arithmetic", f"returns x - {number}", lambda x, n=number: x - n, (1, 50, -2)),
            _task(f"above_{number}", "arithmetic", f"returns x > {number}", lambda x, n=number: x > n, (1, 50, number)),
        ]
    for word in WORDS:
        tasks += [
            _task(f"end_{word}", "strings", f'returns x + "{word}"', lambda x, w=word: x + w, ("", "a ", "ab")),
            _task(f"is_{word}", "strings", f'returns x == "{word}"', lambda x, w=word: x == w, ("", word, word + "s")),
        ]
    return tasks


def _task(
    name: str, domain: str, returns: str, reference: Callable[..., object], inputs: tuple[object, ...]
) -> dict[str, Any]:
    return {
        "task_id": f"simple/{name}",
        "kind": "function",
        "domain": domain,
        "difficulty": "easy",
        "entry_point": name,
        "prompt": f"Write `{name}(x)` that {returns}.",
        "inputs": [[value] for value in inputs],
        "expected": [reference(value) for value in inputs],
    }
