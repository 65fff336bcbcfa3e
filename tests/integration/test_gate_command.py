"""`ssd gate` as CI calls it: samples in, graded in the real sandbox, a verdict and its exit status out."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

GOOD = "def add(x, y):\n    return x + y\n"
AS_GOOD = "def add(x, y):\n    return y + x\n"
WRONG = "def add(x, y):\n    return x - y\n"
CHEAT = "import os\ndef add(x, y):\n    os._exit(0)\n"
UNSAFE = "import subprocess\ndef helper(c):\n    subprocess.run(c, shell=True)\n" + GOOD
POLICY = """
schema = "ssd-policy/1"
name = "ci"
description = "for this test"
promotable = false
sandbox = "landlock"
min_tasks = 20
min_samples = 2
[gates.integrity]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = 0.15
[gates.static_analysis]
tier = "critical"
secure_margin = 0.15
finding_margin = 0.15
"""


@dataclass
class Desk:
    """A directory with tasks, a policy and a baseline; `gate` runs the installed command on a candidate."""

    root: Path

    def write(self, name: str, text_of: Callable[[int], str], tasks: int = 30) -> Path:
        path = self.root / f"{name}.jsonl"
        rows = [
            {"task_id": f"t{n}", "sample_id": f"s{k}", "completion": text_of(n)} for n in range(tasks) for k in range(2)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def gate(self, candidate: Path, *more: str, baseline: Path | None = None) -> tuple[int, dict[str, Any], str]:
        command = [str(Path(sys.executable).with_name("ssd")), "gate", "--policy", str(self.root / "policy.toml")]
        command += [
            "--tasks",
            str(self.root / "tasks.jsonl"),
            "--baseline",
            str(baseline or self.root / "baseline.jsonl"),
        ]
        command += ["--candidate", str(candidate), "--out", str(self.root / f"out-{candidate.stem}"), "--json", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    check = {"kind": "function", "entry_point": "add", "inputs": [[1, 2], [5, 5]], "expected": [3, 10]}
    tasks = [{"task_id": f"t{n}", "prompt": "Write add(x, y).", "reference": GOOD, **check} for n in range(30)]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    (tmp_path / "policy.toml").write_text(POLICY)
    desk = Desk(tmp_path)
    desk.write("baseline", lambda _: GOOD)
    return desk


def test_go_with_evidence(desk: Desk) -> None:
    status, verdict, said = desk.gate(desk.write("same", lambda _: AS_GOOD), "--verbose")
    assert (status, verdict["outcome"]) == (0, "GO"), verdict["reason"]
    assert verdict["sandbox"] in ("namespaces", "landlock")
    assert "30 reference solutions pass" in verdict["gates"][0]["result"]["reason"]
    assert "integrity: pass" in said
    roles = {subject["role"] for subject in verdict["subjects"]}
    kinds = ("samples", "results", "sidecar")
    assert roles == {"tasks", *(f"{side}_{kind}" for side in ("baseline", "candidate") for kind in kinds)}
    out = desk.root / "out-same"
    assert json.loads((out / "verdict.json").read_text()) == verdict
    assert {"junit.xml", "results.sarif", "summary.md"} <= {path.name for path in out.iterdir()}


@pytest.mark.parametrize(
    ("name", "text_of", "gate"),
    [
        ("wrong", lambda n: WRONG if n % 2 else GOOD, "correctness (critical) breach"),
        ("cheat", lambda n: CHEAT if n % 2 else GOOD, "correctness (critical) breach"),
        ("unsafe", lambda n: UNSAFE if n % 2 else GOOD, "static_analysis (critical) breach"),
    ],
)
def test_no_go(desk: Desk, name: str, text_of: Callable[[int], str], gate: str) -> None:
    status, verdict, _ = desk.gate(desk.write(name, text_of))
    assert (status, verdict["outcome"]) == (1, "NO-GO")
    assert gate in verdict["reason"]


TEST = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(5, 5) == 10\n"
LEETCODE = [{"input": "1\n2", "output": "3", "testtype": "functional"}]
PUBLISHED: dict[str, Callable[[int], dict[str, Any]]] = {
    "humaneval": lambda n: {
        "task_id": f"t{n}", "prompt": "def add(x, y):\n", "entry_point": "add", "canonical_solution": "    return x + y\n",
        "test": TEST,
    },
    "mbpp": lambda n: {"task_id": n, "text": "Add two numbers.", "code": GOOD, "test_list": ["assert add(1, 2) == 3"]},
    "livecodebench": lambda n: {
        "question_id": f"t{n}", "question_content": "Add.", "platform": "leetcode", "starter_code": "class Solution: ...",
        "public_test_cases": json.dumps(LEETCODE), "private_test_cases": "[]", "metadata": '{"func_name": "add"}',
    },
}  # fmt: skip


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_benchmark_files_as_they_are_published(desk: Desk, benchmark: str) -> None:
    tasks = desk.root / f"{benchmark}.jsonl"
    tasks.write_text("".join(json.dumps(PUBLISHED[benchmark](n)) + "\n" for n in range(30)))
    method = "class Solution:\n    def add(self, x, y):\n        return x + y\n"
    program = method if benchmark == "livecodebench" else GOOD
    sides = [desk.write("one", lambda _: program), desk.write("two", lambda _: program + "# two\n")]
    for side in sides if benchmark == "mbpp" else ():
        side.write_text(side.read_text().replace('"task_id": "t', '"task_id": "Mbpp/'))
    status, verdict, said = desk.gate(sides[1], "--tasks", str(tasks), baseline=sides[0])
    assert (status, verdict.get("outcome")) == (0, "GO"), verdict.get("reason", said)


def test_a_copy_of_the_baseline_s_samples_compares_nothing(desk: Desk) -> None:
    status, verdict, said = desk.gate(desk.write("copy", lambda _: GOOD), "--verbose")
    assert (status, verdict["outcome"], verdict["looks"]["look"]) == (2, "INCONCLUSIVE", 0)
    assert "integrity: insufficient" in said
    assert "baseline and candidate give the same answers, so nothing was compared" in verdict["reason"]


def test_findings_come_with_a_copy_of_the_program(desk: Desk) -> None:
    desk.gate(desk.write("unsafe", lambda n: UNSAFE if n % 2 else GOOD))
    copies = list((desk.root / "out-unsafe/programs/candidate").iterdir())
    assert len(copies) == 30
    assert all(copy.read_text() == UNSAFE for copy in copies)


def test_inconclusive(desk: Desk) -> None:
    status, verdict, _ = desk.gate(desk.write("few", lambda n: WRONG if n < 2 else GOOD))
    assert (status, verdict["outcome"]) == (2, "INCONCLUSIVE"), verdict["reason"]


def test_ten_of_thirty_is_an_error(desk: Desk) -> None:
    status, verdict, _ = desk.gate(desk.write("part", lambda _: GOOD, tasks=10))
    assert (status, verdict["outcome"]) == (3, "ERROR")
    assert "candidate answers 10 of 30 tasks" in verdict["reason"]


def test_an_error_is_one_line_on_stderr(desk: Desk) -> None:
    (desk.root / "empty.jsonl").touch()
    sides = ["--baseline", "baseline.jsonl", "--candidate", "empty.jsonl", "--out", "out"]
    command = [str(Path(sys.executable).with_name("ssd")), "gate", "--policy", "policy.toml", "--tasks", "tasks.jsonl"]
    done = subprocess.run([*command, *sides], cwd=desk.root, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("ssd: "))
    assert line.startswith("ssd: ERROR by policy ")
    assert "empty.jsonl" in line


def test_a_wrong_reference_is_an_error(desk: Desk) -> None:
    tasks = desk.root / "tasks.jsonl"
    tasks.write_text(tasks.read_text().replace('"expected": [3, 10]', '"expected": [3, 11]', 1))
    status, verdict, _ = desk.gate(desk.write("same", lambda _: GOOD))
    assert (status, verdict["outcome"]) == (3, "ERROR")
    assert "1 of 30 reference solutions fail, such as that of 't0'" in verdict["reason"]


def test_a_forged_result_file_is_graded_again(desk: Desk) -> None:
    desk.gate(desk.write("wrong", lambda n: WRONG if n % 2 else GOOD))
    graded = desk.root / "out-wrong/graded/candidate.results.jsonl"
    forged = desk.root / "forged.jsonl"
    forged.write_text(graded.read_text().replace('"status":"fail"', '"status":"pass"'))
    (desk.root / "forged.jsonl.meta.json").write_bytes(graded.with_name(graded.name + ".meta.json").read_bytes())
    status, verdict, _ = desk.gate(forged)
    assert (status, verdict["outcome"]) == (1, "NO-GO"), (
        "the sidecar does not match these bytes, so they count for nothing"
    )
    status, verdict, _ = desk.gate(graded)
    assert (status, verdict["outcome"]) == (1, "NO-GO"), "with its own sidecar the file is taken as it is"
    meta = desk.root / "forged.jsonl.meta.json"
    digest = hashlib.sha256(forged.read_bytes()).hexdigest()
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"results_sha256": digest}))
    status, verdict, _ = desk.gate(forged)
    assert (status, verdict["outcome"]) == (1, "NO-GO"), "a digest that anybody can recompute proves nothing"
    assert "was not written by this user's grader" in verdict["gates"][0]["result"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--policy", "nowhere"], "neither a file nor one of"),
        (["--sign", "no.key"], "no.key"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_usage_errors_are_one_line(desk: Desk, arguments: list[str], said: str) -> None:
    status, verdict, stderr = desk.gate(desk.write("same", lambda _: GOOD), *arguments)
    assert (status, verdict) == (3, {})
    assert said in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert not (desk.root / "out-same").exists()


def test_check_policy(desk: Desk) -> None:
    ssd = str(Path(sys.executable).with_name("ssd"))
    good, bad, old = (str(desk.root / name) for name in ("policy.toml", "bad.toml", "old.toml"))
    Path(bad).write_text(POLICY.replace("min_tasks", "min_task"))
    Path(old).write_text(POLICY + '[[overrides]]\ngate = "correctness"\nreason = "r"\nexpires = 2020-01-01\n')
    done = subprocess.run([ssd, "gate", "--check-policy", good], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{good}: ok\n")
    done = subprocess.run([ssd, "gate", "--check-policy", good, bad, old], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "min_task is not a known key" in done.stderr
    assert "override of 'correctness' has expired" in done.stderr


def test_what_is_wrong_in_a_side_is_said_of_the_user_s_file(desk: Desk) -> None:
    stray = desk.write("stray", lambda _: GOOD, tasks=31)
    _, verdict, _ = desk.gate(stray)
    assert verdict["reason"].startswith(
        f"{stray}: sample 's0' is for task 't30', which {desk.root / 'tasks.jsonl'} lacks"
    )


def test_a_task_file_that_is_wrong_spends_no_look(desk: Desk) -> None:
    tasks, good = desk.root / "tasks.jsonl", desk.write("same", lambda _: AS_GOOD)
    right = tasks.read_text()
    tasks.write_text(right.replace('"expected": [3, 10]', '"expected": [3, 11]', 1))
    model = desk.root / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"the same candidate each time")
    status, verdict, said = desk.gate(good, "--model", str(model), "--verbose")
    assert (status, verdict["looks"]["look"]) == (3, 0)
    assert "integrity:" in said
    assert "correctness:" not in said, "no other gate saw the candidate"
    assert {gate["result"]["status"] for gate in verdict["gates"][1:]} == {"insufficient"}
    tasks.write_text(right)
    status, verdict, _ = desk.gate(good, "--model", str(model))
    assert (status, verdict["looks"]["look"], verdict["looks"]["candidates"]) == (0, 1, 1)
