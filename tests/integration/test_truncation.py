"""The distribution that tokens are drawn from, against sorting the whole vocabulary."""

import pytest
import torch

from ssd_plugin.sampling.protocol import SamplingParams
from ssd_plugin.sampling.token_draw import BLOCK, NUCLEUS, draw, truncated

VOCAB = 80 * NUCLEUS  # more than NUCLEUS * WIDER: top-p has two steps to take before it needs all of it
# spreads of the logits: top-p needs most of the vocabulary, some, or a few tokens
FLAT, MIDDLING, PEAKED = 0.01, 3.0, 8.0


def logits(*spreads: float, vocab: int = VOCAB) -> torch.Tensor:
    noise = torch.randn(len(spreads), vocab, generator=torch.Generator().manual_seed(0))
    return noise * torch.tensor(spreads)[:, None]


def by_sorting(row: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """The same, over the whole vocabulary and in its order."""
    order = row.argsort(descending=True, stable=True)[: params.top_k or None]
    probabilities = (row[order].double() / params.temperature).softmax(-1)
    kept = probabilities * (probabilities.cumsum(-1) - probabilities < params.top_p)
    return torch.zeros(len(row), dtype=torch.float64).scatter(0, order, kept / kept.sum())


def settings(top_k: int, top_p: float, temperature: float = 0.7) -> SamplingParams:
    return SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, max_new_tokens=1)


@pytest.mark.parametrize("spreads", [(PEAKED, PEAKED), (FLAT, FLAT), (FLAT, PEAKED), (MIDDLING, FLAT, PEAKED)])
@pytest.mark.parametrize("vocab", [VOCAB, VOCAB + 1])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.9), (20, 0.8), (20, 1.0), (VOCAB + 1, 0.9)])
def test_it_is_what_sorting_the_vocabulary_gives(
    spreads: tuple[float, ...], vocab: int, top_k: int, top_p: float
) -> None:
    rows = logits(*spreads, vocab=vocab)
    probabilities, tokens = truncated(rows, settings(top_k, top_p))
    for row, found, order in zip(rows, probabilities, tokens, strict=True):
        whole = torch.zeros(vocab, dtype=torch.float64).index_add(0, order, found)
        torch.testing.assert_close(whole, by_sorting(row, settings(top_k, top_p)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("vocab", [VOCAB, VOCAB + 1, BLOCK - 1])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 2.0])
def test_without_truncation_draws_invert_the_whole_distribution(vocab: int, temperature: float) -> None:
    rows = logits(PEAKED, MIDDLING, FLAT, vocab=vocab)
    draws = 2000
    uniforms = ((torch.arange(draws, dtype=torch.float64) + 0.5) / draws).repeat(len(rows))
    lanes = torch.arange(len(rows)).repeat_interleave(draws)
    tokens, logprobs = draw(rows, settings(0, 1.0, temperature), uniforms, lanes)
    probabilities = (rows.double() / temperature).softmax(-1)
    end = probabilities.cumsum(-1)[lanes, tokens]
    rounding = 1e-6  # of weights in float32
    assert (uniforms <= end + rounding).all()
    assert (uniforms >= end - probabilities[lanes, tokens] - rounding).all()
    torch.testing.assert_close(logprobs, probabilities[lanes, tokens].log(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (0, 0.9), (3, 1.0)])
def test_a_draw_never_leaves_what_can_be_drawn(top_k: int, top_p: float) -> None:
    row = torch.full((1, VOCAB), -torch.inf)
    row[0, BLOCK : BLOCK + 3] = torch.tensor([0.0, 1.0, 2.0])
    last = torch.tensor([1 - 2**-53], dtype=torch.float64)
    for uniform in (torch.zeros(1, dtype=torch.float64), last):
        token, logprob = draw(row, settings(top_k, top_p), uniform, torch.tensor([0]))
        assert BLOCK <= int(token) < BLOCK + 3
        assert logprob.isfinite().all()


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.9), (20, 0.8), (0, 1.0)])
def test_a_row_does_not_depend_on_its_neighbours(top_k: int, top_p: float) -> None:
    uniforms = torch.tensor([0.3, 0.999, 0.5], dtype=torch.float64)
    rows, params = logits(PEAKED, FLAT), settings(top_k, top_p, 1.0)
    lanes = torch.tensor([0, 1, 1])
    together = draw(rows, params, uniforms, lanes)
    for index, lane in enumerate(lanes.tolist()):
        alone = draw(rows[lane : lane + 1], params, uniforms[index : index + 1], torch.tensor([0]))
        assert [part[index] for part in together] == [part[0] for part in alone]


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.9), (20, 0.8), (0, 1.0)])
def test_logits_that_are_not_finite_show_in_the_log_probability(top_k: int, top_p: float) -> None:
    rows = logits(PEAKED)
    rows[0, 7] = torch.nan
    _, logprobs = draw(rows, settings(top_k, top_p), torch.tensor([0.5], dtype=torch.float64), torch.tensor([0]))
    assert not logprobs.isfinite().any()
