"""The headline recipe under its short name."""

import dataclasses

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.recipes import ssd_qwen3_30b_a3b_instruct


def recipe() -> RunConfig:
    """Qwen3-30B-A3B-Instruct-2507, the paper's headline model (same as ssd_qwen3_30b_a3b_instruct)."""
    return dataclasses.replace(ssd_qwen3_30b_a3b_instruct.recipe(), recipe="ssd_qwen3")
