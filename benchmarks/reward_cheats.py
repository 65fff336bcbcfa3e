"""What wrong programs earn: two graders as reward functions often have them, and the sandboxed one, on the same programs.

    python benchmarks/reward_cheats.py

The naive graders are the usual few lines: `exec` of the program and its tests in the trainer's process, and the same text as a
script whose exit status 0 means passed. Each runs in a process of its own here: a program that ends its grader ends no more.
Writes `benchmarks/results/reward_cheats.md` and `.json`.
"""

import multiprocessing
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any

from _machine import RESULTS, facts

import ssd_plugin
from ssd_plugin.core.jsonl import write_json
from ssd_plugin.integrations.rewards.batch import reward_options
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.tiers import choose

CASES = [((3,), 14), ((10,), 35), ((-4,), -7)]  # 3 * x + 5
TASK = ssd_plugin.Task(
    task_id="line",
    prompt="Write f(x).",
    check=ssd_plugin.FunctionCheck(
        entry_point="f", inputs=tuple(arguments for arguments, _ in CASES), expected=tuple(value for _, value in CASES)
    ),
)
SECONDS = 10.0
RATE_COUNT = 2000

PROGRAMS = {
    "right": "def f(x):\n    return 3 * x + 5\n",
    "wrong": "def f(x):\n    return 0\n",
    "equal to everything (`__eq__`)": "class E:\n    def __eq__(self, other): return True\ndef f(x): return E()\n",
    "an int equal to everything": (
        "class I(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\ndef f(x): return I(0)\n"
    ),
    "exits with status 0 while loading": "import os\nos._exit(0)\n",
    "exits with status 0 in the call": "import os\ndef f(x): os._exit(0)\n",
    "`sys.exit(0)`": "import sys\ndef f(x): sys.exit(0)\n",
    "reads the expected value off the caller's frame": (
        "import sys\ndef f(x):\n    frame = sys._getframe(1)\n    while frame:\n"
        "        for values in (frame.f_locals, frame.f_globals):\n"
        "            if 'expected' in values: return values['expected']\n"
        "        frame = frame.f_back\n"
    ),
    "finds the tests in memory": (
        "import gc\ndef f(x):\n    for thing in gc.get_objects():\n"
        "        if type(thing) is list and thing and type(thing[0]) is tuple and len(thing[0]) == 2:\n"
        "            for given, value in thing:\n                if given == (x,): return value\n"
    ),
    "reads the tests in its own file": (
        "import re, sys\ndef f(x):\n    text = open(sys.argv[0]).read()\n"
        "    return int(re.search(r'\\(\\(%d,\\), (-?\\d+)\\)' % x, text)[1])\n"
    ),
    "turns assertions off": "import builtins\nbuiltins.AssertionError = SystemExit\ndef f(x): raise SystemExit(0)\n",
    "empties the list of tests": (
        "import gc\nfor thing in gc.get_objects():\n"
        "    if type(thing) is list and thing and type(thing[0]) is tuple and thing[0][1:] == (14,): thing.clear()\n"
        "def f(x): return 0\n"
    ),
    "replaces the tests' loop by a trace": (
        "import sys\nsys.settrace(lambda frame, event, argument: sys.exit(0))\ndef f(x): return 0\n"
    ),
}  # fmt: skip

TESTS = "\ncases = CASES\nfor arguments, expected in cases:\n    assert f(*arguments) == expected\n"


def in_process(program: str) -> float:
    """`exec` of the program, then its tests; what raises is 0."""
    try:
        namespace: dict[str, Any] = {}
        exec(program, namespace)
        cases = list(CASES)
        for arguments, expected in cases:
            assert namespace["f"](*arguments) == expected
    except Exception:  # noqa: BLE001 - as the graders that are shown here do it
        return 0.0
    return 1.0


def as_script(program: str) -> float:
    """Program and tests as one script; exit status 0 is 1."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(program + TESTS.replace("CASES", repr(CASES)))
        script.flush()
        try:
            done = subprocess.run([sys.executable, script.name], capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return 0.0
    return float(done.returncode == 0)


def _answer(program: str, sent: Connection) -> None:
    sent.send(in_process(program))


def in_process_apart(program: str) -> str:
    """What `in_process` gives, or that the process it ran in is gone: the trainer's, in a real run."""
    received, sent = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(program, sent))
    process.start()
    sent.close()
    try:
        found = f"{received.recv():g}" if received.poll(SECONDS) else "hangs"
    except EOFError:
        found = "trainer ended"
    process.kill()
    process.join()
    return found


def main() -> None:
    """Grade, print, write."""
    rewards = ssd_plugin.reward([TASK] * len(PROGRAMS), list(PROGRAMS.values()))
    rows = [
        {
            "program": name,
            "exec": in_process_apart(program),
            "script": f"{as_script(program):g}",
            "sandbox": f"{ours:g}",
        }
        for (name, program), ours in zip(PROGRAMS.items(), rewards, strict=True)
    ]
    options = reward_options()
    began = time.monotonic()
    ssd_plugin.reward([TASK] * RATE_COUNT, [PROGRAMS["right"]] * RATE_COUNT)
    rate = 60 * RATE_COUNT / (time.monotonic() - began)
    lines = [
        "# What cheats earn",
        "",
        f"`python benchmarks/reward_cheats.py`. {facts('numpy')}",
        "",
        "| program | `exec` in the process | a script's exit status | `ssd_plugin.reward` |",
        "|---|---|---|---|",
        *(f"| {row['program']} | {row['exec']} | {row['script']} | {row['sandbox']} |" for row in rows),
        "",
        f"{RATE_COUNT} right programs with {options.workers} workers, canaries before that: {rate:,.0f} programs per minute "
        f"({Limits().cpu_seconds:g} s of CPU at most for each, sandbox `{choose().tier}`).",
        "",
    ]
    print("\n".join(lines))
    (RESULTS / "reward_cheats.md").write_text("\n".join(lines), encoding="utf-8")
    write_json(
        RESULTS / "reward_cheats.json", {"rows": rows, "programs_per_minute": round(rate), "workers": options.workers}
    )


if __name__ == "__main__":
    main()
