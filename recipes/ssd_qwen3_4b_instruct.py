"""Qwen3-4B-Instruct-2507 (34.0 -> 41.5 % pass@1 on LiveCodeBench v6 in the paper)."""

from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.recipes import paper


def recipe() -> RunConfig:
    """Qwen3-4B-Instruct-2507 as in arXiv:2604.01193, on one node of 8 B200."""
    return paper.recipe(
        name="ssd_qwen3_4b_instruct",
        model="Qwen/Qwen3-4B-Instruct-2507",
        sampling=DecodeConfig(temperature=1.6, top_k=20, top_p=0.8),  # paper, table of settings
        evaluation=DecodeConfig(temperature=1.1, top_k=20, top_p=0.8),  # same table
        base=DecodeConfig(temperature=0.7, top_k=20, top_p=0.8),  # paper: the model card's setting
        schedule=paper.INSTRUCT,
        parallel=paper.DENSE,
    )
