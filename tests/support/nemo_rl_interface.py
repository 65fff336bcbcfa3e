"""NeMo RL's published interface of an environment (its `interfaces.py` and `utils.py` of August 2026), without NeMo RL:
names, fields and abstract methods, for a test of what is called by them. Ray's decorator leaves a class as it is."""

import sys
from abc import ABC, abstractmethod
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest


class EnvironmentReturn(NamedTuple):
    """What a step returns, all batched."""

    observations: list[dict[str, str]]
    metadata: list[Any]
    next_stop_strings: list[Any]
    rewards: Any
    terminateds: Any
    answers: list[str | None] | None = None


class EnvironmentInterface(ABC):
    """What an environment must have."""

    @abstractmethod
    def step(self, message_log_batch: list[Any], metadata: list[Any]) -> EnvironmentReturn:
        """One turn of each episode."""

    @abstractmethod
    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, Any]]:
        """After all rollouts of a batch."""


def install(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Put the interface in the place of the package; returns its registries: `environments` and `actors`."""
    registries: dict[str, dict[str, str]] = {"environments": {}, "actors": {}}
    modules: dict[str, dict[str, Any]] = {
        "ray": {"remote": lambda **_: lambda kind: kind},
        "nemo_rl": {},
        "nemo_rl.distributed": {},
        "nemo_rl.distributed.ray_actor_environment_registry": {"ACTOR_ENVIRONMENT_REGISTRY": registries["actors"]},
        "nemo_rl.distributed.virtual_cluster": {"PY_EXECUTABLES": SimpleNamespace(SYSTEM="python")},
        "nemo_rl.environments": {},
        "nemo_rl.environments.interfaces": {
            "EnvironmentInterface": EnvironmentInterface,
            "EnvironmentReturn": EnvironmentReturn,
        },
        "nemo_rl.environments.utils": {"register_env": registries["environments"].__setitem__},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "ssd_plugin.integrations.rewards.nemo_rl", raising=False)
    return registries
