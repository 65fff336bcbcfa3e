"""The distribution that tokens are drawn from, against sorting the whole vocabulary."""

import pytest
import torch

from ssd_plugin.sampling.protocol import SamplingParams
from ssd_plugin.sampling.truncation import NUCLEUS, draw, truncated

VOCAB = 4 * NUCLEUS
FLAT, PEAKED = 0.01, 8.0  # spreads of the logits: top-p needs most of the vocabulary, or a few tokens


def logits(*spreads: float) -> torch.Tensor:
    noise = torch.randn(len(spreads), VOCAB, generator=torch.Generator().manual_seed(0))
    return noise * torch.tensor(spreads)[:, None]


def by_sorting(row: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """The same, over the whole vocabulary and in its order."""
    order = row.argsort(descending=True, stable=True)[: params.top_k or None]
    probabilities = (row[order].double() / params.temperature).softmax(-1)
    kept = probabilities * (probabilities.cumsum(-1) - probabilities < params.top_p)
    return torch.zeros(VOCAB, dtype=torch.float64).scatter(0, order, kept / kept.sum())


@pytest.mark.parametrize("spreads", [(PEAKED, PEAKED), (FLAT, FLAT), (FLAT, PEAKED)])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.9), (20, 0.8), (20, 1.0), (0, 1.0), (VOCAB, 0.9)])
def test_it_is_what_sorting_the_vocabulary_gives(spreads: tuple[float, float], top_k: int, top_p: float) -> None:
    params = SamplingParams(temperature=0.7, top_k=top_k, top_p=top_p, max_new_tokens=1)
    rows = logits(*spreads)
    probabilities, tokens = truncated(rows, params)
    for row, found, order in zip(rows, probabilities, tokens, strict=True):
        whole = torch.zeros(VOCAB, dtype=torch.float64).index_add(0, order, found)
        torch.testing.assert_close(whole, by_sorting(row, params), rtol=1e-12, atol=1e-15)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    params = SamplingParams(temperature=1.0, top_k=0, top_p=0.9, max_new_tokens=1)
    uniforms = torch.tensor([0.3, 0.999], dtype=torch.float64)
    rows = logits(PEAKED, FLAT)
    together = draw(rows, params, uniforms)
    for index in range(2):
        alone = draw(rows[index : index + 1], params, uniforms[index : index + 1])
        assert [part[index] for part in together] == [part[0] for part in alone]
