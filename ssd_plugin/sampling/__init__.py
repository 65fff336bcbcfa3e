"""Completions from a model: one protocol, several engines."""

from pathlib import Path

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.sampling.protocol import Sampler


def open_sampler(model_dir: Path, engine: EngineConfig) -> Sampler:
    """Load the model into the engine that the config names.

    Raises:
        DependencyError: the engine's packages are not installed.
        ModelError: the directory holds no model the engine can load.
        SamplingError: the engine did not start.
        ResourceError: out of memory.
    """
    match engine.name:
        case "embedded":
            from ssd_plugin.sampling.embedded import EmbeddedSampler

            return EmbeddedSampler(model_dir, engine)
        case "vllm":
            from ssd_plugin.sampling.vllm import VllmSampler

            return VllmSampler(model_dir, engine)
        case "server":
            from ssd_plugin.sampling.server import ServerSampler

            return ServerSampler(model_dir, engine)
