"""Kept support, entropies and the loss decomposition, against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.analysis.distributions import entropy, kept_tokens, loss_terms, restrict, temper, top_mass
from ssd_plugin.metrics.inference import FloatArray

rows = st.lists(st.floats(-6, 6), min_size=3, max_size=9)
temperatures = st.floats(0.3, 2.5)


def log_softmax(logits: list[float]) -> FloatArray:
    values = np.array([logits])
    return np.asarray(values - np.logaddexp.reduce(values, axis=1, keepdims=True))


def drawable(logits: list[float], temperature: float, top_k: int, top_p: float) -> set[int]:
    """The paper's order, spelled out: temperature, top-k, then top-p renormalised over the survivors."""
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[: top_k or None]
    weights = [math.exp((logits[i] - logits[order[0]]) / temperature) for i in order]
    kept, mass = set(), 0.0
    for token, weight in zip(order, weights, strict=True):
        if mass >= top_p:
            break
        kept.add(token)
        mass += weight / sum(weights)
    return kept


@given(st.lists(st.integers(-60, 60), min_size=3, max_size=9, unique=True), temperatures, st.integers(0, 5),
       st.sampled_from([0.31, 0.57, 0.83, 0.97]))  # fmt: skip
def test_kept_support_is_the_papers_order(raw: list[int], temperature: float, top_k: int, top_p: float) -> None:
    logits = [value / 10 for value in raw]
    order, kept = kept_tokens(log_softmax(logits), temperature, top_k, top_p)
    assert set(order[0][kept[0]]) == drawable(logits, temperature, top_k, top_p)


@given(st.data(), temperatures | st.just(1.0))
def test_the_terms_add_up_to_the_cross_entropy(data: st.DataObject, temperature: float) -> None:
    logits = data.draw(rows)
    model = log_softmax(data.draw(st.lists(st.floats(-6, 6), min_size=len(logits), max_size=len(logits))))
    base = log_softmax(logits)
    order, kept = kept_tokens(base, temperature, 4, 0.9)
    log_q = temper(restrict(np.take_along_axis(base, order, axis=1), kept)[0], temperature)
    terms = loss_terms(np.take_along_axis(model, order, axis=1), log_q, temperature)
    tokens, q = order[0], np.exp(log_q[0])
    direct = -sum(q[i] * model[0, token] for i, token in enumerate(tokens) if q[i] > 0)
    assert terms.total[0] == pytest.approx(direct, abs=1e-9)
    assert terms.support[0] == pytest.approx(-math.log(np.exp(model[0])[tokens[kept[0]]].sum()), abs=1e-9)
    assert terms.alignment[0] >= -1e-12


def test_the_base_itself_has_no_alignment_to_gain() -> None:
    base = log_softmax([2.0, 1.0, 0.5, -3.0])
    order, kept = kept_tokens(base, 1.6, 3, 0.8)
    drawable_base = np.take_along_axis(base, order, axis=1)
    log_q = temper(restrict(drawable_base, kept)[0], 1.6)
    terms = loss_terms(drawable_base, log_q, 1.6)
    assert terms.alignment[0] == pytest.approx(0, abs=1e-12)
    assert terms.support[0] > 0


def test_top_mass_is_that_of_the_likeliest_tokens() -> None:
    assert top_mass(np.log(np.array([[0.1, 0.6, 0.05, 0.25]])), 2)[0] == pytest.approx(0.85)


def test_entropy_of_known_distributions() -> None:
    assert entropy(log_softmax([0.0] * 8))[0] == pytest.approx(math.log(8))
    with np.errstate(divide="ignore"):
        certain = np.log(np.array([[1.0, 0.0, 0.0]]))
    assert entropy(certain)[0] == 0.0


def test_untruncated_temperature_one_asks_for_nothing() -> None:
    base = log_softmax([1.0, 0.2, -0.5])
    terms = loss_terms(base, base, 1.0)
    assert (terms.support[0], terms.reshaping[0]) == (pytest.approx(0, abs=1e-12), 0.0)
    assert terms.alignment[0] == pytest.approx(0, abs=1e-12)
    assert terms.total[0] == pytest.approx(entropy(base)[0])
