"""The Megatron backend: Megatron-Bridge's own training loop on our examples, one process a GPU."""

from ssd_plugin.training.megatron.trainer import MegatronTrainer

__all__ = ["MegatronTrainer"]
