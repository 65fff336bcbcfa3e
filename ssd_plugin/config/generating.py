"""The settings of one samples file: what `ssd generate` takes, and what a run's evaluation has under the same names."""

from dataclasses import dataclass, field

from ssd_plugin.config.schema import DecodeConfig, EngineConfig, ModelConfig
from ssd_plugin.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """A server with an OpenAI-compatible API; without `url` there is none. `key_env`: the environment variable that holds its
    key, never the key itself. `concurrency`: requests at a time."""

    url: str = ""
    key_env: str = ""
    concurrency: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= 4096:
            raise ConfigError(f"concurrency = {self.concurrency} is not allowed; allowed: 1 to 4096")
        if self.key_env and not self.key_env.isidentifier():
            # It may be the key itself, given by mistake: not repeated.
            raise ConfigError("key_env is not the name of an environment variable; name the one that holds the key")
        if self.key_env and not self.url:
            raise ConfigError("key_env goes with a server's url")


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """`samples_per_task` completions of every task by one model with one decoding config. `model.ref` is the name that the
    server has for its model where `server.url` is given; otherwise as in a run."""

    seed: int = 0
    model: ModelConfig
    engine: EngineConfig = field(default_factory=EngineConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    decode: DecodeConfig = field(default_factory=lambda: DecodeConfig(temperature=0.7))
    samples_per_task: int = 10
    max_new_tokens: int = 2048

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed = {self.seed} is not allowed; allowed: 0 to 2147483647")
        for name in ("samples_per_task", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} is not allowed; allowed: a whole number from 1")
        if self.server.url and (self.engine != EngineConfig() or self.model.revision):
            raise ConfigError("engine and model.revision do not apply to a served model; leave them out")
