"""What is set on Bridge's model provider."""

from types import SimpleNamespace

from ssd_plugin.config.schema import ParallelConfig
from ssd_plugin.training.megatron.provider import set_parallelism, set_plain_loss


def test_experts_are_trained_by_plain_cross_entropy_alone() -> None:
    qwen = SimpleNamespace(num_moe_experts=128, moe_router_load_balancing_type="aux_loss", moe_aux_loss_coeff=1e-3)
    set_plain_loss(qwen)
    assert (qwen.moe_router_load_balancing_type, qwen.moe_aux_loss_coeff) == ("none", 0.0)
    dense = SimpleNamespace(num_moe_experts=None)
    set_plain_loss(dense)
    assert dense.calculate_per_token_loss
    assert not hasattr(dense, "moe_aux_loss_coeff")


def exchange(context: int, **provider: object) -> str | None:
    found = SimpleNamespace(**provider)
    set_parallelism(found, ParallelConfig(context=context))
    kind: str | None = found.cp_comm_type
    return kind


def test_sinks_and_sliding_windows_are_not_exchanged_by_the_ring() -> None:
    assert exchange(1) is None
    assert exchange(4) == exchange(4, softmax_type="vanilla", window_size=None) == "p2p"
    assert exchange(4, softmax_type="learnable") == exchange(4, window_size=(128, 0)) == "a2a"
