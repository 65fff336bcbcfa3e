"""Losses against brute force in float64, against TRL 1.16.0's where those are right, and the laws that they keep."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from trl.experimental.sdpo import loss_utils as trl_losses
from trl.experimental.sdpo.sdpo_trainer import SDPOTrainer

from ssd_plugin.config.methods import DivergenceConfig, GrpoConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.training.losses import chunked
from ssd_plugin.training.losses.chunked import chunked_sum
from ssd_plugin.training.losses.divergences import divergence, entropy
from ssd_plugin.training.losses.objective import (
    Objective,
    Observed,
    States,
    Tokens,
    confidence,
    policy_loss,
    teacher_loss,
)
from ssd_plugin.training.losses.policy import clipped_policy, sampler_weight

TOKENS, VOCAB, WIDTH = 7, 11, 5
NAMED = (
    DivergenceConfig(divergence="forward_kl", support="vocabulary"),
    DivergenceConfig(divergence="reverse_kl", support="vocabulary"),
    DivergenceConfig(divergence="jsd", support="vocabulary", jsd_teacher_weight=0.5),
    DivergenceConfig(divergence="jsd", support="vocabulary", jsd_teacher_weight=0.1),
)
ALPHA = {"forward_kl": 0.0, "reverse_kl": 1.0}


def alpha(config: DivergenceConfig) -> float:
    """What TRL calls the divergence."""
    return ALPHA.get(config.divergence, config.jsd_teacher_weight)


def name(config: DivergenceConfig) -> str:
    return f"{config.divergence}-{config.jsd_teacher_weight:g}-{config.support}"


def random_logits(seed: int, *shape: int) -> torch.Tensor:
    return 2 * torch.randn(
        *(shape or (TOKENS, VOCAB)), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def random_tokens(seed: int = 9) -> torch.Tensor:
    return torch.randint(VOCAB, (TOKENS,), generator=torch.Generator().manual_seed(seed))


def by_hand(p: list[float], q: list[float], config: DivergenceConfig) -> float:
    """The definition, one outcome at a time."""

    def kl(a: list[float], b: list[float]) -> float:
        return sum(x * float(torch.log(torch.tensor(x / y, dtype=torch.float64))) for x, y in zip(a, b, strict=True))

    if config.divergence == "forward_kl":
        return kl(q, p)
    if config.divergence == "reverse_kl":
        return kl(p, q)
    w = config.jsd_teacher_weight
    mixture = [(1 - w) * x + w * y for x, y in zip(p, q, strict=True)]
    return (1 - w) * kl(p, mixture) + w * kl(q, mixture)


def value_by_hand(student: torch.Tensor, teacher: torch.Tensor, config: DivergenceConfig) -> float:
    total = 0.0
    for ours, theirs in zip(student.softmax(-1).tolist(), teacher.softmax(-1).tolist(), strict=True):
        p, q = ours, theirs
        if config.support == "top_k" and config.top_k < VOCAB:
            kept = sorted(range(VOCAB), key=lambda i: -ours[i])[: config.top_k]
            p, q = ([side[i] for i in kept] for side in (ours, theirs))
            p, q = [*p, 1 - sum(p)], [*q, 1 - sum(q)]
        total += by_hand(p, q, config)
    return total


CASES = [*NAMED, *(replace(c, support="top_k", top_k=k) for c in NAMED for k in (1, 4, VOCAB - 1, VOCAB, VOCAB + 5))]


@pytest.mark.parametrize("config", CASES, ids=lambda c: f"{name(c)}-{c.top_k}")
def test_value_and_gradient_are_those_of_the_definition(config: DivergenceConfig) -> None:
    student, teacher, tokens = random_logits(1).requires_grad_(), random_logits(2), random_tokens()
    total = divergence(student, teacher, tokens, config).sum()
    (gradient,) = torch.autograd.grad(total, student)
    assert float(total.detach()) == pytest.approx(value_by_hand(student.detach(), teacher, config), rel=1e-9)
    for row, column in itertools.product(range(TOKENS), range(VOCAB)):
        moved = []
        for step in (1e-5, -1e-5):
            other = student.detach().clone()
            other[row, column] += step
            moved.append(value_by_hand(other, teacher, config))
        assert float(gradient[row, column]) == pytest.approx((moved[0] - moved[1]) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("config", NAMED, ids=name)
def test_the_students_top_k_with_its_tail_is_never_more_than_the_whole_and_grows_to_it(
    config: DivergenceConfig,
) -> None:
    student, teacher, tokens = random_logits(3), random_logits(4), random_tokens()
    whole = divergence(student, teacher, tokens, config)
    before = torch.zeros(TOKENS, dtype=torch.float64)
    for k in range(1, VOCAB + 1):
        part = divergence(student, teacher, tokens, replace(config, support="top_k", top_k=k))
        assert (part >= before - 1e-12).all()
        before = part
    assert torch.allclose(before, whole, rtol=1e-12)


def test_logits_outside_the_top_k_get_a_gradient_through_the_tail() -> None:
    student = random_logits(1).requires_grad_()
    config = DivergenceConfig(divergence="reverse_kl", support="top_k", top_k=3)
    divergence(student, random_logits(2), random_tokens(), config).sum().backward()
    assert student.grad is not None
    assert (student.grad != 0).all()


def test_the_sampled_tokens_gradient_is_the_reverse_kls_on_average() -> None:
    config = DivergenceConfig(divergence="reverse_kl", support="vocabulary")
    sampled = replace(config, support="sampled_token")
    student, teacher = random_logits(5, 1, VOCAB).requires_grad_(), random_logits(6, 1, VOCAB)
    (exact,) = torch.autograd.grad(divergence(student, teacher, torch.tensor([0]), config).sum(), student)
    average = torch.zeros_like(exact)
    for token, probability in enumerate(student.softmax(-1)[0].tolist()):
        value = divergence(student, teacher, torch.tensor([token]), sampled).sum()
        average += probability * torch.autograd.grad(value, student)[0]
    assert torch.allclose(average, exact, atol=1e-12)


@pytest.mark.parametrize("config", [*NAMED, replace(NAMED[1], support="sampled_token")], ids=name)
def test_a_teacher_that_agrees_gives_no_loss_and_no_gradient(config: DivergenceConfig) -> None:
    student = random_logits(1).requires_grad_()
    losses = divergence(student, student.detach().clone(), random_tokens(), config)
    losses.sum().backward()
    assert student.grad is not None
    assert float(losses.detach().abs().max()) < 1e-15
    assert float(student.grad.abs().max()) < 1e-15


def test_a_jsd_near_its_end_is_no_kl() -> None:
    student, teacher, tokens = random_logits(1), random_logits(2), random_tokens()
    end = replace(NAMED[2], jsd_teacher_weight=0.001)
    share = divergence(student, teacher, tokens, end).sum() / divergence(student, teacher, tokens, NAMED[0]).sum()
    assert float(share) < 0.002


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jsd_teacher_weight": 0.0}, "jsd_teacher_weight = 0.0"),
        ({"jsd_teacher_weight": 1.0}, "choose forward_kl or reverse_kl"),
        ({"support": "sampled_token"}, "divergence = reverse_kl alone"),
        ({"top_k": 0}, "top_k = 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DivergenceConfig(**changes)


# TRL


@pytest.mark.parametrize("config", NAMED, ids=name)
def test_the_whole_vocabulary_is_trls(config: DivergenceConfig) -> None:
    student, teacher, tokens = random_logits(1), random_logits(2), random_tokens()
    theirs = trl_losses.compute_full_logit_self_distillation_loss(student, teacher, distillation_alpha=alpha(config))
    assert torch.allclose(divergence(student, teacher, tokens, config), theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("config", NAMED, ids=name)
@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_top_k_with_its_tail_is_trls(config: DivergenceConfig, k: int) -> None:
    student, teacher = random_logits(1).requires_grad_(), random_logits(2)
    ours = divergence(student, teacher, random_tokens(), replace(config, support="top_k", top_k=k))
    theirs = trl_losses.compute_topk_self_distillation_loss(
        student, teacher, distillation_topk=k, distillation_alpha=alpha(config), distillation_add_tail=True
    )
    assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    gradients = [torch.autograd.grad(losses.sum(), student)[0] for losses in (ours, theirs)]
    assert torch.allclose(*gradients, rtol=1e-10, atol=1e-12)


def test_the_sampled_token_and_the_ratios_cap_are_trls() -> None:
    student, teacher, tokens = random_logits(1), random_logits(2), random_tokens()
    config = DivergenceConfig(divergence="reverse_kl", support="sampled_token")
    theirs = trl_losses.compute_sampled_token_self_distillation_loss(student, teacher, tokens, distillation_alpha=1.0)
    assert torch.allclose(divergence(student, teacher, tokens, config), theirs, rtol=1e-12)
    now = student.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    sampler = now + torch.tensor([0, -0.5, 0.5, -5.0, 5.0, 50.0, -50.0], dtype=torch.float64)
    theirs = trl_losses.apply_importance_sampling_clipping(torch.ones(TOKENS).double(), now, sampler, 2.0)
    assert torch.equal(sampler_weight(now, sampler, 2.0), theirs)


def test_the_clipped_policy_gradient_is_trls() -> None:
    """TRL's `dapo` on one micro-batch is the mean over all tokens, which is our share of 1 over the batch's tokens."""
    logits, tokens = random_logits(1).requires_grad_(), random_tokens()
    advantages = torch.tensor([1.0, -0.5, 0.3, 0, 2, -2, 1], dtype=torch.float64)
    now = logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    before = (now + torch.linspace(-0.6, 0.6, TOKENS, dtype=torch.float64)).detach()
    stand_in: Any = type("Trainer", (), {})()
    stand_in.importance_sampling_level, stand_in.loss_type = "token", "dapo"
    stand_in.epsilon_low, stand_in.epsilon_high = 0.2, 0.28
    stand_in.model = torch.nn.Linear(1, 1)
    stand_in.accelerator = type("Accelerator", (), {"gather": staticmethod(lambda x: x)})()
    stand_in._metrics = {"train": {"self_distillation/policy_loss": []}}
    inputs = {"completion_ids": tokens[None], "completion_mask": torch.ones(1, TOKENS), "advantages": advantages[None]}
    theirs = SDPOTrainer._compute_policy_loss(stand_in, inputs | {"old_per_token_logps": before[None]}, logits[None])
    ours = clipped_policy(now, before, advantages, clip_low=0.2, clip_high=0.28).mean()
    assert float(ours) == pytest.approx(float(theirs), rel=1e-12)
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-14)


# A batch


def states(seed: int, *, grad: bool = False) -> States:
    hidden, weight = random_logits(seed, TOKENS, WIDTH), random_logits(seed + 100, VOCAB, WIDTH)
    return States(hidden=hidden.requires_grad_(grad), weight=weight.requires_grad_(grad))


def some_tokens(**changes: torch.Tensor) -> Tokens:
    value = torch.linspace(-1, 1, TOKENS, dtype=torch.float64)
    kept = {"ids": random_tokens(), "share": torch.full((TOKENS,), 1 / TOKENS, dtype=torch.float64), "value": value}
    return Tokens(**{"sampler": torch.full((TOKENS,), -2.0).double(), **kept, **changes})


def objective(**changes: Any) -> Objective:
    kept: dict[str, Any] = {"teacher": NAMED[2], "policy": GrpoConfig(), "ratio_cap": 2.0, "dtype": torch.float64}
    return Objective(**{**kept, **changes})


@pytest.mark.parametrize("elements", [1, 2 * VOCAB, 3 * VOCAB, 10**6])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_chunks_change_neither_loss_nor_gradients(
    elements: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "CHUNK_ELEMENTS", elements)
    ours, theirs, tokens, goal = states(1, grad=True), [states(2)], some_tokens(), objective(temperature=temperature)
    observed = Observed()
    total = policy_loss(ours, tokens, goal, observed) + teacher_loss(ours, theirs, tokens, goal, observed)
    gradients = torch.autograd.grad(total, (ours.hidden, ours.weight))
    logits = ours.hidden @ ours.weight.T / temperature
    now = logits.log_softmax(-1).gather(-1, tokens.ids[:, None])[:, 0]
    ratio = (now - tokens.sampler).detach().clamp(-20, 20).exp().clamp(max=2.0)
    unclipped = -(now - now.detach()).exp() * tokens.value
    whole = divergence(logits, theirs[0].hidden @ theirs[0].weight.T / temperature, tokens.ids, NAMED[2])
    naive = ((unclipped + whole * tokens.value) * ratio * tokens.share).sum()
    assert float(total) == pytest.approx(float(naive), rel=1e-12)
    for one, other in zip(gradients, torch.autograd.grad(naive, (ours.hidden, ours.weight)), strict=True):
        assert torch.allclose(one, other, atol=1e-13)
    assert observed.tokens == 2 * TOKENS
    assert observed.entropy == pytest.approx(2 * float(entropy(logits).sum()))
    assert observed.gap == pytest.approx(2 * float((now - tokens.sampler).abs().sum()))


def test_the_chunks_of_a_large_vocabulary_are_all_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(chunked, "CHUNK_ELEMENTS", 3 * VOCAB)

    def loss_of(logits: torch.Tensor, part: slice) -> torch.Tensor:
        seen.append(logits.numel())
        return logits.logsumexp(-1)

    chunked_sum(random_logits(1, 100, WIDTH), random_logits(2, VOCAB, WIDTH), loss_of, torch.float64)
    assert max(seen) == 3 * VOCAB
    assert sum(seen) == 100 * VOCAB


def test_a_mixture_of_teachers_is_log_linear() -> None:
    base, student = states(2), states(1)
    mixed = [replace(base, factor=0.25), replace(student, factor=0.75)]
    p, q = (one.hidden @ one.weight.T for one in (student, base))
    expected = (0.25 * q.log_softmax(-1) + 0.75 * p.log_softmax(-1)).log_softmax(-1)
    config = replace(NAMED[1], teacher="trust_region")
    tokens = some_tokens(value=torch.ones(TOKENS).double(), sampler=random_logits(1, TOKENS) - 50)
    goal = objective(teacher=config, ratio_cap=1.0)
    total = teacher_loss(student, mixed, tokens, goal, Observed())
    assert float(total) == pytest.approx(float(divergence(p, expected, tokens.ids, config).mean()), rel=1e-12)


def test_confidence_falls_with_the_teachers_entropy_and_is_1_without_weighting() -> None:
    teacher = states(2)
    found = confidence([teacher], objective(), 1.0)
    assert torch.allclose(found, (-entropy(teacher.hidden @ teacher.weight.T)).exp())
    assert torch.equal(confidence([teacher], objective(), 0.0), torch.ones(TOKENS).double())
    assert float((found / found.mean()).mean()) == pytest.approx(1)
