"""Llama-3.1-8B-Instruct (12.7 -> 16.2 % pass@1 on LiveCodeBench v6 in the paper)."""

from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.recipes import paper


def recipe() -> RunConfig:
    """Llama-3.1-8B-Instruct as in arXiv:2604.01193, on one node of 8 B200."""
    return paper.recipe(
        name="ssd_llama31_8b_instruct",
        model="meta-llama/Llama-3.1-8B-Instruct",
        sampling=DecodeConfig(temperature=0.8, top_k=20, top_p=0.8),  # paper, table of settings
        evaluation=DecodeConfig(temperature=0.7, top_k=20, top_p=0.8),  # same table
        base=DecodeConfig(temperature=0.9, top_p=0.8),  # paper
        schedule=paper.INSTRUCT,
        parallel=paper.DENSE,
    )
