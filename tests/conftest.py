"""What tests of several kinds share: a model directory that was judged GO, with its signed evidence."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.digests import model_digests
from ssd_plugin.core.jsonl import sha256_file
from ssd_plugin.evidence.write import write_evidence
from ssd_plugin.gating.verdict import (
    Finding,
    GateResult,
    GateStatus,
    JudgedGate,
    Looks,
    Measurement,
    PolicyRef,
    PowerRow,
    Subject,
    Tier,
    Tool,
    Verdict,
    decide,
)
from ssd_plugin.trust.signing import KeyFiles, new_keys

pytest_plugins = ["tiny_models"]

MODEL_FILES = {
    "model-00001-of-00002.safetensors": b"\x10\x00weights one" * 40,
    "model-00002-of-00002.safetensors": b"\x20\x00weights two" * 40,
    "adapter/adapter_model.safetensors": b"adapter" * 9,
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b'{"model": {"vocab": {}}}',
    "chat_template.jinja": b"{{ messages[0].content }}",
    "generation_config.json": b'{"temperature": 0.7}',
}


def gate(status: GateStatus = GateStatus.PASS, tier: Tier = Tier.CRITICAL, **changes: Any) -> JudgedGate:
    """A judged gate with one figure and one finding."""
    figure = Measurement(
        name="pass@1", unit="share", baseline=0.50, candidate=0.51, delta=0.01, low=-0.01, high=0.03, margin=0.03,
        tasks=200, status=status,
    )  # fmt: skip
    finding = Finding(tool="bandit", rule="B602", level="warning", message="shell", task_id="t1", sample_id="0", line=2)
    result = GateResult(gate="correctness", status=status, reason="why", measurements=(figure,), findings=(finding,))
    return replace(JudgedGate(result=result, tier=tier, required=True), **changes)


def make_verdict(*gates: JudgedGate, created: datetime | None = None, **changes: Any) -> Verdict:
    """A consistent verdict over these gates (one that passed, if none are given), made an hour ago, valid for 30 days."""
    created = created or datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    judged = gates or (gate(),)
    outcome, reason = decide(judged, created.date())
    verdict = Verdict(
        outcome=outcome,
        reason=reason,
        promotable=True,
        policy=PolicyRef(name="default", sha256="a" * 64),
        gates=judged,
        subjects=(),
        tools=(Tool(name="ruff", version="0.15.0"), Tool(name="plugin", version="1", sha256="b" * 64)),
        sandbox="namespaces",
        power=(PowerRow(gate="correctness", measure="pass@1", tasks=200, samples=5, margin=0.03, power=0.9,
                        tasks_needed=150, detectable=0.025),),
        looks=Looks(look=1, allowed=2, reruns=0, alpha=0.025),
        created=created.isoformat(),
        expires=(created + timedelta(days=30)).isoformat(),
    )  # fmt: skip
    return replace(verdict, **changes)


def subjects_of(role: str, model: Path) -> tuple[Subject, ...]:
    """A model directory's files as subjects."""
    return tuple(
        Subject(role=role, path=path, sha256=digest, size=(model / path).stat().st_size)
        for path, digest in model_digests(model).items()
    )


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A judged model on disk. `sign` writes evidence for another verdict with the same key."""

    model: Path
    out: Path
    tasks: Path
    keys: KeyFiles

    @property
    def verdict(self) -> Path:
        """verdict.json"""
        return self.out / "verdict.json"

    def sign(self, verdict: Verdict, out: Path | None = None, key: Path | None = None) -> Path:
        """Write signed evidence for `verdict` and return its verdict.json."""
        program = "import os\nos.system('ls')\n"
        programs = {("candidate", "t1", "0"): program, ("candidate", "t2", "0"): "pass\n"}
        write_evidence(verdict, out=out or self.out, programs=programs, sign_key=key or self.keys.private)
        return (out or self.out) / "verdict.json"

    def go(self, *, baseline: Path | None = None, model: Path | None = None, **changes: Any) -> Verdict:
        """A GO over the model's files and the tasks file."""
        tasks = Subject(
            role="tasks", path="../tasks.jsonl", sha256=sha256_file(self.tasks), size=self.tasks.stat().st_size
        )
        before = subjects_of("baseline_model", baseline) if baseline else ()
        return make_verdict(subjects=(tasks, *before, *subjects_of("model", model or self.model)), **changes)


def write_model(folder: Path, salt: bytes = b"") -> Path:
    """A model directory with every kind of file that a verdict binds; `salt` makes its weights different."""
    for name, content in MODEL_FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + salt)
    return folder


@pytest.fixture(autouse=True)
def own_ledger(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test, and each command it starts, counts looks in a ledger of its own, never in the user's, and grades with a key of
    the tests'."""
    monkeypatch.setenv("SSD_LEDGER", str(tmp_path_factory.getbasetemp() / f"looks-{uuid.uuid4().hex}.jsonl"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    """A model that was judged GO, its evidence signed."""
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"task_id": "t1"}\n')
    model = write_model(tmp_path / "candidate")
    made = Judged(model=model, out=tmp_path / "evidence", tasks=tasks, keys=new_keys(tmp_path / "keys"))
    made.sign(made.go())
    return made


@pytest.fixture
def factory() -> type["Factory"]:
    """The builders above, for tests (which cannot import this file)."""
    return Factory


class Factory:
    """Builders of gates, verdicts and models."""

    gate: Callable[..., JudgedGate] = staticmethod(gate)
    verdict: Callable[..., Verdict] = staticmethod(make_verdict)
    model: Callable[..., Path] = staticmethod(write_model)
    subjects: Callable[..., tuple[Subject, ...]] = staticmethod(subjects_of)
