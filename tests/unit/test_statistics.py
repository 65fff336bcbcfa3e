"""The statistics against scipy / statsmodels, and by simulation: coverage, type-I rates and power."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from ssd_plugin.errors import StatisticsError
from ssd_plugin.metrics.inference import (
    Decision,
    FloatArray,
    bootstrap_mean,
    exact_share,
    group_bounds,
    holm,
    mcnemar_exact,
    noninferiority,
    paired_deltas,
    paired_t,
    share_interval,
    simultaneous_intervals,
    tasks_for_margin,
    unseen_share,
)
from ssd_plugin.metrics.power import minimum_detectable, noninferiority_power, same_model_sd, tasks_needed

REPEATS = 2000


def binomial_error(rate: float, repeats: int = REPEATS) -> float:
    """3.5 standard errors of a simulated rate: one false alarm in about 2,000 such checks."""
    return 3.5 * math.sqrt(rate * (1 - rate) / repeats)


def aa_deltas(rng: np.random.Generator, tasks: int, samples: int, loss: float = 0.0) -> FloatArray:
    """Task-level deltas of two models with pass rates from Beta(.5, .5), the candidate's lower by `loss` on average."""
    rates = rng.beta(0.5, 0.5, tasks)
    keep = 1 - loss / 0.5
    return (rng.binomial(samples, rates * keep) - rng.binomial(samples, rates)) / samples


def test_paired_t_without_pseudo_pairs_is_scipys_interval() -> None:
    deltas = np.random.default_rng(1).normal(0.02, 0.2, 57)
    ours = paired_t(deltas, pseudo_pairs=False)
    theirs = stats.ttest_1samp(deltas, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.estimate == pytest.approx(deltas.mean())


def test_paired_t_of_symmetric_deltas_is_scipys_interval_on_the_list_with_a_pseudo_pair() -> None:
    deltas = [0.2, -0.2, 0.1, -0.1] * 60
    ours = paired_t(deltas, confidence=0.9)
    theirs = stats.ttest_1samp([*deltas, 1.0, -1.0], 0).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert paired_t([0.1, -0.2, 0.0, 0.3] * 20).estimate == pytest.approx(0.05)


def test_the_interval_shown_is_the_one_decided_by() -> None:
    deltas = aa_deltas(np.random.default_rng(3), 80, 5, loss=0.05)
    shown, decided = paired_t(deltas, confidence=0.95), noninferiority(deltas, margin=0.03, alpha=0.025)
    assert (shown.low, shown.high) == pytest.approx((decided.lower, decided.upper))


@pytest.mark.parametrize("alpha", [0.05, 0.025])
@pytest.mark.parametrize("margin", [0.01, 0.02, 0.03, 0.05, 0.1])
def test_tasks_lost_whole_pass_no_more_often_than_nominal(margin: float, alpha: float) -> None:
    """Exact: each task is lost with the probability of the margin, all else ties."""
    for tasks in range(40, 900, 43):
        error = 0.0
        for lost in range(tasks):
            if (
                noninferiority([-1.0] * lost + [0.0] * (tasks - lost), margin=margin, alpha=alpha).outcome
                is not Decision.PASS
            ):
                break
            error += float(stats.binom.pmf(lost, tasks, margin))
        assert error <= 1.02 * alpha, (tasks, error)


@pytest.mark.parametrize(("tasks", "samples", "margin"), [(131, 5, 0.03), (164, 20, 0.03), (378, 10, 0.02)])
@pytest.mark.parametrize("kind", ["mixture", "lumpy", "swapped", "one domain"])
def test_a_loss_of_the_margin_passes_no_more_often_than_nominal_whatever_its_form(
    tasks: int, samples: int, margin: float, kind: str
) -> None:
    rng, passed, level = np.random.default_rng(21), 0, 0.5
    for _ in range(REPEATS):
        before = rng.beta(0.3, 0.3, tasks)
        after = before.copy()
        lost = np.zeros(tasks)
        if kind == "mixture":
            share = margin / level / 2
            lost = np.where(rng.random(tasks) < share, 1.0, share / (1 - share))
        elif kind == "lumpy":
            lost = (rng.random(tasks) < margin / level).astype(float)
        elif kind == "one domain":
            lost[: tasks // 8] = min(1.0, margin * tasks / (tasks // 8) / level)
        after = before * (1 - lost)
        if kind == "swapped":
            before = (before > 0.5).astype(float)
            flips = rng.random(tasks)
            after = np.where(before > 0, flips >= (margin + 0.03) / level, flips < 0.03 / level).astype(float)
        deltas = (rng.binomial(samples, after) - rng.binomial(samples, before)) / samples
        passed += noninferiority(deltas, margin=margin, alpha=0.025).outcome is Decision.PASS
    assert passed / REPEATS <= 0.025 + binomial_error(0.025)


@pytest.mark.parametrize(("margin", "alpha", "tasks"), [(0.03, 0.025, 122), (0.01, 0.05, 299), (0.1, 0.05, 29)])
def test_a_margin_needs_as_many_tasks_as_show_a_loss_of_that_share(margin: float, alpha: float, tasks: int) -> None:
    assert tasks_for_margin(margin, alpha) == tasks
    assert unseen_share(tasks, alpha) <= margin < unseen_share(tasks - 1, alpha)
    for count, outcome in ((tasks - 1, Decision.INSUFFICIENT), (tasks, Decision.PASS)):
        assert noninferiority([0.0] * count, margin=margin, alpha=alpha).outcome is outcome


def test_a_lost_domain_is_found_and_an_equal_model_loses_none() -> None:
    rng, found, false, lumps = np.random.default_rng(22), 0, 0, 0
    repeats = 400
    for _ in range(repeats):
        before = rng.beta(0.3, 0.3, (11, 40))
        first = rng.binomial(5, before) / 5
        equal = rng.binomial(5, before) / 5 - first
        bounds = group_bounds({str(n): list(row) for n, row in enumerate(equal)}, 0.025)
        false += any(one.upper < 0 for one in bounds.values())
        for kind in ("lost", "lumps"):
            after = before.copy()
            after[0] *= 0 if kind == "lost" else rng.random(40) >= 0.2
            deltas = rng.binomial(5, after) / 5 - first
            bounds = group_bounds({str(n): list(row) for n, row in enumerate(deltas)}, 0.025)
            found += kind == "lost" and bounds["0"].upper < -0.1
            lumps += kind == "lumps" and bounds["0"].lower > -0.1
    assert found / repeats > 0.95
    assert false / repeats <= 0.025 + binomial_error(0.025, repeats)
    assert lumps / repeats <= 0.025 + binomial_error(0.025, repeats)


def test_bootstrap_agrees_with_scipys_percentile_bootstrap_on_many_tasks() -> None:
    values = np.random.default_rng(2).beta(0.5, 0.5, 1500)
    ours = bootstrap_mean(values)
    theirs = stats.bootstrap(  # type: ignore[attr-defined]
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(3)
    )
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.001)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.001)


@pytest.mark.parametrize(("tasks", "level"), [(20, 0.05), (55, 0.05), (55, 0.5), (211, 0.05), (55, 0.95)])
def test_the_interval_of_a_pass_rate_covers_it_also_where_few_tasks_pass(tasks: int, level: float) -> None:
    rng = np.random.default_rng(4)
    values = rng.binomial(4, rng.beta(level * 0.3, (1 - level) * 0.3, (REPEATS, tasks))) / 4
    intervals = [share_interval(row) for row in values]
    assert all(0 <= one.low <= one.estimate <= one.high <= 1 for one in intervals)
    covered = np.mean([one.low <= level <= one.high for one in intervals])
    assert covered >= 0.95 - binomial_error(0.95)


def test_no_task_passed_says_how_many_could_have() -> None:
    theirs = proportion_confint(0, 20, alpha=0.05, method="beta")[1]  # type: ignore[no-untyped-call]
    assert share_interval([0.0] * 20).high == pytest.approx(theirs)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (9, 3), (3, 9), (30, 31), (12, 12)])
def test_mcnemar_agrees_with_statsmodels(wins: int, losses: int) -> None:
    if wins + losses == 0:
        assert mcnemar_exact(wins, losses) == 1.0
    else:
        assert mcnemar_exact(wins, losses) == pytest.approx(mcnemar([[5, wins], [losses, 5]], exact=True).pvalue)  # type: ignore[no-untyped-call]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))  # type: ignore[no-untyped-call]


def test_noninferiority_passes_where_scipys_one_sided_test_rejects() -> None:
    for seed in range(40):
        deltas = np.random.default_rng(seed).normal(0, 0.2, 80)
        ours = noninferiority(deltas, margin=0.03, pseudo_pairs=False)
        assert (ours.outcome is Decision.PASS) == (
            stats.ttest_1samp(deltas, -0.03, alternative="greater").pvalue < 0.05
        )


@pytest.mark.parametrize(("tasks", "samples"), [(20, 4), (120, 1)])
def test_t_interval_covers_a_true_difference_of_zero(tasks: int, samples: int) -> None:
    rng = np.random.default_rng(6)
    intervals = [paired_t(aa_deltas(rng, tasks, samples)) for _ in range(REPEATS)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert covered >= 0.95 - binomial_error(0.95)  # pseudo-pairs make it wider, never narrower


def test_bootstrap_interval_covers_the_mean_of_few_skewed_tasks() -> None:
    rng = np.random.default_rng(7)
    intervals = [bootstrap_mean(rng.beta(0.5, 0.5, 30), resamples=600, seed=i) for i in range(REPEATS)]
    covered = np.mean([interval.low <= 0.5 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=binomial_error(0.95) + 0.005)  # 600 resamples blur the tails a little


def test_simultaneous_intervals_cover_all_groups_at_once() -> None:
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(REPEATS):
        found = simultaneous_intervals({name: list(rng.normal(0, 0.2, 25)) for name in "abcde"}, pseudo_pairs=False)
        hits += all(interval.low <= 0 <= interval.high for interval in found.values())
    assert hits / REPEATS == pytest.approx(0.95, abs=binomial_error(0.95))


@pytest.mark.parametrize("samples", [1, 5])
def test_a_loss_of_the_margin_passes_at_most_one_time_in_twenty(samples: int) -> None:
    rng = np.random.default_rng(9)
    outcomes = [noninferiority(aa_deltas(rng, 164, samples, loss=0.05), margin=0.05).outcome for _ in range(REPEATS)]
    assert outcomes.count(Decision.PASS) / REPEATS <= 0.05 + binomial_error(0.05)


def test_an_equal_model_breaches_at_most_one_time_in_twenty() -> None:
    rng = np.random.default_rng(10)
    outcomes = [noninferiority(aa_deltas(rng, 60, 2), margin=0.001).outcome for _ in range(REPEATS)]
    assert outcomes.count(Decision.BREACH) / REPEATS <= 0.05 + binomial_error(0.05)


@pytest.mark.parametrize(("tasks", "samples", "loss"), [(164, 5, 0.0), (164, 10, 0.01), (60, 4, 0.0), (378, 5, 0.0)])
def test_power_predicts_the_simulated_pass_rate(tasks: int, samples: int, loss: float) -> None:
    rng = np.random.default_rng(11)
    draws = [aa_deltas(rng, tasks, samples, loss) for _ in range(REPEATS)]
    seen = np.mean([noninferiority(deltas, margin=0.04).outcome is Decision.PASS for deltas in draws])
    sd = float(np.sqrt(np.mean([deltas.var(ddof=1) for deltas in draws])))
    said = noninferiority_power(sd=sd, tasks=tasks, margin=0.04, true_delta=-loss)
    assert said == pytest.approx(seen, abs=binomial_error(0.5) + 0.01)


@pytest.mark.parametrize(("discordant", "pairs"), [(0.05, 344), (0.10, 687), (0.20, 1374)])
def test_tasks_needed_gives_the_textbook_number_of_pairs(discordant: float, pairs: int) -> None:
    assert tasks_needed(sd=math.sqrt(discordant), margin=0.03, pseudo_pairs=False) == pytest.approx(pairs, abs=3)
    assert tasks_needed(sd=math.sqrt(discordant), margin=0.03) > pairs


@given(st.floats(0.01, 0.9), st.floats(0.005, 0.2), st.floats(0.5, 0.99))
def test_needed_tasks_minimum_detectable_and_power_agree(sd: float, margin: float, power: float) -> None:
    tasks = tasks_needed(sd=sd, margin=margin, power=power)
    assert noninferiority_power(sd=sd, tasks=tasks, margin=margin) >= power
    assert tasks == 2 or noninferiority_power(sd=sd, tasks=tasks - 1, margin=margin) < power
    smallest = minimum_detectable(sd=sd, tasks=tasks, power=power)
    assert smallest <= margin * (1 + 1e-9)
    assert noninferiority_power(sd=sd, tasks=tasks, margin=smallest) == pytest.approx(power)


def test_same_model_sd_predicts_the_spread_of_aa_deltas() -> None:
    rng = np.random.default_rng(12)
    rates = rng.beta(0.5, 0.5, 4000)
    left, right = rng.binomial(4, rates), rng.binomial(4, rates)
    assert same_model_sd(list(left), 4) == pytest.approx(float(((right - left) / 4).std()), rel=0.05)


def test_ten_ties_prove_nothing() -> None:
    tied = noninferiority([0.0] * 10, margin=0.03)
    assert tied.outcome is Decision.INSUFFICIENT
    assert tied.lower < -0.03 < tied.upper
    without = noninferiority([0.0] * 10, margin=0.03, pseudo_pairs=False)
    assert without.outcome is Decision.INSUFFICIENT
    with pytest.raises(StatisticsError, match="all deltas are equal"):
        paired_t([0.0] * 10, pseudo_pairs=False)


def test_decisions_on_clear_cases() -> None:
    rng = np.random.default_rng(13)
    assert noninferiority(rng.normal(0, 0.05, 500), margin=0.03).outcome is Decision.PASS
    assert noninferiority(rng.normal(-0.2, 0.05, 500), margin=0.03).outcome is Decision.BREACH


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf, 0.0], [[0.1], [0.2]]])
def test_empty_or_broken_input_is_refused_everywhere(values: list[Any]) -> None:
    calls = (
        lambda: bootstrap_mean(values),
        lambda: paired_t(values),
        lambda: noninferiority(values, margin=0.03),
        lambda: share_interval(values),
        lambda: holm(values),
        lambda: same_model_sd(values, 4),
        lambda: simultaneous_intervals({"group": values}),
        lambda: group_bounds({"group": values}),
    )
    for call in calls:
        with pytest.raises(StatisticsError):
            call()


def test_unpaired_sides_are_refused() -> None:
    assert paired_deltas({"a": 0.5, "b": 0.0}, {"b": 1.0, "a": 0.25}) == [-0.25, 1.0]
    with pytest.raises(StatisticsError, match="1 tasks stand on one side only, such as 'b'"):
        paired_deltas({"a": 0.5, "b": 0.0}, {"a": 1.0})
    with pytest.raises(StatisticsError, match="no tasks"):
        paired_deltas({}, {})


def test_values_out_of_range_are_refused() -> None:
    calls = (
        lambda: paired_t([3.0, 0.0]),
        lambda: paired_t([0.1, 0.0], confidence=1.0),
        lambda: noninferiority([0.1, 0.0], margin=0.0),
        lambda: noninferiority([0.1, 0.0], margin=math.nan),
        lambda: noninferiority_power(sd=-1, tasks=10, margin=0.1),
        lambda: noninferiority_power(sd=0.1, tasks=10, margin=0.0),
        lambda: tasks_needed(sd=0.1, margin=0.03, true_delta=-0.03),
        lambda: bootstrap_mean([0.5]),
        lambda: bootstrap_mean([0.5, 0.6], resamples=1),
        lambda: mcnemar_exact(-1, 2),
        lambda: share_interval([0.5, 1.2]),
        lambda: holm([0.1, 1.2]),
        lambda: same_model_sd([1, 5], 4),
        lambda: same_model_sd([1, 1], 1),
        lambda: simultaneous_intervals({}),
        lambda: group_bounds({}),
    )
    for call in calls:
        with pytest.raises(StatisticsError):
            call()


def test_exact_shares_match_statsmodels_and_refuse_nonsense() -> None:
    for count, total in ((0, 10), (3, 10), (10, 10), (60, 100)):
        found = exact_share(count, total)
        assert (found.low, found.high) == pytest.approx(proportion_confint(count, total, method="beta"), abs=1e-9)
        assert found.estimate == count / total
    for count, total in ((0, 0), (-1, 5), (6, 5)):
        with pytest.raises(StatisticsError):
            exact_share(count, total)
