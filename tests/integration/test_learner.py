"""The embedded learner: how a batch is split changes nothing, what teaches nothing changes nothing, and a restored one goes on
bit for bit."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from tiny_models import save_model

from ssd_plugin.config.methods import DivergenceConfig, GrpoConfig
from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.errors import TrainingError
from ssd_plugin.methods.routes import Branch
from ssd_plugin.training.embedded_learner import EmbeddedLearner, learning_rate
from ssd_plugin.training.learner import Row
from ssd_plugin.training.losses.divergences import divergence
from ssd_plugin.training.losses.objective import Objective
from ssd_plugin.training.losses.policy import clipped_policy, sampler_weight
from ssd_plugin.training.teachers import Teacher

VOCAB = 64
CONFIG = TrainConfig(
    train_iters=10, save_interval=1, max_lr=1e-3, min_lr=1e-3, seq_length=128, weight_decay=0.1, clip_grad=0.0
)
JSD = DivergenceConfig(divergence="jsd", support="top_k", top_k=20, teacher_rate=0.1)
SRPO = Objective(teacher=JSD, policy=GrpoConfig(), ratio_cap=2.0, entropy_weight=1.0)
Weights = list[torch.Tensor]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture(autouse=True)
def exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssd_plugin.training.embedded_learner.has_fast_bfloat16", lambda _: False)


def learner(model_dir: Path, objective: Objective = SRPO, **changes: Any) -> EmbeddedLearner:
    return EmbeddedLearner(model_dir, replace(CONFIG, **changes), objective)


def a_row(seed: int, branch: Branch = "teacher", **changes: Any) -> Row:
    draw = numpy.random.default_rng(seed)

    def ids(least: int, most: int) -> tuple[int, ...]:
        return tuple(int(i) for i in draw.integers(5, VOCAB, draw.integers(least, most)))

    prompt, completion = ids(3, 12), ids(4, 20)
    sampler = tuple(float(x) for x in draw.uniform(-5, -3, len(completion)))
    advantage = float(draw.uniform(-1, 1)) if branch == "policy" else 0.0
    teacher = ids(6, 20) if branch == "teacher" else ()
    row = Row(
        prompt=prompt,
        completion=completion,
        sampler=sampler,
        teacher_prompt=teacher,
        advantage=advantage,
        branch=branch,
    )
    return replace(row, **changes)


MIXED: tuple[Branch, ...] = ("teacher", "policy", "none", "policy", "teacher", "teacher")
BATCH = tuple(a_row(seed, branch) for seed, branch in enumerate(MIXED))


def weights_of(model: Any) -> Weights:
    return [parameter.detach().clone() for parameter in model.parameters()]


def gradients_of(one: EmbeddedLearner, rows: Sequence[Row]) -> tuple[float, Weights]:
    """The loss and the gradients of a batch."""
    update = one.update(rows)
    assert update.updated
    return update.loss, [parameter.grad.clone() for parameter in one.model.parameters()]


def naive(model: Any, rows: Sequence[Row], objective: Objective) -> torch.Tensor:
    """The loss by the papers' formulas: one row at a time through the model's own forward pass, whole logits, the teacher being
    the model itself."""
    model.set_attn_implementation("sdpa")
    logits_of = {}
    for index, row in enumerate(rows):
        for name, prompt in (("student", row.prompt), ("teacher", row.teacher_prompt)):
            if prompt:
                ids = torch.tensor([prompt + row.completion])
                span = slice(len(prompt) + row.skip - 1, ids.shape[1] - 1)
                logits_of[name, index] = model(input_ids=ids, use_cache=False).logits[0, span].float()
    taught = [i for i, row in enumerate(rows) if row.branch == "teacher"]
    confidence = {}
    for i in taught:
        log_probs = logits_of["teacher", i].detach().log_softmax(-1)
        confidence[i] = (objective.entropy_weight * (log_probs.exp() * log_probs).sum(-1)).exp()
    mean = torch.cat(list(confidence.values())).mean() if taught else torch.ones(())
    total, tokens = torch.zeros(()), sum(row.loss_tokens for row in rows)
    for i, row in enumerate(rows):
        if row.branch == "none":
            continue
        ids = torch.tensor(row.completion[row.skip :])
        student = logits_of["student", i]
        now = student.log_softmax(-1).gather(-1, ids[:, None])[:, 0]
        ratio = sampler_weight(now, torch.tensor(row.sampler[row.skip :]), objective.ratio_cap)
        if row.branch == "teacher":
            losses = divergence(student, logits_of["teacher", i], ids, objective.teacher) * confidence[i] / mean
        else:
            losses = clipped_policy(
                now, now.detach(), torch.full_like(now, row.advantage), clip_low=0.2, clip_high=0.28
            )
        share = 1 / tokens if objective.per == "tokens" else 1 / (row.loss_tokens * len(rows))
        total = total + (losses * ratio).sum() * share
    return total


def close(one: Weights, other: Weights) -> None:
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a, b, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("per", ["tokens", "rows"])
@pytest.mark.parametrize("entropy_weight", [0.0, 1.0])
def test_a_packed_batch_has_the_loss_and_the_gradients_of_the_formula(
    model_dir: Path, per: Any, entropy_weight: float
) -> None:
    objective = replace(SRPO, per=per, entropy_weight=entropy_weight)
    rows = [*BATCH, a_row(77, "teacher", skip=2)]
    one = learner(model_dir, objective)
    loss = naive(one.model, rows, objective)
    expected = [g.clone() for g in torch.autograd.grad(loss, list(one.model.parameters()))]
    found, gradients = gradients_of(learner(model_dir, objective), rows)
    assert found == pytest.approx(float(loss.detach()), rel=1e-4)
    close(gradients, expected)


@pytest.mark.parametrize("capacity", [40, 64, 1024])
def test_how_a_batch_is_split_into_packs_changes_nothing(model_dir: Path, capacity: int) -> None:
    loss, gradients = gradients_of(learner(model_dir, seq_length=128), BATCH)
    other_loss, other = gradients_of(learner(model_dir, seq_length=capacity), BATCH)
    assert other_loss == pytest.approx(loss, rel=1e-4)
    close(gradients, other)


def test_without_routed_rows_srpo_is_grpo_bit_for_bit(model_dir: Path) -> None:
    rows = [a_row(seed, "policy") for seed in range(5)]
    grpo = Objective(policy=GrpoConfig(), ratio_cap=2.0)
    ours, theirs = learner(model_dir, SRPO), learner(model_dir, grpo)
    for _ in range(2):
        assert ours.update(rows) == theirs.update(rows)
    assert all(map(torch.equal, weights_of(ours.model), weights_of(theirs.model)))


def same_view(row: Row) -> Row:
    return replace(row, teacher_prompt=row.prompt)


NOTHING = {
    "same view": [same_view(a_row(1)), same_view(a_row(2))],
    "no view": [a_row(1, "teacher", teacher_prompt=())],
    "no advantage": [a_row(1, "policy", advantage=0.0), a_row(2, "policy", advantage=0.0)],
    "no branch": [a_row(1, "none")],
    "shorter than what is skipped": [a_row(1, "teacher", skip=100)],
    "empty": [],
}


@pytest.mark.parametrize("rows", NOTHING.values(), ids=NOTHING)
def test_a_batch_that_teaches_nothing_changes_no_weight(model_dir: Path, rows: list[Row]) -> None:
    one = learner(model_dir)
    one.update(BATCH)  # so that AdamW has momentum, which would move the weights by itself
    before, teacher = weights_of(one.model), [t.clone() for t in one.teacher_state()]
    assert not one.update(rows).updated
    assert all(map(torch.equal, weights_of(one.model), before))
    assert all(map(torch.equal, one.teacher_state(), teacher))


def test_a_row_that_teaches_nothing_adds_no_gradient(model_dir: Path) -> None:
    """In a mean over rows it is a zero among them; its own content does not matter."""
    objective = replace(SRPO, per="rows")
    rows = [a_row(1), a_row(2, "none")]
    loss, gradients = gradients_of(learner(model_dir, objective), rows)
    other_loss, other = gradients_of(learner(model_dir, objective), [rows[0], a_row(50, "none")])
    assert loss == other_loss
    assert all(map(torch.equal, gradients, other))


@pytest.mark.parametrize("kind", ["moving_average", "trust_region", "frozen", "current"])
def test_a_restored_learner_goes_on_bit_for_bit(model_dir: Path, tmp_path: Path, kind: Any) -> None:
    objective = replace(SRPO, teacher=replace(JSD, teacher=kind))
    whole = learner(model_dir, objective)
    batches = [[a_row(10 * n + i, branch) for i, branch in enumerate(MIXED)] for n in range(4)]
    for rows in batches[:2]:
        whole.update(rows)
    whole.save(tmp_path / "state")
    expected = [whole.update(rows) for rows in batches[2:]]
    resumed = learner(model_dir, objective)
    resumed.restore(tmp_path / "state")
    assert [resumed.update(rows) for rows in batches[2:]] == expected
    assert all(map(torch.equal, weights_of(whole.model), weights_of(resumed.model)))


def test_the_exported_model_is_the_learners(model_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    one = learner(model_dir)
    one.update(BATCH)
    after = weights_of(one.model)
    one.export(tmp_path / "model")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert all(map(torch.equal, weights_of(loaded), after))


@pytest.mark.parametrize("where", ["loss", "long row"])
def test_what_cannot_be_learnt_from_is_refused_in_a_line(model_dir: Path, where: str) -> None:
    one = learner(model_dir)
    rows, message = [a_row(1)], "not finite; lower train.max_lr"
    if where == "loss":
        one.update(rows)
        with torch.no_grad():
            next(iter(one.model.parameters())).fill_(math.nan)
    else:
        rows, message = [a_row(1, completion=(7,) * 200, sampler=(-1.0,) * 200)], "does not fit train.seq_length = 128"
    with pytest.raises(TrainingError, match=message):
        one.update(rows)


# Teachers


def a_teacher(kind: Any, rate: float = 0.1, dtype: torch.dtype = torch.float32) -> tuple[Any, Teacher]:
    model = torch.nn.Linear(3, 2).to(dtype)
    return model, Teacher(model, DivergenceConfig(teacher=kind, teacher_rate=rate))


def test_the_moving_average_has_its_closed_form() -> None:
    model, teacher = a_teacher("moving_average")
    start = weights_of(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    for _ in range(25):
        teacher.follow()
    for before, found in zip(start, teacher.state(), strict=True):
        assert torch.allclose(found - before, torch.full_like(before, 1 - 0.9**25), atol=1e-6)


def test_a_small_gap_is_closed_in_float32() -> None:
    """At rate 0.01 in bfloat16 nearly all of a half-percent gap is left after 500 steps."""
    left = {}
    for dtype in (torch.float32, torch.bfloat16):
        average, target = torch.ones(1, dtype=dtype), torch.tensor([1.005], dtype=dtype)
        for _ in range(500):
            average.lerp_(target, 0.01)
        left[dtype] = float((target - average).abs() / (target - 1))
    assert left[torch.float32] < 0.01
    assert left[torch.bfloat16] > 0.9
    _, teacher = a_teacher("moving_average")
    assert {tensor.dtype for tensor in teacher.state()} == {torch.float32}


def test_only_a_moving_average_moves_and_the_models_own_weights_come_back() -> None:
    for kind in ("frozen", "trust_region", "current"):
        model, teacher = a_teacher(kind)
        start = weights_of(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        own = weights_of(model)
        teacher.follow()
        assert sum(factor for factor, _ in teacher.voices) == 1
        for _, weights in teacher.voices:
            with teacher.speaking(weights):
                assert all(map(torch.equal, weights_of(model), own if weights is None else start))
        assert all(map(torch.equal, weights_of(model), own))


def test_the_rate_rises_and_falls() -> None:
    config = replace(CONFIG, train_iters=12, warmup_iters=2, max_lr=1e-3, min_lr=1e-4)
    rates = [learning_rate(config, batch) for batch in range(12)]
    assert rates[:3] == [5e-4, 1e-3, 1e-3]
    assert rates[7] == pytest.approx(5.5e-4)
    assert rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)
    assert min(rates[2:]) > 1e-4
    assert {learning_rate(replace(config, min_lr=1e-3), batch) for batch in range(2, 12)} == {1e-3}
