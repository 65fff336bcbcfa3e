"""The parabola against statsmodels; the optimism of a choice against a simulation whose truth is known."""

import math

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from ssd_plugin.errors import StatisticsError
from ssd_plugin.metrics.decoding_choice import quadratic_fit, selection_optimism


def test_quadratic_fit_is_statsmodels_least_squares() -> None:
    rng = np.random.default_rng(14)
    x = rng.uniform(0.3, 2.0, 25)
    y = 0.3 + 0.5 * x - 0.2 * x**2 + rng.normal(0, 0.02, 25)
    ours = quadratic_fit(x, y)
    theirs = OLS(y, np.vander(x, 3, increasing=True)).fit()  # type: ignore[no-untyped-call]
    assert ours.coefficients == pytest.approx(tuple(theirs.params))
    assert ours.r_squared == pytest.approx(theirs.rsquared)
    assert ours.peak == pytest.approx(-theirs.params[1] / (2 * theirs.params[2]))
    assert quadratic_fit(x, -y).peak is None


def test_selection_optimism_is_what_equal_settings_gain_by_being_chosen_from() -> None:
    """Eight settings of the same true rates: the best looks better than it is by as much as is estimated."""
    rng = np.random.default_rng(15)
    said, true = [], []
    for repeat in range(400):
        rates = rng.beta(0.5, 0.5, 100)
        draws = rng.binomial(2, np.tile(rates, (8, 1))) / 2
        found = selection_optimism(draws, resamples=200, seed=repeat)
        said.append(found.optimism)
        true.append(found.apparent - rates.mean())
    error = math.hypot(np.std(said), np.std(true)) / math.sqrt(len(said))
    assert np.mean(true) > 0.02
    assert np.mean(said) == pytest.approx(np.mean(true), abs=3.5 * error)


def test_a_setting_far_ahead_is_chosen_without_optimism() -> None:
    rng = np.random.default_rng(16)
    rates = np.vstack([rng.binomial(4, 0.3, 200), rng.binomial(4, 0.8, 200)]) / 4
    found = selection_optimism(rates)
    assert found.stability == 1.0
    assert found.optimism == pytest.approx(0, abs=0.003)
    assert found.apparent == pytest.approx(rates[1].mean())


@pytest.mark.parametrize("shape", [(0, 20), (3, 9), (20,)])
def test_choices_that_nothing_can_be_said_about_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StatisticsError, match="ten tasks or more"):
        selection_optimism(np.zeros(shape))


def test_a_parabola_through_three_points_is_no_fit() -> None:
    for xs, ys in (([1.0, 2, 3], [1.0, 2, 1]), ([1.0, 1, 2, 2], [1.0, 2, 1, 3]), ([1.0, 2, 3, 4], [0.5] * 4)):
        with pytest.raises(StatisticsError, match="four points or more"):
            quadratic_fit(xs, ys)
