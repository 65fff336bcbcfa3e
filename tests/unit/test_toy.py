"""The paper's toy: the published figures, the sampled version's interval, and the mechanism itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.analysis import toy
from ssd_plugin.errors import ConfigError


def test_teacher_and_student_reach_the_published_best() -> None:
    base = toy.teacher()
    teacher, student = toy.best(base), toy.best(toy.self_distil(base, toy.T_TRAIN, toy.TRAIN_TOP_P))
    assert 100 * teacher.success == pytest.approx(8.32, abs=0.02)
    assert teacher.temperature == pytest.approx(0.639, abs=0.001)
    assert 100 * student.success == pytest.approx(13.77, abs=0.02)
    assert student.temperature == pytest.approx(2.091, abs=0.005)


def test_sampled_version_covers_the_closed_form() -> None:
    base = toy.teacher()
    teacher, student = toy.sampled()
    assert teacher.low <= toy.best(base).success <= teacher.high
    assert student.low <= toy.best(toy.self_distil(base, toy.T_TRAIN, toy.TRAIN_TOP_P)).success <= student.high
    assert teacher.high < student.low
    assert student.high - student.low < 0.005


def test_the_student_keeps_precision_where_the_teacher_lost_it() -> None:
    base = toy.teacher()
    student = toy.self_distil(base, toy.T_TRAIN, toy.TRAIN_TOP_P)
    warm = int(np.searchsorted(toy.TEMPERATURES, 2.0))
    assert toy.curves(student).precision[warm] > 0.99
    assert toy.curves(base).precision[warm] < 0.1
    assert (student.fork > 0).sum() > (student.lock > 0).sum()


def test_untruncated_training_at_temperature_one_is_a_fixed_point() -> None:
    base = toy.teacher()
    student = toy.self_distil(base, 1.0, 1.0)
    assert np.allclose(student.lock, base.lock)
    (cell,) = toy.sweep([1.0], [1.0])
    assert cell.best.success == pytest.approx(toy.best(base).success)


def test_sweep_covers_the_grid_in_order() -> None:
    cells = toy.sweep([0.8, 1.2], [0.7, 0.9, 1.0])
    assert [(c.t_train, c.top_p) for c in cells] == [(t, p) for t in (0.8, 1.2) for p in (0.7, 0.9, 1.0)]


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=16), st.floats(0.1, 4), st.floats(0.05, 1))
def test_decode_keeps_the_smallest_leading_set(weights: list[float], temperature: float, top_p: float) -> None:
    probabilities = np.array(weights) / sum(weights)
    row = toy.decode(probabilities, temperature, top_p)[0]
    tempered = probabilities ** (1 / temperature)
    tempered /= tempered.sum()
    kept = row > 0
    assert row.sum() == pytest.approx(1)
    assert tempered[kept].sum() >= top_p - 1e-9
    assert tempered[kept].sum() - tempered[kept].min() < top_p
    assert kept.all() or tempered[kept].min() >= tempered[~kept].max() - 1e-12


def test_impossible_settings_are_refused() -> None:
    for temperature, top_p in ((0.0, 0.8), (-1.0, 0.8), (1.0, 0.0), (1.0, 1.1)):
        with pytest.raises(ConfigError):
            toy.decode(toy.teacher().lock, temperature, top_p)
    with pytest.raises(ConfigError):
        toy.sampled(programs=10)
    with pytest.raises(ConfigError):
        toy.sampled(replications=1)
