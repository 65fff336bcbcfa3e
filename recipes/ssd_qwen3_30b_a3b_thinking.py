"""Qwen3-30B-A3B-Thinking-2507 (66.1 -> 68.2 % pass@1 on LiveCodeBench v6 in the paper)."""

from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.recipes import paper


def recipe() -> RunConfig:
    """Qwen3-30B-A3B-Thinking-2507 as in arXiv:2604.01193, on one node of 8 B200."""
    return paper.recipe(
        name="ssd_qwen3_30b_a3b_thinking",
        model="Qwen/Qwen3-30B-A3B-Thinking-2507",
        sampling=DecodeConfig(temperature=1.2, top_k=20, top_p=0.95),  # paper, table of settings
        evaluation=DecodeConfig(temperature=0.7, top_k=20, top_p=0.95),  # same table
        base=DecodeConfig(temperature=0.6, top_k=20, top_p=0.95),  # paper: the model card's setting
        schedule=paper.THINKING,
        parallel=paper.MOE_30B,
    )
