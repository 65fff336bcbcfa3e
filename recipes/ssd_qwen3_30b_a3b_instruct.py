"""Qwen3-30B-A3B-Instruct-2507: the paper's headline model (42.4 -> 55.3 % pass@1 on LiveCodeBench v6)."""

from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.recipes import paper


def recipe() -> RunConfig:
    """Qwen3-30B-A3B-Instruct-2507 as in arXiv:2604.01193, on one node of 8 B200."""
    return paper.recipe(
        name="ssd_qwen3_30b_a3b_instruct",
        model="Qwen/Qwen3-30B-A3B-Instruct-2507",
        sampling=DecodeConfig(temperature=1.6, top_k=20, top_p=0.8),  # paper, table of settings
        evaluation=DecodeConfig(temperature=0.9, top_k=20, top_p=0.8),  # same table
        base=DecodeConfig(temperature=0.7, top_k=20, top_p=0.8),  # paper: the model card's setting
        schedule=paper.INSTRUCT,
        parallel=paper.MOE_30B,
    )
