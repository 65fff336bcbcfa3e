"""When a run that learns from rollouts stops by itself: nothing left to learn from, or the signs of a collapse."""

from collections.abc import Sequence

from ssd_plugin.config.methods import GuardConfig
from ssd_plugin.core.jsonl import JsonObject


def why_to_stop(log: Sequence[JsonObject], guard: GuardConfig) -> str:
    """Why the run must not go on after the log's last batch, and what to do; empty while it may."""
    last, first = log[-1], log[0]
    recent = log[-guard.batches_without_signal :]
    if len(recent) == guard.batches_without_signal and not any(row["updated"] for row in recent):
        return (
            f"nothing could be learnt from {len(recent)} batches in a row (all rewards of each group were equal, or no teacher's "
            "view could be made): choose tasks that the model passes sometimes, or raise guard.batches_without_signal"
        )
    if last["gap"] is not None and last["gap"] > guard.largest_gap:
        return (
            f"sampler and trainer disagree by {last['gap']:.3f} nats per token (guard.largest_gap = {guard.largest_gap:g}): "
            "set engine.dtype=float32, or raise guard.largest_gap"
        )
    if last["entropy"] is not None and last["entropy"] < guard.smallest_entropy:
        return (
            f"the entropy fell to {last['entropy']:.4f} nats per token (guard.smallest_entropy = "
            f"{guard.smallest_entropy:g}): lower train.max_lr or train.train_iters"
        )
    if last["length"] < guard.shortest_share * first["length"]:
        return (
            f"completions shrank from {first['length']:.0f} to {last['length']:.0f} tokens (guard.shortest_share = "
            f"{guard.shortest_share:g}): lower train.max_lr or train.train_iters"
        )
    if last["repeats"] > guard.largest_repeats:
        return (
            f"{last['repeats']:.0%} of the answers are copies of another one (guard.largest_repeats = "
            f"{guard.largest_repeats:g}): lower train.max_lr or train.train_iters"
        )
    return ""
