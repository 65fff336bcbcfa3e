"""Whole gate runs on made-up sides: whatever is wrong, the verdict is not GO and its reason says what."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import sha256_file, write_json, write_jsonl
from ssd_plugin.core.locks import LOCK
from ssd_plugin.core.plugins import Plugin
from ssd_plugin.errors import ConfigError, DataError, GateError, PluginError
from ssd_plugin.evidence.gate_run import judge_and_record
from ssd_plugin.gating import run as run_module
from ssd_plugin.gating.discovery import LoadedGate, load_gates
from ssd_plugin.gating.gate import Gate, GateContext, NoSettings
from ssd_plugin.gating.held_inputs import HeldInputs
from ssd_plugin.gating.inputs import load_side
from ssd_plugin.gating.output_lock import held
from ssd_plugin.gating.policy import load_policy
from ssd_plugin.gating.run import run_gates
from ssd_plugin.gating.verdict import GateResult, GateStatus, Outcome, Verdict, read_verdict
from ssd_plugin.grading.grader import ScoreSummary
from ssd_plugin.grading.judge import Judgement
from ssd_plugin.grading.result_files import sidecar, write_sidecar
from ssd_plugin.grading.rows import program_of
from ssd_plugin.sandbox.tiers import SandboxTier
from ssd_plugin.tasks import benchmarks
from ssd_plugin.tasks.schema import Result, Status, read_results

POLICY = """
schema = "ssd-policy/1"
name = "test"
description = "small"
promotable = false
sandbox = "landlock"
min_tasks = 100
min_samples = 5
[gates.integrity]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = 0.06
"""


@pytest.fixture
def judge(world: Any, tmp_path: Path) -> Callable[..., Verdict]:
    """Judge rows (or files) under the small policy, with text appended to it."""

    def run(baseline: Any, candidate: Any, more: str = "", policy: str = POLICY, **meta: Any) -> Verdict:
        path = tmp_path / "policy.toml"
        path.write_text(policy + more)
        files = [
            rows if isinstance(rows, Path) else world.write(name, rows, **meta)
            for name, rows in (("baseline", baseline), ("candidate", candidate))
        ]
        return run_gates(world.request(*files, str(path)))

    return run


def test_an_equal_model_is_go(world: Any, tools: Any, judge: Callable[..., Verdict]) -> None:
    verdict = judge(tools.make_rows(world.tasks, seed=1), tools.make_rows(world.tasks, seed=2))
    assert verdict.outcome is Outcome.GO, verdict.reason
    assert verdict.power[0].gate == "correctness"
    assert 0 < verdict.power[0].power <= 1
    assert {s.role for s in verdict.subjects} == {
        "tasks", "baseline_results", "baseline_sidecar", "candidate_results", "candidate_sidecar"
    }  # fmt: skip
    assert read_verdict(world.root / "out/verdict.json") == verdict


def test_a_worse_model_is_no_go(world: Any, tools: Any, judge: Callable[..., Verdict]) -> None:
    verdict = judge(tools.make_rows(world.tasks, seed=1), tools.make_rows(world.tasks, seed=2, rate=0.35))
    assert verdict.outcome is Outcome.NO_GO
    assert "correctness" in verdict.reason


Change = Callable[[Sequence[Result]], Sequence[Result]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: [row for row in rows if row.task_id != "t007"], "answers 163 of 164 tasks; 't007' is missing"),
        (lambda rows: [row for row in rows if row.task_id < "t010"], "answers 10 of 164 tasks"),
        (lambda rows: rows[:-3], "has 7 samples for some tasks and 10 for others"),
        (
            lambda rows: [row for row in rows if row.task_id != "t000" or row.sample_id < "s6"],
            "6 samples for some tasks",
        ),
        (lambda rows: [*rows, rows[0]], "('t000', 's0') twice"),
        (lambda rows: [replace(rows[0], status=Status.INFRA), *rows[1:]], "1 samples that could not be graded"),
        (lambda rows: [replace(rows[0], task_id="nowhere"), *rows[1:]], "'nowhere', which is no task"),
    ],
)
def test_a_broken_side_is_an_error(
    world: Any, tools: Any, judge: Callable[..., Verdict], change: Change, reason: str
) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    assert judge(rows, rows).outcome is Outcome.GO
    verdict = judge(rows, change(tools.make_rows(world.tasks, seed=2)))
    assert verdict.outcome is Outcome.ERROR
    assert reason in verdict.reason


@pytest.mark.parametrize(("left", "right"), [(40, 10), (10, 20)])
def test_sides_may_have_different_numbers_of_samples(
    world: Any, tools: Any, judge: Callable[..., Verdict], left: int, right: int
) -> None:
    sides = [tools.make_rows(world.tasks, samples=samples, seed=samples) for samples in (left, right)]
    verdict = judge(*sides)
    assert verdict.outcome is Outcome.GO, verdict.reason
    integrity = next(gate.result for gate in verdict.gates if gate.result.gate == "integrity")
    assert f"{min(left, right)} and {max(left, right)} samples each" in integrity.reason
    fewer = judge(sides[0], [row for row in sides[1] if int(row.sample_id[1:]) < 4])
    assert fewer.outcome is Outcome.INCONCLUSIVE, "the policy's minimum holds for each side"


@pytest.mark.parametrize("text", ["", "\n\n", "{", '{"task_id": NaN, "sample_id": "a", "status": "pass"}\n', "[]\n"])
def test_a_file_that_holds_no_samples_is_an_error_verdict(
    world: Any, tools: Any, judge: Callable[..., Verdict], tmp_path: Path, text: str
) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text(text)
    verdict = judge(tools.make_rows(world.tasks), empty)
    assert verdict.outcome is Outcome.ERROR
    assert "empty.jsonl" in verdict.reason
    assert verdict.gates == ()


def test_a_missing_file_is_an_error_verdict(
    world: Any, tools: Any, judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    verdict = judge(tools.make_rows(world.tasks), tmp_path / "none.jsonl")
    assert (verdict.outcome, "none.jsonl" in verdict.reason) == (Outcome.ERROR, True)


@pytest.mark.parametrize("status", [Status.FAIL, Status.SYNTAX, Status.TIMEOUT])
def test_all_failing_on_both_sides_shows_nothing(
    world: Any, tools: Any, judge: Callable[..., Verdict], status: Status
) -> None:
    rows = [replace(row, status=status) for row in tools.make_rows(world.tasks)]
    verdict = judge(rows, rows)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "pass@1 0.000 -> 0.000" in verdict.reason
    assert "the baseline is not above the margin, so no loss could show" in verdict.reason
    assert [(row.power, row.tasks_needed) for row in verdict.power] == [(0.0, 0)]


def test_equal_sides_on_few_tasks_prove_nothing(tools: Any, tmp_path: Path) -> None:
    small = tools.World(tmp_path, tools.make_tasks(10))
    rows = tools.make_rows(small.tasks)
    (tmp_path / "policy.toml").write_text(POLICY.replace("min_tasks = 100", "min_tasks = 2"))
    sides = [small.write(name, rows) for name in ("baseline", "candidate")]
    verdict = run_gates(small.request(*sides, str(tmp_path / "policy.toml")))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason.startswith("correctness (critical) insufficient")


def test_the_same_answers_on_both_sides_compare_nothing(
    world: Any, tools: Any, judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    side = world.write("side", tools.make_rows(world.tasks))
    rows = list(read_results(side))
    copies = [tmp_path / name for name in ("copy.jsonl", "shuffled.jsonl", "renamed.jsonl", "one_other.jsonl")]
    write_jsonl(copies[0], (row.to_json() for row in rows))
    write_jsonl(copies[1], (row.to_json() for row in reversed(rows)))
    write_jsonl(copies[2], (replace(row, sample_id=f"new-{row.sample_id}").to_json() for row in rows))
    text = f"{rows[0].completion}# another\n"
    another = replace(rows[0], completion=text, program=text)
    write_jsonl(copies[3], (row.to_json() for row in [another, *rows[1:]]))
    for copy in copies:
        write_sidecar(copy, world.meta(copy))
    for other in (side, *copies[:3]):
        verdict = judge(side, other)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert verdict.reason.startswith(
            "integrity (critical) insufficient: baseline and candidate give the same answers"
        )
        assert [one.result.reason for one in verdict.gates[1:]] == ["not run: integrity did not pass"]
        assert verdict.looks.look == 0
    assert judge(side, copies[3]).outcome is Outcome.GO


def test_the_base_may_be_generation_zero_too(world: Any, tools: Any, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    base, candidate = (world.write(name, tools.make_rows(world.tasks)) for name in ("base", "candidate"))
    verdict = run_gates(world.request(base, candidate, str(tmp_path / "policy.toml"), origin=base))
    assert verdict.outcome is Outcome.GO, verdict.reason


@pytest.mark.parametrize("disguise", ["as it is", "other ids", "another order", "white space"])
def test_a_candidate_is_not_its_own_generation_zero(world: Any, tools: Any, tmp_path: Path, disguise: str) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    base, candidate = (world.write(name, tools.make_rows(world.tasks, samples=5)) for name in ("base", "candidate"))
    rows, origin = list(read_results(candidate)), tmp_path / "origin.jsonl"
    if disguise == "other ids":
        rows = [replace(row, sample_id=f"o{row.sample_id}") for row in rows]
    elif disguise == "another order":
        rows.reverse()
    elif disguise == "white space":
        rows = [replace(row, completion=row.completion + "\n\n") for row in rows]
        rows = [replace(row, program=program_of(row, world.tasks[0]) or "") for row in rows]
    write_jsonl(origin, (row.to_json() for row in rows))
    write_sidecar(origin, world.meta(origin))
    verdict = run_gates(world.request(base, candidate, str(tmp_path / "policy.toml"), origin=origin))
    assert verdict.outcome is Outcome.ERROR
    assert "the origin's programs are the candidate's own" in verdict.reason


@pytest.mark.parametrize(
    ("having", "said"),
    [
        (164, ""),
        (4, "; 160 of 164 tasks have no reference solution: their tests were not tried on a known good answer"),
        (0, "; 164 of 164 tasks have no reference solution: their tests were not tried on a known good answer"),
    ],
)
def test_it_is_said_how_many_tasks_have_a_reference(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, having: int, said: str
) -> None:
    good = Judgement(status=Status.PASS)
    judgements = {f"t{n:03d}": good for n in range(having)}
    monkeypatch.setattr("ssd_plugin.gates.integrity.grade_references", lambda path: (judgements, {}))
    tasks = [replace(t, reference="x" if t.task_id in judgements else "") for t in tools.make_tasks(164)]
    known = tools.World(tmp_path, tasks)
    (tmp_path / "policy.toml").write_text(POLICY)
    sides = [known.write(name, tools.make_rows(tasks)) for name in ("baseline", "candidate")]
    verdict = run_gates(known.request(*sides, str(tmp_path / "policy.toml")))
    integrity = verdict.gates[0].result
    assert integrity.status is GateStatus.PASS
    assert integrity.reason.endswith(f"{having} reference solutions pass, sandbox namespaces{said}")
    figure = integrity.measurements[1]
    assert (figure.name, figure.candidate, figure.tasks) == ("tasks whose reference solution passes", having, 164)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("min_tasks = 100", "min_tasks = 165", "164 tasks, the policy asks for 165"),
        ("min_samples = 5", "min_samples = 11", "10 samples a task, the policy asks for 11"),
    ],
)
def test_less_than_the_minimum_is_inconclusive(
    world: Any, tools: Any, judge: Callable[..., Verdict], old: str, new: str, reason: str
) -> None:
    rows = tools.make_rows(world.tasks)
    verdict = judge(rows, rows, policy=POLICY.replace(old, new))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert reason in verdict.reason


def test_the_minimum_holds_for_generation_zero_too(world: Any, tools: Any, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    sides = [world.write(name, tools.make_rows(world.tasks)) for name in ("baseline", "candidate")]
    origin = world.write("origin", tools.make_rows(world.tasks, samples=2))
    verdict = run_gates(world.request(*sides, str(tmp_path / "policy.toml"), origin=origin))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "2 samples a task, the policy asks for 5" in verdict.reason


def test_a_weak_sandbox_is_an_error(world: Any, tools: Any, judge: Callable[..., Verdict]) -> None:
    rows = tools.make_rows(world.tasks)
    verdict = judge(rows, rows, tier="rlimits")
    assert verdict.outcome is Outcome.ERROR
    assert "sandbox tier 'rlimits'" in verdict.reason
    assert verdict.sandbox == "rlimits"


def test_the_weaker_side_decides_the_sandbox_tier(world: Any, tools: Any, judge: Callable[..., Verdict]) -> None:
    rows = tools.make_rows(world.tasks)
    assert judge(rows, world.write("weaker", rows, tier="landlock")).sandbox == "landlock"


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"limits": {"cpu_seconds": 60}}, "baseline and candidate were graded with different limits"),
        ({"grader": "0.0.9"}, "baseline and candidate were graded with different versions of the grader"),
        ({"code": "0" * 64}, "baseline and candidate were graded with different code or tools of the grader"),
    ],
)
def test_sides_that_were_graded_otherwise_are_an_error(
    world: Any, tools: Any, judge: Callable[..., Verdict], meta: dict[str, Any], said: str
) -> None:
    rows, usual = tools.make_rows(world.tasks), {"limits": {"cpu_seconds": 2}, "grader": "1.0.0"}
    assert judge(rows, rows, **usual).outcome is Outcome.GO
    verdict = judge(rows, world.write("other", rows, **usual | meta), **usual)
    assert verdict.outcome is Outcome.ERROR
    assert said in verdict.reason
    assert "score all sides anew with the same limits and version" in verdict.reason


def test_samples_that_change_while_they_are_graded_are_refused(
    world: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = world.write("samples", tools.make_rows(world.tasks))

    def score(tasks: Path, path: Path, results: Path, *, resume: bool) -> None:
        assert not resume, "what is graded anew continues nothing"
        results.parent.mkdir(parents=True)
        results.write_bytes(path.read_bytes())
        write_sidecar(results, world.meta(results) | {"samples_sha256": sha256_file(path)})
        path.write_text(path.read_text() + "\n")

    monkeypatch.setattr("ssd_plugin.gating.inputs.score_file", score)
    with pytest.raises(DataError, match="is not about this samples file"):
        load_side(
            "candidate",
            samples,
            world.tasks_path,
            HeldInputs(tmp_path / "held", world.root / "out"),
            replace(load_policy("smoke"), regrade=True),
        )


OVERRIDE = '\n[[overrides]]\ngate = "lint"\nreason = "known"\nexpires = {}\n[gates.lint]\ntier = "critical"\n'


def test_overrides_hold_until_they_expire(world: Any, tools: Any, judge: Callable[..., Verdict]) -> None:
    rows = tools.make_rows(world.tasks)
    damaged = tools.edit(rows, tools.with_program("x = undefined_name\n"), 0.5)
    assert judge(rows, damaged, '\n[gates.lint]\ntier = "critical"\n').outcome is Outcome.NO_GO
    accepted = judge(rows, damaged, OVERRIDE.format(datetime.now(UTC).date() + timedelta(days=30)))
    assert accepted.outcome is Outcome.GO
    assert "accepted by override: lint" in accepted.reason
    expired = judge(rows, rows, OVERRIDE.format("2020-01-01"))
    assert expired.outcome is Outcome.ERROR
    assert "override expired on 2020-01-01" in expired.reason


def test_a_missing_tool_is_an_error(
    world: Any, tools: Any, judge: Callable[..., Verdict], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = tools.make_rows(world.tasks)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = judge(rows, rows, '\n[gates.lint]\ntier = "supporting"\n')
    assert verdict.outcome is Outcome.ERROR
    assert "ruff" in verdict.reason


def raises(context: GateContext, settings: NoSettings) -> GateResult:
    raise ZeroDivisionError("the gate's own text")


def hangs(context: GateContext, settings: NoSettings) -> GateResult:
    time.sleep(600)
    raise AssertionError


def dies(context: GateContext, settings: NoSettings) -> GateResult:
    os._exit(0)


def eats_memory(context: GateContext, settings: NoSettings) -> GateResult:
    raise AssertionError(len(bytearray(1 << 30)))


def eats_memory_in_small_bites(context: GateContext, settings: NoSettings) -> GateResult:
    hoard = []
    while True:
        hoard.append("x" * 10_000 + str(len(hoard)))


def eats_memory_in_a_child(context: GateContext, settings: NoSettings) -> GateResult:
    allowed, _ = resource.getrlimit(resource.RLIMIT_DATA)  # what this process holds already and the policy's 100 MiB
    assert allowed != resource.RLIM_INFINITY
    subprocess.run([sys.executable, "-c", f"print(len(bytearray({allowed})))"], check=True)
    raise AssertionError("the child got more than its parent may hold")


def answers_nothing(context: GateContext, settings: NoSettings) -> Any:
    return None


def says_nan(context: GateContext, settings: NoSettings) -> GateResult:
    from ssd_plugin.gating.paired import compare

    figure = compare("x", {"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}, margin=0.4, alpha=0.05)
    figure = replace(figure, delta=float("nan"), status=GateStatus.PASS)
    return GateResult(gate="probe", status=GateStatus.PASS, reason="fine", measurements=(figure,))


def passes(context: GateContext, settings: NoSettings) -> GateResult:
    print("a gate's print must not reach the command's output")
    return GateResult(gate="probe", status=GateStatus.PASS, reason="fine")


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (raises, "ZeroDivisionError: the gate's own text"),
        (hangs, "stopped after its time limit of 0.5 s"),
        (dies, "its process died (exit 0)"),
        (eats_memory, "ran out of memory: it may use 100 MiB"),
        (eats_memory_in_small_bites, "ran out of memory: it may use 100 MiB"),
        (eats_memory_in_a_child, "CalledProcessError"),
        (answers_nothing, "TypeError"),
        (says_nan, "ValueError"),
        (None, "no built-in gate or allowed plugin registered it"),
    ],
)
def test_a_gate_that_fails_is_its_own_error(
    world: Any,
    tools: Any,
    judge: Callable[..., Verdict],
    monkeypatch: pytest.MonkeyPatch,
    check: Callable[[GateContext, NoSettings], GateResult] | None,
    reason: str,
) -> None:
    _plant(monkeypatch, check)
    rows = tools.make_rows(world.tasks)
    limits = f"timeout_s = {0.5 if check is hangs else 60}\nmemory_mib = 100"
    verdict = judge(rows, rows, f'\n[gates.probe]\ntier = "supporting"\n{limits}\n')
    statuses = {one.result.gate: one.result for one in verdict.gates}
    assert verdict.outcome is Outcome.ERROR
    assert reason in statuses["probe"].reason
    assert statuses["correctness"].status is GateStatus.PASS


def test_a_planted_gate_can_pass(
    world: Any,
    tools: Any,
    judge: Callable[..., Verdict],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    _plant(monkeypatch, passes)
    rows = tools.make_rows(world.tasks)
    assert judge(rows, rows, '\n[gates.probe]\ntier = "critical"\n').outcome is Outcome.GO
    assert capfd.readouterr().out == ""


def _plant(monkeypatch: pytest.MonkeyPatch, check: Any) -> None:
    found = load_gates()
    if check is not None:
        gate = Gate(name="probe", summary="s", needs="n", settings=NoSettings, check=check, paired=False)
        found["probe"] = LoadedGate(gate=gate, plugin=Plugin(distribution="probe", version="1", sha256=""))
    monkeypatch.setattr(run_module, "load_gates", lambda plugins: found)


def swaps_weights(context: GateContext, settings: NoSettings) -> GateResult:
    assert context.model is not None
    (context.model / "model.safetensors").write_bytes(b"other")
    return GateResult(gate="probe", status=GateStatus.PASS, reason="fine")


def swaps_samples(context: GateContext, settings: NoSettings) -> GateResult:
    sidecar(Path(os.environ["WORLD"]) / "candidate.jsonl").write_text("{}")
    return GateResult(gate="probe", status=GateStatus.PASS, reason="fine")


@pytest.mark.parametrize(
    ("check", "what"),
    [(swaps_weights, "model model.safetensors"), (swaps_samples, "candidate_sidecar ../candidate.jsonl.meta.json")],
)
def test_what_changes_while_the_gates_look_is_an_error(
    world: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Any, what: str
) -> None:
    _plant(monkeypatch, check)
    monkeypatch.setenv("WORLD", str(world.root))
    (tmp_path / "policy.toml").write_text(POLICY + '\n[gates.probe]\ntier = "critical"\n')
    model = _model(tmp_path / "model", b"judged")
    sides = [world.write(name, tools.make_rows(world.tasks)) for name in ("baseline", "candidate")]
    verdict = run_gates(world.request(*sides, str(tmp_path / "policy.toml"), model=model))
    assert verdict.outcome is Outcome.ERROR
    assert verdict.reason.startswith(f"{what}: was changed while the gates ran")


def exchanges_and_puts_back(context: GateContext, settings: NoSettings) -> GateResult:
    """Another model is where the judged one was while the gate looks."""
    place = Path(os.environ["WORLD"]) / "model"
    aside = place.rename(place.with_name("aside"))
    _model(place, b"shown")
    assert context.model is not None
    seen = (context.model / "model.safetensors").read_bytes()
    (place / "model.safetensors").unlink()
    place.rmdir()
    aside.rename(place)
    status = GateStatus.PASS if seen == b"judged" else GateStatus.BREACH
    return GateResult(gate="probe", status=status, reason=f"saw {seen!r}")


def test_a_model_that_is_exchanged_and_put_back_is_judged_as_it_was_digested(
    world: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant(monkeypatch, exchanges_and_puts_back)
    monkeypatch.setenv("WORLD", str(world.root))
    (tmp_path / "policy.toml").write_text(POLICY + '\n[gates.probe]\ntier = "critical"\n')
    model = _model(tmp_path / "model", b"judged")
    sides = [world.write(name, tools.make_rows(world.tasks)) for name in ("baseline", "candidate")]
    verdict = run_gates(world.request(*sides, str(tmp_path / "policy.toml"), model=model))
    assert {one.result.gate: one.result.reason for one in verdict.gates}["probe"] == "saw b'judged'"


INPUTS: dict[str, Callable[[GateContext], Path]] = {
    "tasks.jsonl": lambda context: context.tasks_path,
    "training.jsonl": lambda context: context.training[0],
    "candidate.jsonl": lambda context: context.candidate.results,
    "candidate.jsonl.meta.json": lambda context: sidecar(context.candidate.results),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_that_are_exchanged_and_put_back_are_judged_as_they_were_digested(
    world: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def look(context: GateContext, settings: NoSettings) -> GateResult:
        place = world.root / name
        judged = place.read_bytes()
        place.write_bytes(b"exchanged")
        seen = INPUTS[name](context).read_bytes()
        place.write_bytes(judged)
        status = GateStatus.PASS if seen == judged else GateStatus.BREACH
        return GateResult(gate="probe", status=status, reason="looked")

    _plant(monkeypatch, look)
    (tmp_path / "policy.toml").write_text(POLICY + '\n[gates.probe]\ntier = "critical"\n')
    write_jsonl(tmp_path / "training.jsonl", [{"prompt": "trained on"}])
    sides = [world.write(name, tools.make_rows(world.tasks)) for name in ("baseline", "candidate")]
    request = world.request(*sides, str(tmp_path / "policy.toml"), training=(tmp_path / "training.jsonl",))
    verdict = run_gates(request)
    assert {one.result.gate: one.result.status for one in verdict.gates}["probe"] is GateStatus.PASS, verdict.reason
    for one in verdict.subjects:
        assert one.sha256 == sha256_file(request.out / one.path), one.role


def test_grades_exchanged_right_after_grading_are_refused(
    world: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = world.write("samples", tools.make_rows(world.tasks))

    def score(tasks: Path, path: Path, results: Path, *, resume: bool) -> ScoreSummary:
        results.parent.mkdir(parents=True)
        results.write_bytes(path.read_bytes())
        meta = write_sidecar(results, world.meta(results) | {"samples_sha256": sha256_file(path)})
        results.write_text(results.read_text().replace('"fail"', '"pass"'))
        write_json(sidecar(results), meta | {"results_sha256": sha256_file(results)})
        return ScoreSummary(
            out=results, tier=SandboxTier.NAMESPACES, tier_notes=(), samples=1, tasks=1, counts={}, resumed=0,
            canaries=1, weak_oracle_tasks=0, set_aside={}, meta=meta,
        )  # fmt: skip

    monkeypatch.setattr("ssd_plugin.gating.inputs.score_file", score)
    inputs = HeldInputs(tmp_path / "held", world.root / "out")
    with pytest.raises(DataError, match="was changed after it was graded"):
        load_side("candidate", samples, world.tasks_path, inputs, replace(load_policy("smoke"), regrade=True))


@pytest.mark.parametrize("of", ["another program", "nothing"])
def test_a_result_file_whose_grades_are_of_other_programs_is_graded_again(
    world: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    path = world.write("candidate", tools.make_rows(world.tasks))
    rows = list(read_results(path))
    rows[3] = replace(rows[3], program="def solve(values):\n    return 6\n" if of == "another program" else "")
    write_jsonl(path, (row.to_json() for row in rows))
    write_sidecar(path, world.meta(path))

    def score(tasks: Path, samples: Path, results: Path, *, resume: bool) -> ScoreSummary:
        raise DataError("graded again")

    monkeypatch.setattr("ssd_plugin.gating.inputs.score_file", score)
    inputs = HeldInputs(tmp_path / "held", world.root / "out")
    with pytest.raises(DataError, match="graded again"):
        load_side("candidate", path, world.tasks_path, inputs, load_policy("smoke"))


def _model(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_one_file_cannot_be_the_samples_of_two_models(world: Any, tools: Any, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    samples = world.write("samples", tools.make_rows(world.tasks))
    old, new = _model(tmp_path / "old", b"old"), _model(tmp_path / "new", b"new")

    def judged(model: Path, before: Path) -> Verdict:
        request = world.request(samples, samples, str(tmp_path / "policy.toml"), model=model, baseline_model=before)
        return run_gates(request)

    refused = judged(new, old)
    assert refused.outcome is Outcome.ERROR
    assert "whose models differ" in refused.reason
    assert refused.looks.look == 0
    assert "give the same answers" in judged(new, new).reason


def test_a_second_gate_run_into_the_same_directory_is_refused(world: Any, tools: Any, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    sides = [world.write(name, tools.make_rows(world.tasks)) for name in ("baseline", "candidate")]
    request = world.request(*sides, str(tmp_path / "policy.toml"))
    with held(request.out), pytest.raises(GateError, match="out: in use by another process; wait for it"):
        judge_and_record(request, None)
    assert [path.name for path in request.out.iterdir()] == [LOCK]
    assert judge_and_record(request, None).outcome is Outcome.GO


def test_a_benchmark_s_tasks_are_written_only_by_the_run_that_holds_the_directory(
    world: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    sides = [world.write(name, tools.make_rows(world.tasks)) for name in ("baseline", "candidate")]
    request = replace(world.request(*sides, str(tmp_path / "policy.toml")), tasks=Path("humaneval"))
    monkeypatch.setattr(benchmarks, "fetch", lambda name: world.tasks)
    with held(request.out), pytest.raises(GateError, match="in use by another process"):
        judge_and_record(request, None)
    assert [path.name for path in request.out.iterdir()] == [LOCK]
    verdict = judge_and_record(request, None)
    assert verdict.outcome is Outcome.GO, verdict.reason
    assert [subject.path for subject in verdict.subjects if subject.role == "tasks"] == ["tasks.jsonl"]


def test_a_benchmark_that_cannot_be_had_ends_an_old_go(world: Any, tools: Any, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    sides = [world.write(name, tools.make_rows(world.tasks)) for name in ("baseline", "candidate")]
    request = world.request(*sides, str(tmp_path / "policy.toml"))
    assert judge_and_record(request, None).outcome is Outcome.GO
    verdict = judge_and_record(replace(request, tasks=Path("humanevil")), None)
    assert verdict.outcome is Outcome.ERROR
    assert verdict.reason.startswith("benchmark 'humanevil': not a file, and not one of humaneval,")
    assert read_verdict(request.out / "verdict.json") == verdict


def test_an_old_go_does_not_outlive_a_failed_run(
    world: Any, tools: Any, judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    rows = tools.make_rows(world.tasks)
    assert judge(rows, rows).outcome is Outcome.GO
    judge(rows, tmp_path / "none.jsonl")
    assert json.loads((world.root / "out/verdict.json").read_text())["outcome"] == "ERROR"


def test_looks_are_counted_and_run_out(world: Any, tools: Any, judge: Callable[..., Verdict], tmp_path: Path) -> None:
    base, model = tools.make_rows(world.tasks, seed=1), tmp_path / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(b"w")
    (tmp_path / "policy.toml").write_text(POLICY)

    def look(seed: int) -> Verdict:
        rows = tools.make_rows(world.tasks, seed=seed)
        files = world.write("b", base), world.write("c", rows)
        return run_gates(world.request(*files, str(tmp_path / "policy.toml"), model=model))

    first, again, second, third = look(2), look(2), look(3), look(4)
    assert [(v.looks.look, v.looks.reruns) for v in (first, again, second)] == [(1, 0), (1, 1), (2, 0)]
    assert first.looks.alpha == pytest.approx(0.025)
    assert third.outcome is Outcome.ERROR
    assert "judged on 2 data sets already" in third.reason
    (model / "weights.safetensors").write_bytes(b"another candidate")
    assert (look(4).looks.look, look(4).looks.candidates) == (1, 2)


def test_grades_that_cannot_be_trusted_spend_no_look(world: Any, tools: Any, judge: Callable[..., Verdict]) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    broken = judge(rows, rows[10:])
    assert (broken.outcome, broken.looks.look) == (Outcome.ERROR, 0)
    assert {one.result.gate: one.result.status for one in broken.gates} == {
        "integrity": GateStatus.ERROR,
        "correctness": GateStatus.INSUFFICIENT,
    }
    assert broken.reason.startswith("integrity (critical) error: ")
    assert "correctness" not in broken.reason
    assert not Path(os.environ["SSD_LEDGER"]).exists()
    assert judge(rows, rows).looks.look == 1


def test_sides_of_earlier_runs_into_the_same_directory_go(
    world: Any, tools: Any, judge: Callable[..., Verdict]
) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    old = world.root / "out/graded/origin.results.jsonl"
    old.parent.mkdir(parents=True)
    for path in (old, old.with_name(old.name + ".meta.json")):
        path.write_text("{}")
    judge(rows, rows)
    assert list(old.parent.iterdir()) == []


def test_looks_follow_the_candidate_not_the_directory(world: Any, tools: Any, tmp_path: Path) -> None:
    base, model = tools.make_rows(world.tasks, seed=1), tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"w")
    (tmp_path / "policy.toml").write_text(POLICY)

    def look(seed: int, **changes: Any) -> Verdict:
        files = world.write("b", base), world.write("c", tools.make_rows(world.tasks, seed=seed))
        request = world.request(*files, str(tmp_path / "policy.toml"), model=model)
        return run_gates(replace(request, out=tmp_path / f"out{seed}", **changes))

    assert (look(2).looks.look, look(3).looks.look) == (1, 2)
    (model / "README.md").write_text("a new file beside the weights makes no new candidate")
    refused = look(4)
    assert refused.outcome is Outcome.ERROR
    assert "train another candidate" in refused.reason
    (model / "model.safetensors").rename(model / "renamed.safetensors")
    assert "train another candidate" in look(4).reason, "another name for the same bytes makes no new candidate"
    elsewhere = look(4, ledger=tmp_path / "shared/looks.jsonl")
    assert elsewhere.looks.look == 1, "another ledger knows nothing: the evidence names it"
    assert elsewhere.looks.ledger == str(tmp_path / "shared/looks.jsonl")


def test_without_weights_fresh_samples_are_a_new_candidate_and_are_counted(
    world: Any, tools: Any, judge: Callable[..., Verdict]
) -> None:
    base = tools.make_rows(world.tasks, seed=1)
    looks = [judge(base, tools.make_rows(world.tasks, seed=seed)).looks for seed in (2, 3, 4, 2)]
    assert [(one.look, one.candidates, one.reruns) for one in looks] == [(1, 1, 0), (1, 2, 0), (1, 3, 0), (1, 3, 1)]


def test_another_spelling_of_the_same_answers_is_a_rerun(world: Any, tools: Any, judge: Callable[..., Verdict]) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    judge(rows, rows)
    assert judge(rows, list(reversed(rows))).looks.reruns == 1


@pytest.mark.parametrize("content", ["", "{", "not a ledger\n"])
def test_a_ledger_that_cannot_be_read_or_written_is_an_error(
    world: Any, tools: Any, judge: Callable[..., Verdict], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    ledger = tmp_path / "state/looks.jsonl"
    if content:
        ledger.parent.mkdir()
        ledger.write_text(content)
    else:
        ledger.parent.write_text("a file where the directory should be")
    monkeypatch.setenv("SSD_LEDGER", str(ledger))
    rows = tools.make_rows(world.tasks)
    verdict = judge(rows, rows)
    assert verdict.outcome is Outcome.ERROR
    assert str(ledger) in verdict.reason


def test_the_policy_is_checked_before_anything_is_written(
    world: Any, tools: Any, judge: Callable[..., Verdict]
) -> None:
    rows = tools.make_rows(world.tasks)
    with pytest.raises(ConfigError, match=r"gates\.correctness\.margni is not a known key"):
        judge(rows, rows, policy=POLICY.replace("margin = 0.06", "margni = 0.06"))
    with pytest.raises(PluginError, match="nobody-has-this"):
        judge(rows, rows, policy=POLICY.replace("min_tasks", 'plugins = ["nobody-has-this"]\nmin_tasks'))
    assert not (world.root / "out").exists()


def test_a_run_directory_gives_sides_model_and_training(tmp_path: Path) -> None:
    from ssd_plugin.gating.request import GateRequest, resolve

    for name in (
        "evaluate/candidate/results.jsonl",
        "evaluate/base_best/results.jsonl",
        "filter/kept.jsonl",
        "train/model/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    request = GateRequest(policy="p", tasks=tmp_path, baseline=tmp_path, candidate=tmp_path, out=tmp_path / "out")
    found = resolve(request)
    assert found.baseline == tmp_path / "evaluate/base_best/results.jsonl"
    assert found.candidate == tmp_path / "evaluate/candidate/results.jsonl"
    assert (found.model, found.training) == (tmp_path / "train/model", (tmp_path / "filter/kept.jsonl",))
    with pytest.raises(GateError, match="run directory that was evaluated"):
        resolve(replace(request, candidate=tmp_path / "train"))


def test_where_looks_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ssd_plugin.gating.interim_looks import default_ledger

    assert default_ledger() == Path(os.environ["SSD_LEDGER"])
    monkeypatch.delenv("SSD_LEDGER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_ledger() == tmp_path / "ssd_plugin/looks.jsonl"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_ledger() == tmp_path / "home/.local/state/ssd_plugin/looks.jsonl"

    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(GateError, match="name a file with --ledger"):
        default_ledger()
