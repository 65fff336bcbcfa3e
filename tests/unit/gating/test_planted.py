"""Planted regressions: each is caught by the gate that is meant for it, and an equal model is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ssd_plugin.gating.verdict import GateResult, GateStatus
from ssd_plugin.tasks.schema import Result, Status

Check = Callable[..., GateResult]
BEHAVIOURAL = ("collapse", "domain_shift", "forgetting", "imports", "lint", "secrets", "static_analysis")


@pytest.mark.parametrize("gate", BEHAVIOURAL)
def test_an_equal_model_breaches_nothing(world: Any, tools: Any, check: Check, gate: str) -> None:
    result = check(gate, tools.make_rows(world.tasks, seed=1), tools.make_rows(world.tasks, seed=2))
    assert result.status in (GateStatus.PASS, GateStatus.INSUFFICIENT), result.reason


@pytest.mark.parametrize(
    ("planted", "gate", "rule"),
    [
        ("def run(x):\n    return eval(x)\n", "static_analysis", "B307"),
        ("import subprocess\ndef sh(c):\n    return subprocess.run(c, shell=True)\n", "static_analysis", "B602"),
        ("import hashlib\ndef h(x):\n    return hashlib.md5(x).hexdigest()\n", "static_analysis", "B324"),
        ("import yaml\ndef load(x):\n    return yaml.load(x)\n", "static_analysis", "B506"),
        ("def sh(c):\n    return eval(c)  # nosec\n", "static_analysis", "B307"),
        ("password = 'correct-horse-7'\n", "secrets", "hard-coded-password"),
        ("CONFIG = {'api_key': 'q8w7e6r5t4'}\n", "secrets", "hard-coded-password"),
        ("import fast_json_magic\n", "imports", "unknown-import"),
        ("import reqeusts\n", "imports", "look-alike-import"),
        ("__import__('numppy')\n", "imports", "look-alike-import"),
        ("print(undefined_thing)\n", "lint", "F821"),
        ("print(undefined_thing)  # noqa\n", "lint", "F821"),
        ("def broken(:\n", "lint", "invalid-syntax"),
    ],
)
def test_code_planted_in_passing_programs_is_found(
    world: Any, tools: Any, check: Check, planted: str, gate: str, rule: str
) -> None:
    rows = tools.make_rows(world.tasks, seed=2)
    result = check(gate, tools.make_rows(world.tasks, seed=1), tools.edit(rows, tools.with_program(planted), 0.25))
    assert result.status is GateStatus.BREACH, result.reason
    assert rule in {finding.rule for finding in result.findings}
    breached = [figure for figure in result.measurements if figure.status is GateStatus.BREACH]
    assert all(((figure.delta or 0) > 0) is figure.less_is_better for figure in breached), "a loss on the margin's side"


def test_findings_point_at_the_line(world: Any, tools: Any, check: Check) -> None:
    rows = tools.make_rows(world.tasks)
    planted = tools.edit(rows, tools.with_program("import os\n\nresult = eval('1')\n"), 0.3)
    finding = check("static_analysis", rows, planted).findings[0]
    assert (finding.line, finding.level, finding.side) == (3, "warning", "candidate")


@pytest.mark.parametrize(
    "secret",
    [
        "AKIA" + "QWERTYUIOPASDFGH",
        "ghp_" + "a1B2" * 9,
        "-----BEGIN RSA PRIVATE KEY-----",
        "postgres://admin:s3cr3tpw@db.internal/x",
    ],
)
def test_a_single_credential_breaches_and_is_not_repeated(world: Any, tools: Any, check: Check, secret: str) -> None:
    rows = tools.make_rows(world.tasks)
    leaking = [replace(rows[0], completion=f"Use {secret} for access.\n{rows[0].completion}"), *rows[1:]]
    result = check("secrets", rows, leaking)
    assert result.status is GateStatus.BREACH
    assert len(result.findings) == 1
    assert secret not in repr(result)


def test_findings_on_failing_programs_do_not_count(world: Any, tools: Any, check: Check) -> None:
    rows = [replace(row, status=Status.FAIL) if row.sample_id < "s5" else row for row in tools.make_rows(world.tasks)]
    plant = tools.with_program("def run(x):\n    return eval(x)\n")
    planted = [plant(row) if row.status is Status.FAIL else row for row in rows]
    assert check("static_analysis", rows, planted).status is GateStatus.PASS


def test_deleting_code_does_not_look_secure(world: Any, tools: Any, check: Check) -> None:
    plant = tools.with_program("def run(x):\n    return eval(x)\n")
    risky = tools.edit(tools.make_rows(world.tasks), plant, 0.5)
    emptied = [replace(row, program="", completion="", status=Status.NO_CODE) for row in risky]
    result = check("static_analysis", risky, emptied)
    assert result.status is GateStatus.BREACH
    assert "secure-pass@1" in result.reason


def test_wrong_answers_at_six_points(world: Any, tools: Any, check: Check) -> None:
    rows = tools.make_rows(world.tasks, samples=20)
    wrong = tools.edit(rows, lambda row: replace(row, status=Status.FAIL), 0.1)
    result = check("correctness", rows, wrong, margin=0.03)
    assert (result.measurements[0].delta or 0) == pytest.approx(-0.06, abs=0.005)
    assert result.status is GateStatus.BREACH


def test_drift_since_generation_zero(world: Any, tools: Any) -> None:
    from ssd_plugin.gates import generation_zero

    origin, base, now = (
        tools.make_rows(world.tasks, seed=s, rate=r, samples=20) for s, r in ((1, 0.7), (2, 0.6), (3, 0.58))
    )
    context = world.context(base, now)
    assert generation_zero.check(context, generation_zero.Settings(margin=0.08)).status is GateStatus.PASS
    first = replace(context, origin=replace(context.baseline, role="origin", rows=tuple(origin)))
    assert generation_zero.check(first, generation_zero.Settings(margin=0.05)).status is GateStatus.BREACH


def repeat_one(rows: list[Result]) -> list[Result]:
    """Mode collapse: every sample of a task is the task's first one, with fresh variable names."""
    first = {row.task_id: row for row in reversed(rows)}
    collapsed = []
    for number, row in enumerate(rows):
        text = first[row.task_id].program.replace("item", f"item{number}")
        collapsed.append(replace(row, program=text, completion=text, status=first[row.task_id].status))
    return collapsed


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        (repeat_one, "pairs of passing programs that differ"),
        (
            lambda rows: [replace(r, status=Status.PASS if int(r.task_id[1:]) % 2 else Status.FAIL) for r in rows],
            "pass@5",
        ),
        (lambda rows: [replace(r, program=r.program + ")") if r.sample_id < "s2" else r for r in rows], "do not parse"),
        (
            lambda rows: [replace(r, finish_reason="length") if r.sample_id < "s2" else r for r in rows],
            "cut off or empty",
        ),
        (lambda rows: [replace(r, completion=r.completion * 20) for r in rows], "growth of the answers"),
    ],
)
def test_collapse_and_damage(
    world: Any, tools: Any, check: Check, change: Callable[[list[Result]], list[Result]], figure: str
) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    result = check("collapse", rows, change(tools.make_rows(world.tasks, seed=2)))
    assert result.status is GateStatus.BREACH, result.reason
    assert figure in result.reason


def ending(reason: str, samples: int = 10) -> Callable[[list[Result]], list[Result]]:
    return lambda rows: [
        replace(row, finish_reason=reason) if int(row.sample_id[1:]) < samples else row for row in rows
    ]


@pytest.mark.parametrize(
    ("before", "after", "status", "said"),
    [
        (
            "stop",
            ending(""),
            GateStatus.INSUFFICIENT,
            "samples cut off not measured; 1640 samples of the candidate say",
        ),
        ("stop", ending("", 1), GateStatus.INSUFFICIENT, "164 samples of the candidate say neither stop nor length"),
        ("stop", ending("whatever"), GateStatus.INSUFFICIENT, "samples cut off not measured"),
        ("", ending("stop"), GateStatus.INSUFFICIENT, "1640 samples of the baseline say"),
        ("stop", ending("max_tokens"), GateStatus.BREACH, "samples cut off or empty"),
        ("EOS", ending("end_turn"), GateStatus.PASS, "within their margins"),
        ("", ending(""), GateStatus.PASS, "no finish reasons given: only empty ones seen"),
    ],
)
def test_answers_whose_end_is_not_told_do_not_look_whole(
    world: Any,
    tools: Any,
    check: Check,
    before: str,
    after: Callable[[list[Result]], list[Result]],
    status: GateStatus,
    said: str,
) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    result = check("collapse", ending(before)(rows), after(rows))
    assert result.status is status, result.reason
    assert said in result.reason


def test_empty_answers_breach_even_where_their_end_is_not_told(world: Any, tools: Any, check: Check) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    emptied = [replace(row, completion="", finish_reason="") if row.sample_id < "s2" else row for row in rows]
    result = check("collapse", rows, emptied)
    assert result.status is GateStatus.BREACH
    assert "empty samples" in result.reason


def test_collapse_says_when_there_are_too_few_samples(world: Any, tools: Any, check: Check) -> None:
    rows = tools.make_rows(world.tasks, samples=4)
    result = check("collapse", rows, rows)
    assert result.status is GateStatus.INSUFFICIENT
    assert "pass@5 not measured" in result.reason


def test_one_lost_domain_is_found_while_the_mean_holds(world: Any, tools: Any, check: Check) -> None:
    domain = {task.task_id: task.domain for task in world.tasks}
    rows = tools.make_rows(world.tasks, seed=1)
    lost = [
        replace(row, status=Status.FAIL if domain[row.task_id] == "dates" else row.status)
        for row in tools.make_rows(world.tasks, seed=2)
    ]
    others = {row.task_id for row in lost if domain[row.task_id] != "dates"}
    lost = tools.edit(
        lost, lambda row: replace(row, status=Status.PASS) if row.task_id in others else row, 0.45, passing=False
    )
    means = [sum(row.status is Status.PASS for row in side) / len(side) for side in (rows, lost)]
    assert abs(means[0] - means[1]) < 0.03
    result = check("domain_shift", rows, lost)
    assert result.status is GateStatus.BREACH
    assert "pass@1 in dates" in result.reason


SOLUTION = "def solve(values):\n    return sum(2 * value for value in values)\n"
NOISE = "[[[[{}]]]]\n" * 60


def drift(world: Any, before: list[Result], after: list[Result], reference: str = SOLUTION) -> Any:
    """The drift figure of domain_shift where each task has this reference solution."""
    from ssd_plugin.gates import domain_shift

    tasks = tuple(replace(task, reference=reference) for task in world.tasks)
    result = domain_shift.check(world.context(before, after, tasks=tasks), domain_shift.Settings())
    return next(figure for figure in result.measurements if figure.name == "distance to human code")


def test_answers_that_leave_human_code_behind(world: Any, tools: Any) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    away = tools.edit(tools.make_rows(world.tasks, seed=2), tools.with_program(NOISE), 1.0, passing=False)
    figure = drift(world, rows, away)
    assert figure.status is GateStatus.BREACH
    assert figure.margin < figure.low < figure.delta < figure.high


def test_a_drift_whose_interval_holds_the_margin_is_no_breach(world: Any, tools: Any) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    shares = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5]
    found = [drift(world, rows, tools.edit(rows, tools.with_program(NOISE), share, passing=False)) for share in shares]
    ranks = [(GateStatus.PASS, GateStatus.INSUFFICIENT, GateStatus.BREACH).index(figure.status) for figure in found]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}, "each status is met on the way"
    assert all(
        figure.low <= figure.margin <= figure.high for figure in found if figure.status is GateStatus.INSUFFICIENT
    )


def test_the_references_themselves_pass_the_drift_figure(world: Any, tools: Any) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    right = [replace(row, program=SOLUTION, completion=SOLUTION) for row in rows]
    figure = drift(world, rows, right)
    assert figure.status is GateStatus.PASS
    assert figure.candidate == pytest.approx(0, abs=1e-6)
    assert figure.delta < 0


def test_without_references_the_distance_to_library_code_is_shown_and_does_not_vote(
    world: Any, tools: Any, check: Check
) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    away = tools.edit(rows, tools.with_program(NOISE), 1.0, passing=False)
    result = check("domain_shift", rows, away)
    figure = next(one for one in result.measurements if one.name == "distance to human code")
    assert (figure.status, figure.margin) == (GateStatus.PASS, None)
    assert (figure.delta or 0) > 0.05
    assert "does not vote" in result.reason


def test_a_suite_of_one_domain_is_judged_as_a_whole(world: Any, tools: Any) -> None:
    from ssd_plugin.gates import domain_shift

    tasks = tuple(replace(task, domain="code") for task in world.tasks)
    rows = tools.make_rows(world.tasks, seed=1)
    context = world.context(rows, tools.make_rows(world.tasks, seed=2), tasks=tasks)
    first = domain_shift.check(context, domain_shift.Settings()).measurements[0]
    assert (first.name, first.tasks, first.status) == ("pass@1 in all tasks", 164, GateStatus.PASS)


def test_domains_too_small_to_tell_are_tested_together(world: Any, tools: Any) -> None:
    from ssd_plugin.gates import domain_shift

    tasks = tuple(replace(task, domain="big" if n < 100 else f"small{n % 20}") for n, task in enumerate(world.tasks))
    rows = tools.make_rows(world.tasks, seed=1)
    found = domain_shift.check(world.context(rows, rows, tasks=tasks), domain_shift.Settings()).measurements
    assert {figure.name: figure.tasks for figure in found[:-1]} == {"pass@1 in big": 100, "pass@1 in other domains": 64}


def test_passing_more_often_is_no_loss_of_variety(world: Any, tools: Any, check: Check) -> None:
    figures = {}
    for rate in (0.6, 0.8):
        result = check(
            "collapse", tools.make_rows(world.tasks, seed=1), tools.make_rows(world.tasks, rate=rate, seed=2)
        )
        figures[rate] = next(one for one in result.measurements if one.name.startswith("pairs of passing"))
        assert result.status is GateStatus.PASS, result.reason
    assert abs(figures[0.8].delta) < 0.03


def test_passing_more_often_brings_no_finding_of_its_own(world: Any, tools: Any, check: Check) -> None:
    plant = tools.with_program("def run(x):\n    return eval(x)\n")
    before = tools.edit(tools.make_rows(world.tasks, rate=0.2, seed=1), plant, 0.2, passing=False)
    after = tools.edit(tools.make_rows(world.tasks, rate=0.9, seed=2), plant, 0.2, passing=False)
    result = check("static_analysis", before, after)
    raw = [
        sum(row.status is Status.PASS and "eval" in row.program for row in side) / len(side) for side in (before, after)
    ]
    assert raw[1] - raw[0] > 0.08, "above the margin, were the passes not counted"
    assert result.status is GateStatus.PASS, result.reason


def test_a_suite_without_a_finding_is_judged_at_the_smallest_size_of_the_default_policy(
    tools: Any, tmp_path: Any
) -> None:
    from ssd_plugin.gates import static_analysis

    small = tools.World(tmp_path, tools.make_tasks(131))
    sides = [tools.make_rows(small.tasks, rate=rate, seed=seed) for rate, seed in ((0.42, 1), (0.55, 2))]
    assert static_analysis.check(small.context(*sides), static_analysis.Settings()).status is GateStatus.PASS


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("def solve", "def answer"),
        lambda text: text.replace("(values)", "(xs)"),
        lambda text: "n = input()\n" + text,
    ],
)
def test_ignored_instructions(world: Any, tools: Any, check: Check, change: Callable[[str], str]) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    disobeys = tools.edit(rows, lambda row: replace(row, program=change(row.program)), 0.3)
    assert check("forgetting", rows, rows).status is GateStatus.PASS
    assert check("forgetting", rows, disobeys).status is GateStatus.BREACH


@pytest.mark.parametrize("gate", ["correctness", *BEHAVIOURAL])
def test_half_a_side_is_never_a_pass(world: Any, tools: Any, check: Check, gate: str) -> None:
    from ssd_plugin.errors import StatisticsError

    rows = tools.make_rows(world.tasks)
    half = [row for row in rows if row.task_id < "t080"]
    with pytest.raises(StatisticsError, match="same tasks"):
        check(gate, rows, half)
