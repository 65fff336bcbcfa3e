"""What every `Sampler` promises. An engine joins by an entry in `ENGINES`."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM, AutoTokenizer

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import SamplingError
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.protocol import Completion, Request, Sampler, SamplingParams

Open = Callable[[Path, int], Sampler]
ENGINES: dict[str, Open] = {
    "embedded": lambda path, rows: open_sampler(path, EngineConfig(name="embedded", dtype="float32", max_rows=rows)),
}
SAMPLED = SamplingParams(temperature=1.3, top_k=12, top_p=0.9, max_new_tokens=20)
GREEDY = SamplingParams(temperature=0.0, top_k=0, top_p=1.0, max_new_tokens=12)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Open:
    """Each engine in turn."""
    return ENGINES[request.param]


def make_requests(count: int, seed: int = 0) -> list[Request]:
    """Prompts of 1 to 40 random tokens; every fourth repeats the one before it."""
    rng = random.Random(seed)
    prompts: list[tuple[int, ...]] = []
    for i in range(count):
        prompts.append(prompts[-1] if i % 4 == 3 else tuple(rng.randrange(3, 250) for _ in range(rng.randrange(1, 41))))
    return [Request(request_id=f"r{i}", prompt_token_ids=p, seed=1000 + i) for i, p in enumerate(prompts)]


def run(sampler: Sampler, requests: list[Request], params: SamplingParams) -> dict[str, Completion]:
    """Completions by request; each exactly once."""
    found = list(sampler.sample(requests, params))
    assert sorted(c.request_id for c in found) == sorted(r.request_id for r in requests)
    return {c.request_id: c for c in found}


def tokens(completions: dict[str, Completion]) -> dict[str, tuple[int, ...]]:
    return {name: c.token_ids for name, c in completions.items()}


def test_greedy_is_what_transformers_generates(engine: Open, tiny_model: Path) -> None:
    requests = make_requests(9)
    found = run(engine(tiny_model, 4), requests, GREEDY)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    for request in requests:
        prompt = torch.tensor([request.prompt_token_ids])
        whole = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12)
        assert found[request.request_id].token_ids == tuple(whole[0, prompt.shape[1] :].tolist())


def test_order_batch_size_and_neighbours_do_not_matter(engine: Open, tiny_model: Path) -> None:
    requests = make_requests(13)
    sampler = engine(tiny_model, 5)
    alone = {}
    for request in requests:
        alone |= tokens(run(sampler, [request], SAMPLED))
    assert tokens(run(sampler, requests, SAMPLED)) == alone
    shuffled = random.Random(1).sample(requests, len(requests))
    assert tokens(run(engine(tiny_model, 16), shuffled, SAMPLED)) == alone
    assert len(set(alone.values())) > 9  # seeds differ, so do completions


def test_a_shared_beginning_changes_no_completion(engine: Open, tiny_model: Path) -> None:
    """Prompts that begin alike, one that is nothing but the beginning, one that stops inside it, and strangers in between:
    each gets what it gets alone, where nothing is shared."""
    rng = random.Random(4)
    head = tuple(rng.randrange(3, 250) for _ in range(24))
    tails = [tuple(rng.randrange(3, 250) for _ in range(rng.randrange(1, 12))) for _ in range(11)]
    prompts = [*(head + tail for tail in tails), head, head[:15], (5, 9), *(head + tail + (7,) for tail in tails)]
    requests = [Request(request_id=f"r{i}", prompt_token_ids=p, seed=100 + i) for i, p in enumerate(prompts)]
    alone: dict[str, Completion] = {}
    sampler = engine(tiny_model, 4)
    for request in requests:
        alone |= run(sampler, [request], SAMPLED)
    for rows, order in ((4, requests), (25, requests), (4, requests[::-1])):
        together = run(engine(tiny_model, rows), order, SAMPLED)
        assert tokens(together) == tokens(alone)
        for name, completion in together.items():
            assert completion.logprobs == pytest.approx(alone[name].logprobs, abs=1e-4)


def test_finish_reason_length_and_end_token(engine: Open, tiny_llama: Path) -> None:
    found = run(engine(tiny_llama, 16), make_requests(64), SAMPLED)
    reasons = {c.finish_reason for c in found.values()}
    assert reasons == {"stop", "length"}
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    for completion in found.values():
        stopped = completion.token_ids[-1] in (0, 2)
        assert completion.finish_reason == ("stop" if stopped else "length")
        assert not any(t in (0, 2) for t in completion.token_ids[:-1])
        assert stopped or len(completion.token_ids) == SAMPLED.max_new_tokens
        assert completion.text == tokenizer.decode(completion.token_ids, skip_special_tokens=True)


def test_logprobs_are_those_of_the_truncated_distribution(engine: Open, tiny_model: Path) -> None:
    requests = make_requests(6)
    found = run(engine(tiny_model, 4), requests, SAMPLED)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    for request in requests:
        completion = found[request.request_id]
        if completion.logprobs is None:
            pytest.skip("this engine has no log-probabilities")
        ids = torch.tensor([[*request.prompt_token_ids, *completion.token_ids]])
        with torch.no_grad():
            logits = model(ids).logits[0, len(request.prompt_token_ids) - 1 : -1].double()
        for row, token, logprob in zip(logits, completion.token_ids, completion.logprobs, strict=True):
            assert reference_distribution(row, SAMPLED)[token].log().item() == pytest.approx(logprob, abs=1e-3)


def reference_distribution(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """The paper's order, written out: temperature, top-k, softmax over the survivors, smallest set that reaches top-p."""
    ranked = sorted(range(len(logits)), key=lambda i: -float(logits[i]))[: params.top_k or None]
    weights = torch.softmax(logits[ranked] / params.temperature, 0)
    kept, mass = [], 0.0
    for index, weight in zip(ranked, weights.tolist(), strict=True):
        if mass >= params.top_p:
            break
        kept.append((index, weight))
        mass += weight
    result = torch.zeros(len(logits), dtype=torch.float64)
    for index, weight in kept:
        result[index] = weight / mass
    return result


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0.7, top_k=0, top_p=1.0, max_new_tokens=1),
        SamplingParams(temperature=1.5, top_k=8, top_p=1.0, max_new_tokens=1),
        SamplingParams(temperature=1.0, top_k=0, top_p=0.7, max_new_tokens=1),
        SamplingParams(temperature=1.5, top_k=20, top_p=0.8, max_new_tokens=1),
    ],
)
def test_draws_follow_the_distribution(engine: Open, tiny_llama: Path, params: SamplingParams) -> None:
    prompt = (5, 9, 77, 31)
    requests = [Request(request_id=str(i), prompt_token_ids=prompt, seed=i) for i in range(4000)]
    drawn = [c.token_ids[0] for c in engine(tiny_llama, 500).sample(requests, params)]
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    with torch.no_grad():
        expected = reference_distribution(model(torch.tensor([prompt])).logits[0, -1].double(), params) * len(drawn)
    assert all(expected[t] > 0 for t in drawn)
    counts = torch.bincount(torch.tensor(drawn), minlength=len(expected)).double()
    common = expected >= 5
    rare = torch.stack([counts[~common].sum(), expected[~common].sum()])
    observed, wanted = [*counts[common].tolist(), rare[0].item()], [*expected[common].tolist(), rare[1].item()]
    if wanted[-1] == 0:
        observed, wanted = observed[:-1], wanted[:-1]
    assert chisquare(observed, wanted).pvalue > 1e-3


def test_a_prompt_that_fills_the_context_is_named(engine: Open, tiny_llama: Path) -> None:
    requests = [*make_requests(3), Request(request_id="too-long", prompt_token_ids=(5,) * 256, seed=1)]
    with pytest.raises(SamplingError, match="too-long"):
        list(engine(tiny_llama, 4).sample(requests, SAMPLED))


def test_a_prompt_near_the_context_gets_what_room_there_is(engine: Open, tiny_llama: Path) -> None:
    request = Request(request_id="long", prompt_token_ids=(5,) * 250, seed=1)
    completion = run(engine(tiny_llama, 4), [request], SAMPLED)["long"]
    assert len(completion.token_ids) <= 6


def test_no_requests_give_no_completions(engine: Open, tiny_llama: Path) -> None:
    assert list(engine(tiny_llama, 4).sample([], SAMPLED)) == []


def test_requests_are_streamed(engine: Open, tiny_llama: Path) -> None:
    taken = 0

    def endless() -> Iterator[Request]:
        nonlocal taken
        while True:
            taken += 1
            yield Request(request_id=str(taken), prompt_token_ids=(5, 6), seed=taken)

    stream = engine(tiny_llama, 4).sample(endless(), SAMPLED)
    for _ in range(50):
        next(stream)
    assert taken <= 200
