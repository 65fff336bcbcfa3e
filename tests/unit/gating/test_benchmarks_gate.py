"""Gate runs on results that another harness graded: alone, and beside samples that are graded here."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import sha256_file, write_jsonl
from ssd_plugin.errors import ConfigError, GateError
from ssd_plugin.evidence.gate_run import judge_and_record
from ssd_plugin.gating.calibration import calibrate
from ssd_plugin.gating.policy import load_policy
from ssd_plugin.gating.request import GateRequest, benchmark_options
from ssd_plugin.gating.run import load_bench, run_gates
from ssd_plugin.gating.verdict import GateStatus, Outcome, Verdict

HEAD = 'schema = "ssd-policy/1"\nname = "elsewhere"\ndescription = "x"\npromotable = false\n'
QUIZ = '[gates.benchmarks.quiz]\ntier = "critical"\nmetric = "acc"\nmargin = 0.05\n'
GRADED = 'sandbox = "landlock"\nmin_tasks = 100\nmin_samples = 5\n'


def write(
    path: Path, *, lost: float = 0.0, seed: int = 0, items: int = 400, level: float = 0.7, **changes: Any
) -> Path:
    """Results of a model that gets `level` of the items right and loses a share of those."""
    fate, own = random.Random(7), random.Random(seed)
    write_jsonl(
        path,
        (
            {"item": n, "harness": "house", "harness_version": "1.2", "task": "quiz", "decoding": "greedy"}
            | {"acc": int(fate.random() < level and own.random() >= lost), "said": f"{path.stem} {n}"}
            | {"passage": n // 4}
            | changes
            for n in range(items)
        ),
    )
    return path


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Verdict]:
    """Judge two results files under a policy of this one benchmark, with lines appended to it."""

    def run(baseline: Path | None, candidate: Path | None, more: str = "", policy: str = HEAD + QUIZ) -> Verdict:
        (tmp_path / "policy.toml").write_text(policy + more)
        given = {"quiz": (baseline, candidate)} if baseline and candidate else {}
        return run_gates(
            GateRequest(policy=str(tmp_path / "policy.toml"), benchmarks=given, out=tmp_path / "out")  # type: ignore[arg-type]
        )

    return run


def test_an_equal_model_is_go_and_the_verdict_says_who_graded(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    sides = write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", lost=0.01)
    verdict = judge(*sides)
    assert verdict.outcome is Outcome.GO, verdict.reason
    (gate,) = verdict.gates
    assert gate.result.gate == "benchmarks.quiz"
    assert "graded elsewhere by house 1.2" in gate.result.reason
    assert "not stated by its files, so not compared: task version" in gate.result.reason
    assert {(s.role, s.sha256) for s in verdict.subjects} == {
        ("benchmarks.quiz_baseline", sha256_file(sides[0])),
        ("benchmarks.quiz_candidate", sha256_file(sides[1])),
    }
    assert (verdict.sandbox, verdict.promotable, verdict.looks.look) == ("", False, 1)


def test_a_worse_model_is_no_go(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    verdict = judge(write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", lost=0.3))
    assert verdict.outcome is Outcome.NO_GO
    assert verdict.gates[0].result.status is GateStatus.BREACH


def test_few_items_or_few_clusters_are_inconclusive(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    few = judge(write(tmp_path / "a.jsonl", items=30), write(tmp_path / "b.jsonl", items=30, lost=0.01))
    assert few.outcome is Outcome.INCONCLUSIVE
    sides = write(tmp_path / "a.jsonl", items=160), write(tmp_path / "b.jsonl", lost=0.01, items=160)
    assert judge(*sides).outcome is Outcome.GO
    clustered = judge(*sides, 'cluster = "passage"\n')
    assert clustered.outcome is Outcome.INCONCLUSIVE
    assert "40 clusters by passage" in clustered.gates[0].result.reason


def test_a_relative_margin_is_a_share_of_the_baseline(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    sides = (
        write(tmp_path / "a.jsonl", level=0.2, items=1500),
        write(tmp_path / "b.jsonl", level=0.2, lost=0.15, items=1500),
    )
    assert judge(*sides).outcome is Outcome.GO  # 3 points of 20
    assert judge(*sides, "relative = true\n").outcome is Outcome.NO_GO  # 15 % of them
    figure = judge(*sides, "relative = true\n").gates[0].result.measurements[0]
    assert figure.margin == pytest.approx(0.05 * (figure.baseline or 0))


def test_a_baseline_below_the_margin_cannot_show_a_loss(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    verdict = judge(write(tmp_path / "a.jsonl", level=0.0), write(tmp_path / "b.jsonl", level=0.0))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "the baseline is not above the margin" in verdict.gates[0].result.reason


def test_the_same_results_twice_compare_nothing(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    verdict = judge(path, write(tmp_path / "b.jsonl", said="x"))
    assert verdict.outcome is Outcome.GO  # the plain form has no answers: equal scores of other files are what they are
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(path.read_bytes())
    for other in (path, copy):
        verdict = judge(path, other)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "so nothing was compared" in verdict.gates[0].result.reason


def test_an_absent_benchmark_is_never_a_pass(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    sides = write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", lost=0.01)
    absent = '[gates.benchmarks.other]\nmetric = "acc"\ntier = '
    for tier, outcome in (("critical", Outcome.ERROR), ("supporting", Outcome.ERROR), ("advisory", Outcome.GO)):
        verdict = judge(*sides, absent + f'"{tier}"\n')
        assert verdict.outcome is outcome
        assert "--benchmark other=BASELINE,CANDIDATE" in verdict.gates[1].result.reason
    assert judge(*sides, absent + '"critical"\nrequired = false\n').outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"harness_version": "1.3"}, "the harness version is 1.2 for the baseline and 1.3 for the candidate; run both alike"),
        ({"items": 399}, "1 items are on the baseline's side only, such as 'quiz/399'"),
        ({"acc": None}, "has no metric 'acc'"),
        ({"acc": 2}, "is 2; a benchmark is judged by a figure between 0 and 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_an_error_that_names_the_users_file(
    judge: Callable[..., Verdict], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    verdict = judge(write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", **changes))
    assert (verdict.outcome, verdict.outcome.exit_code) == (Outcome.ERROR, 3)
    assert said in verdict.gates[0].result.reason
    assert "ssd-gates-" not in verdict.reason


def test_a_missing_file_is_an_error(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    verdict = judge(write(tmp_path / "a.jsonl"), tmp_path / "none.jsonl")
    assert verdict.outcome is Outcome.ERROR
    assert re.search(r"none\.jsonl: cannot be read", verdict.reason)


def test_results_that_were_changed_meanwhile_are_an_error(
    judge: Callable[..., Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssd_plugin.gating import run as run_module

    path = write(tmp_path / "b.jsonl", lost=0.01)
    apart = run_module.run_apart

    def swapped(*arguments: Any) -> Any:
        write(path)
        return apart(*arguments)

    monkeypatch.setattr(run_module, "run_apart", swapped)
    verdict = judge(write(tmp_path / "a.jsonl"), path)
    assert verdict.outcome is Outcome.ERROR
    assert "was changed while the gates ran" in verdict.reason


def test_new_results_are_a_new_look_and_the_same_are_a_rerun(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    baseline, candidate = write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", lost=0.01)
    assert judge(baseline, candidate).looks.look == 1
    again = judge(baseline, candidate)
    assert (again.looks.look, again.looks.reruns) == (1, 1)
    other = judge(baseline, write(tmp_path / "c.jsonl", lost=0.01, seed=3))
    assert (other.looks.look, other.looks.candidates) == (1, 2)  # without weights, other results are another candidate


def test_benchmarks_beside_samples(world: Any, tools: Any, tmp_path: Path) -> None:
    graded = '[gates.integrity]\ntier = "critical"\n[gates.correctness]\ntier = "critical"\nmargin = 0.06\n'
    (tmp_path / "policy.toml").write_text(HEAD + GRADED + graded + QUIZ)
    rows = [tools.make_rows(world.tasks, seed=seed) for seed in (1, 2)]
    sides = [world.write(name, side) for name, side in zip(("baseline", "candidate"), rows, strict=True)]
    worse = write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", lost=0.3)
    verdict = run_gates(world.request(*sides, str(tmp_path / "policy.toml"), benchmarks={"quiz": worse}))
    assert {gate.result.gate: gate.result.status.value for gate in verdict.gates} == {
        "integrity": "pass", "correctness": "pass", "benchmarks.quiz": "breach"
    }  # fmt: skip
    assert verdict.outcome is Outcome.NO_GO


def test_what_a_policy_does_not_judge_is_refused(judge: Callable[..., Verdict], world: Any, tmp_path: Path) -> None:
    sides = write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl")
    (tmp_path / "policy.toml").write_text(HEAD + QUIZ)
    policy = str(tmp_path / "policy.toml")
    for request, said in (
        (
            GateRequest(policy=policy, benchmarks={"mmlu": sides}, out=tmp_path / "out"),
            "has no [gates.benchmarks.mmlu]; it",
        ),
        (GateRequest(policy=policy, out=tmp_path / "out"), "give --benchmark NAME=BASELINE,CANDIDATE"),
        (world.request(*sides, policy), "judges no samples: leave --tasks, --baseline, --candidate out"),
        (GateRequest(policy="smoke", benchmarks={"mmlu": sides}, out=tmp_path / "out"), "it has none"),
    ):
        verdict = run_gates(request)
        assert verdict.outcome is Outcome.ERROR
        assert said in verdict.reason
    policy = HEAD + GRADED + '[gates.integrity]\ntier = "critical"\n' + QUIZ
    assert "give --tasks, --baseline, --candidate" in judge(*sides, policy=policy).reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + QUIZ.replace(".quiz", ""), "gates.benchmarks names no benchmark; write [gates.benchmarks.NAME]"),
        (HEAD + QUIZ.replace(".quiz", '."a=b"'), "names no benchmark"),
        (HEAD + QUIZ.replace("margin = 0.05", "margin = 5"), "gates.benchmarks.quiz.margin = 5.0 is not allowed"),
        (HEAD + QUIZ.replace('metric = "acc"', ""), "gates.benchmarks.quiz.metric is missing"),
        (HEAD + QUIZ.replace("metric", "metrik"), "gates.benchmarks.quiz.metrik is not a known key"),
        (HEAD + QUIZ.replace("critical", "supporting"), "requires nothing of the candidate"),
        (HEAD + GRADED + QUIZ, "sandbox = 'landlock' is not allowed; allowed: nothing, since no samples are graded"),
        (HEAD.replace("false", "true") + QUIZ, "results that were graded elsewhere move no model by themselves"),
        (HEAD + QUIZ + '[gates.lint]\ntier = "advisory"\n', "gates.integrity must be there"),
    ],
)
def test_policies_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_bench(str(tmp_path / "policy.toml"))


def test_an_override_accepts_one_benchmark_by_its_name(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    until = (datetime.now(UTC) + timedelta(days=30)).date()
    more = (
        QUIZ.replace("quiz", "house") + f'[[overrides]]\ngate = "benchmarks.house"\nreason = "old"\nexpires = {until}\n'
    )
    verdict = judge(write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", lost=0.01), more)
    assert load_policy(str(tmp_path / "policy.toml")).override_of("benchmarks.house")
    assert verdict.outcome is Outcome.ERROR  # absent results are an error, which nobody can accept


def test_calibration_has_nothing_to_draw(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(HEAD + QUIZ)
    with pytest.raises(GateError, match="judges no samples"):
        calibrate(str(tmp_path / "policy.toml"), tmp_path, tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["quiz", "quiz=a", "=a,b", "quiz=a,b,c", "quiz=a,", "quiz=,b"])
def test_an_option_without_its_form_is_refused(text: str) -> None:
    with pytest.raises(GateError, match="write NAME=BASELINE,CANDIDATE"):
        benchmark_options([text])


def test_a_benchmark_given_twice_is_refused() -> None:
    with pytest.raises(GateError, match="'quiz' is given twice"):
        benchmark_options(["quiz=a,b", "quiz=c,d"])


def test_the_evidence_names_the_files_that_were_judged(tmp_path: Path) -> None:
    sides = write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", lost=0.01)
    (tmp_path / "policy.toml").write_text(HEAD + QUIZ)
    request = GateRequest(policy=str(tmp_path / "policy.toml"), benchmarks={"quiz": sides}, out=tmp_path / "out")
    judge_and_record(request, None)
    statement = json.loads((tmp_path / "out/statement.json").read_text())
    named = {one["name"]: one["digest"]["sha256"] for one in statement["predicate"]["configuration"]}
    assert named["benchmarks.quiz_candidate: ../b.jsonl"] == sha256_file(sides[1])
    assert "no samples graded here" in (tmp_path / "out/summary.md").read_text()
