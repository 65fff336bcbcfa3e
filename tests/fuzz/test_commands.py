"""Damaged files of every kind, given to the command: an exit status that says so and one line that names the file; no traceback,
no hang. Nothing is graded or trained here: what a file is refused for is refused before that.
"""

import json
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from damage import SECONDS, Clock, damaged, examples, spoilt
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.cli.main import main
from ssd_plugin.core.jsonl import sha256_file, write_jsonl
from ssd_plugin.errors import SandboxError
from ssd_plugin.gating.isolation import Answer, Job
from ssd_plugin.gating.verdict import GateResult, GateStatus, Measurement
from ssd_plugin.grading.result_files import write_sidecar
from ssd_plugin.trust.dsse import seal
from ssd_plugin.trust.signing import load_private_key, new_keys

_NOT_HERE = "nothing is graded here"
PROGRAM = "def f(x):\n    return x + 1\n"
CHECK = {"kind": "function", "entry_point": "f", "inputs": [[1]], "expected": [2]}
TASK = {"task_id": "t0", "prompt": "Write f.", **CHECK, "reference": PROGRAM, "domain": "d", "difficulty": "easy"}
SAMPLE = {"task_id": "t0", "sample_id": "s0", "completion": PROGRAM, "finish_reason": "stop", "thinking": False}
RESULT = SAMPLE | {"status": "pass", "program": PROGRAM, "detail": ""}
HUMANEVAL = {
    "task_id": "HumanEval/0", "prompt": "def f(x):\n", "canonical_solution": "    return x\n",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n", "entry_point": "f",
}  # fmt: skip
MBPP = {
    "task_id": 1, "text": "Write f.", "code": "def f(x):\n    return x\n", "test_list": ["assert f(1) == 1"],
    "test_setup_code": "", "challenge_test_list": [],
}  # fmt: skip
LIVECODEBENCH = {
    "question_title": "q", "question_content": "c", "platform": "atcoder", "question_id": "a1", "contest_id": "a",
    "contest_date": "2025-01-01T00:00:00", "starter_code": "", "difficulty": "easy", "metadata": "{}",
    "public_test_cases": '[{"input": "1", "output": "1", "testtype": "stdin"}]',
    "private_test_cases": '[{"input": "2", "output": "2", "testtype": "stdin"}]',
}  # fmt: skip
POLICY = """
schema = "ssd-policy/1"
name = "fuzz"
description = "d"
promotable = true
sandbox = "landlock"
min_tasks = 2
min_samples = 1
[gates.integrity]
tier = "critical"
[gates.artifact]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = 0.1
"""


@dataclass
class Desk:
    """A folder with one sound file of every kind."""

    root: Path

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def bind(self, name: str) -> None:
        """The sidecar of a result file, as its user's own grader would have written it."""
        meta = {
            "schema": "ssd-score/1", "tier": "namespaces", "canaries": {"passed": 9, "total": 9}, "grader": "1",
            "tasks_sha256": sha256_file(self / "tasks.jsonl"), "results_sha256": sha256_file(self / name),
        }  # fmt: skip
        write_sidecar(self / name, meta)

    def sign(self, statement: bytes) -> None:
        (self / "ev/verdict.dsse.json").write_bytes(seal(statement, load_private_key(self / "keys/ssd.key")))

    def sides(self) -> list[str]:
        return [f"--{side}={self / f'{side}.jsonl'}" for side in ("baseline", "candidate")]

    def gate(self, *more: str) -> list[str]:
        models = [
            f"--model={self / 'model'}",
            f"--baseline-model={self / 'model'}",
            f"--ledger={self / 'ledger.jsonl'}",
        ]
        inputs = [f"--tasks={self / 'tasks.jsonl'}", *self.sides(), *models, f"--sign={self / 'keys/ssd.key'}"]
        return ["gate", f"--policy={self / 'policy.toml'}", *inputs, f"--out={self / 'out'}", *more]

    def score(self, tasks: str, samples: str) -> list[str]:
        return ["score", f"--tasks={self / tasks}", f"--samples={self / samples}", f"--out={self / 'scored.jsonl'}"]

    def verify(self) -> list[str]:
        return ["verify", f"--verdict={self / 'ev/verdict.json'}", f"--trust={self / 'keys/ssd.pub'}"]


def _model(folder: Path) -> None:
    folder.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2))
    documents = {
        "config.json": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_scaling": {"factor": 2.0}},
        "generation_config.json": {"do_sample": True, "eos_token_id": [1]},
        "tokenizer.json": {"model": {"vocab": {"a": 0, "b": 1}, "merges": []}, "added_tokens": [{"id": 0, "content": "a"}]},
        "tokenizer_config.json": {"eos_token": "b", "added_tokens_decoder": {"0": {"content": "a"}},
                                  "chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}"},
        "special_tokens_map.json": {"eos_token": {"content": "b"}},
        "model.safetensors.index.json": {"weight_map": {"w": "model.safetensors"}},
    }  # fmt: skip
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))


def _apart(jobs: Mapping[str, Job], done: Callable[[str, Answer], None]) -> dict[str, Answer]:
    """The artifact gate in this process; the others, which would grade or compare, pass."""
    figure = Measurement(
        name="x", unit="tasks", baseline=1.0, candidate=1.0, delta=0.0, low=0.0, high=0.0, margin=0.1, tasks=3,
        status=GateStatus.PASS,
    )  # fmt: skip
    passed = {name: GateResult(gate=name, status=GateStatus.PASS, reason="-", measurements=(figure,)) for name in jobs}
    results = {name: tuple(job.call()) if name == "artifact" else (passed[name],) for name, job in jobs.items()}
    return {name: Answer(results=found, failure="", seconds=0.0) for name, found in results.items()}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("desk")
    desk = Desk(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        patch.setenv("SSD_LEDGER", str(root / "ledger.jsonl"))

        def refuse(*_: Any) -> Any:
            raise SandboxError(_NOT_HERE)

        patch.setattr("ssd_plugin.grading.in_memory.Grader.open", refuse)
        patch.setattr("ssd_plugin.gating.run.run_apart", _apart)
        patch.setattr("ssd_plugin.cli.run.run_and_track", refuse)
        write_jsonl(root / "tasks.jsonl", [{**TASK, "task_id": f"t{n}"} for n in range(3)])
        write_jsonl(root / "samples.jsonl", [{**SAMPLE, "task_id": f"t{n}"} for n in range(3)])
        for name, row in (("humaneval", HUMANEVAL), ("mbpp", MBPP), ("livecodebench", LIVECODEBENCH)):
            write_jsonl(root / f"{name}.jsonl", [row])
        for side in ("baseline", "candidate"):
            write_jsonl(root / f"{side}.jsonl", [{**RESULT, "task_id": f"t{n}"} for n in range(3)])
            desk.bind(f"{side}.jsonl")
        (root / "policy.toml").write_text(POLICY)
        (root / "settings.toml").write_text("seed = 1\n[evaluate]\nsamples_per_task = 4\n")
        new_keys(root / "keys")
        _model(root / "model")
        code, said = run(desk.gate())
        assert code == 0, said
        (root / "out").rename(root / "ev")
        yield desk


def run(arguments: list[str]) -> tuple[object, str]:
    """Exit status and all that was said."""
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code, said.getvalue()


def told(code: object, said: str, names: tuple[str, ...]) -> None:
    """It was read, or refused in one line that names the file."""
    assert code in (0, 1, 2, 3), said
    assert "defect of ssd" not in said, said
    assert "Traceback" not in said, said
    if code == 3 and _NOT_HERE not in said:
        assert any(name in said for name in names), said
    if code == 3:
        assert said.count("ssd: ") <= 2, said  # a note or warning may come first


@dataclass(frozen=True)
class Format:
    """A file to damage, and what reads it. `after` makes the rest agree with the damage, `names`: one of these is said."""

    file: str
    arguments: Callable[[Desk], list[str]]
    names: tuple[str, ...] = ()
    after: Callable[[Desk, bytes], None] = lambda *_: None
    text: bool = False  # bytes are spoilt; otherwise values as well
    each: float = 0.03  # seconds that one takes


def _signed_verdict(desk: Desk, content: bytes) -> None:
    import hashlib

    statement = json.loads((desk / "ev/statement.json").read_bytes())
    for subject in statement["subject"]:
        if subject["name"] == "evidence/verdict.json":
            subject["digest"]["sha256"] = hashlib.sha256(content).hexdigest()
    desk.sign(json.dumps(statement, sort_keys=True, separators=(",", ":")).encode())


RUN = ["run", "ssd_smollm2_135m"]
FORMATS = {
    "own tasks": Format("tasks.jsonl", lambda d: d.score("tasks.jsonl", "samples.jsonl")),
    "humaneval": Format("humaneval.jsonl", lambda d: d.score("humaneval.jsonl", "samples.jsonl"), ("samples.jsonl",)),
    "mbpp": Format("mbpp.jsonl", lambda d: d.score("mbpp.jsonl", "samples.jsonl"), ("samples.jsonl",)),
    "livecodebench": Format("livecodebench.jsonl", lambda d: d.score("livecodebench.jsonl", "samples.jsonl"), ("samples.jsonl",)),
    "samples": Format("samples.jsonl", lambda d: d.score("tasks.jsonl", "samples.jsonl")),
    "tasks of a gate run": Format("tasks.jsonl", Desk.gate, ("baseline",), each=0.3),
    "results": Format("candidate.jsonl", Desk.gate, each=0.3),
    "results of its own grader": Format("candidate.jsonl", Desk.gate, after=lambda d, _: d.bind("candidate.jsonl"), each=0.3),
    "sidecar": Format("candidate.jsonl.meta.json", Desk.gate, each=0.3),
    "results to calibrate with": Format(
        "baseline.jsonl",
        lambda d: ["calibrate", f"--policy={d / 'policy.toml'}", f"--tasks={d / 'tasks.jsonl'}", d.sides()[0]],
        ("calibrate", "samples"),
    ),
    "policy": Format("policy.toml", lambda d: ["gate", "--check-policy", str(d / "policy.toml")], text=True),
    "settings": Format("settings.toml", lambda d: [*RUN, f"--config={d / 'settings.toml'}", f"--run-dir={d / 'rd'}"], text=True),
    "ledger": Format("ledger.jsonl", Desk.gate, ("judged on",), each=0.3),
    "private key": Format("keys/ssd.key", Desk.gate, text=True, each=0.3),
    "public key": Format("keys/ssd.pub", Desk.verify, text=True),
    "envelope": Format("ev/verdict.dsse.json", Desk.verify),
    "statement": Format("ev/statement.json", Desk.verify),
    "signed statement": Format("ev/statement.json", Desk.verify, after=lambda d, content: d.sign(content)),
    "verdict": Format("ev/verdict.json", Desk.verify),
    "signed verdict": Format("ev/verdict.json", Desk.verify, after=_signed_verdict),
    "SARIF": Format("ev/results.sarif", Desk.verify),
    **{
        name: Format(f"model/{name}", Desk.gate, each=0.3)
        for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                     "special_tokens_map.json", "model.safetensors.index.json")
    },
    "weights": Format("model/model.safetensors", Desk.gate, text=True, each=0.3),
}  # fmt: skip
SHARE = SECONDS / 2 / (len(FORMATS) + 1)


def _is_rows(path: Path) -> bool:
    return path.suffix == ".jsonl"


@pytest.mark.timeout(0 if SECONDS > 100 else 300)
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_named(desk: Desk, name: str) -> None:
    fuzzed = FORMATS[name]
    path = desk / fuzzed.file
    before = {each: each.read_bytes() for each in desk.root.rglob("*") if each.is_file()}
    first, *others = before[path].splitlines(keepends=True) if _is_rows(path) else [before[path]]
    clock = Clock(SHARE)

    @examples(SHARE, fuzzed.each)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        content = spoilt(data.draw, first) if fuzzed.text else damaged(data.draw, json.loads(first))
        if clock.is_over():
            return
        content = content + b"\n" + b"".join(others) if _is_rows(path) else content
        try:
            path.write_bytes(content)
            fuzzed.after(desk, content)
            began = time.monotonic()
            code, said = run(fuzzed.arguments(desk))
            assert time.monotonic() - began < 60, "it hung"
            told(code, said, (fuzzed.file.rsplit("/", 1)[-1], *fuzzed.names))
            if name.startswith("signed") and content.strip() != before[path].strip():
                assert code != 0, "a verdict that was not made so is not verified"
        finally:
            for each, was in before.items():
                each.write_bytes(was)

    check()


@pytest.mark.timeout(0 if SECONDS > 100 else 300)
def test_a_damaged_override_is_read_or_named(desk: Desk) -> None:
    clock = Clock(SHARE)
    valid = b"evaluate.samples_per_task=4"

    @examples(SHARE, 0.03)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        text = spoilt(data.draw, valid).replace(b"\0", b"").decode("utf-8", "surrogateescape")
        if not clock.is_over():
            code, said = run([*RUN, "--set", text, f"--run-dir={desk / 'rd'}"])
            told(code, said, ("",))

    check()


def test_the_undamaged_files_are_read(desk: Desk) -> None:
    for name, fuzzed in FORMATS.items():
        code, said = run(fuzzed.arguments(desk))
        told(code, said, (fuzzed.file, *fuzzed.names))
        assert code in (0, 1, 2) or _NOT_HERE in said or name in ("humaneval", "mbpp", "livecodebench"), (name, said)
