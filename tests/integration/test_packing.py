"""Packs: no example sees another, labels are the completion's tokens alone, nothing is left out."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from transformers import AutoModelForCausalLM

from ssd_plugin.core.jsonl import write_jsonl
from ssd_plugin.training import attention, packing
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.loss import chunked_cross_entropy
from ssd_plugin.training.model import check_exact, load, pack_loss

ids = st.lists(st.integers(3, 250), min_size=1, max_size=12)
pairs = st.lists(st.tuples(ids, ids), min_size=1, max_size=6)


def examples_of(folder: Path, rows: list[tuple[list[int], list[int]]]) -> Examples:
    path = folder / "examples.jsonl"
    write_jsonl(path, ({"prompt_token_ids": p, "completion_token_ids": c} for p, c in rows))
    return Examples(path, seq_length=1000, vocabulary=300)


@given(rows=pairs)
@settings(max_examples=60, deadline=None)
def test_labels_are_exactly_the_completion_tokens(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[list[int], list[int]]]
) -> None:
    examples = examples_of(tmp_path_factory.mktemp("mask"), rows)
    pack = packing.build(examples, range(len(rows)))
    assert pack.input_ids[0].tolist() == [t for p, c in rows for t in p + c]
    assert pack.labels.tolist() == [t for _, c in rows for t in c]
    wanted = [
        s + i for s, (p, c) in zip(pack.boundaries, rows, strict=False) for i in range(len(p) - 1, len(p) + len(c) - 1)
    ]
    assert pack.label_positions.tolist() == wanted
    assert pack.position_ids[0].tolist() == [i for p, c in rows for i in range(len(p) + len(c))]


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40))
@settings(deadline=None)
def test_packs_hold_every_example_once_and_fit(lengths: list[int]) -> None:
    packs = packing.pack(range(len(lengths)), lengths, 50)
    assert sorted(itertools.chain.from_iterable(packs)) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in p) <= 50 for p in packs)
    assert len(packs) <= 2 * -(-sum(lengths) // 50)


@given(count=st.integers(1, 9), batch=st.integers(1, 7), seed=st.integers(0, 99))
@settings(deadline=None)
def test_each_epoch_takes_every_example_once(count: int, batch: int, seed: int) -> None:
    steps = packing.plan([10] * count, seed=seed, iterations=2 * count, batch=batch, capacity=25, unit="samples")
    seen = [sorted(itertools.chain.from_iterable(step)) for step in steps]
    assert all(len(step) == batch for step in seen)
    drawn = [i for step in steps for i in sorted(itertools.chain.from_iterable(step))]
    assert max(drawn.count(i) for i in range(count)) - min(drawn.count(i) for i in range(count)) <= 1
    assert steps == packing.plan(
        [10] * count, seed=seed, iterations=2 * count, batch=batch, capacity=25, unit="samples"
    )


def test_a_batch_of_packs_is_filled_in_order() -> None:
    steps = packing.plan([10, 20, 15, 5], seed=1, iterations=4, batch=2, capacity=30, unit="packs")
    assert all(len(step) == 2 for step in steps)
    assert all(sum([10, 20, 15, 5][i] for i in p) <= 30 for step in steps for p in step)


def test_packed_loss_and_gradients_are_those_of_each_example_alone(tiny_model: Path, tmp_path: Path) -> None:
    rows = [([5, 6, 7], [8, 9, 2]), ([9], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]), ([4, 4], [2])]
    examples = examples_of(tmp_path, rows)
    packed = load(tiny_model)
    loss = pack_loss(packed, packing.build(examples, [0, 1, 2]), torch.float32)
    loss.backward()  # type: ignore[no-untyped-call]
    plain = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    total = torch.zeros(())
    for prompt, completion in rows:
        logits = plain(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        total = total + functional.cross_entropy(logits, torch.tensor(completion), reduction="sum")
    total.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(packed.get_parameter(name).grad, parameter.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_one_example_does_not_change_anothers_loss(tiny_model: Path, tmp_path: Path) -> None:
    model = load(tiny_model)
    first = ([5, 6, 7], [8, 9, 10, 2])
    losses = []
    for other in ([9, 10, 11], [200, 201, 202]):
        pack = packing.build(examples_of(tmp_path, [(other, other), first]), [0, 1])
        hidden = model.base_model(
            input_ids=pack.input_ids, position_ids=pack.position_ids, pack_boundaries=pack.boundaries, use_cache=False
        ).last_hidden_state[0, 6:]
        losses.append(hidden)
    assert torch.equal(losses[0], losses[1])


def test_the_check_before_training_catches_contamination(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssd_plugin.errors import TrainingError

    model = load(tiny_llama)
    pack = packing.build(examples_of(tmp_path, [([5, 6, 7], [8, 9, 2]), ([9, 9], [10, 11, 2])]), [0, 1])
    check_exact(model, pack)
    honest = attention.packed_attention

    def leaky(*args: torch.Tensor, **kwargs: object) -> tuple[torch.Tensor, None]:
        return honest(*args, **kwargs | {"pack_boundaries": [0, args[1].shape[2]]})  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "packed_attention", leaky)
    attention.register()
    with pytest.raises(TrainingError, match="packed loss"):
        check_exact(model, pack)
    monkeypatch.undo()
    attention.register()


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_chunked_loss_is_cross_entropy(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssd_plugin.training.loss.CHUNK_ELEMENTS", 300)
    torch.manual_seed(rows)
    hidden, weight = torch.randn(rows, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    labels = torch.randint(50, (rows,))
    (chunked_cross_entropy(hidden, weight, labels, torch.float32) / 3).backward()  # type: ignore[no-untyped-call]
    ours = [hidden.grad, weight.grad]
    hidden.grad = weight.grad = None
    (functional.cross_entropy(hidden @ weight.T, labels, reduction="sum") / 3).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours[0], hidden.grad)
    torch.testing.assert_close(ours[1], weight.grad)
