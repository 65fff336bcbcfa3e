"""Fine-tuning on the model's own samples: one protocol, several backends."""

from typing import Literal

from ssd_plugin.training.protocol import Trainer


def open_trainer(backend: Literal["embedded", "megatron"]) -> Trainer:
    """The training backend that the config names.

    Raises:
        DependencyError: the backend's packages are not installed.
    """
    match backend:
        case "embedded":
            from ssd_plugin.training.embedded import EmbeddedTrainer

            return EmbeddedTrainer()
        case "megatron":
            from ssd_plugin.training.megatron import MegatronTrainer

            return MegatronTrainer()
