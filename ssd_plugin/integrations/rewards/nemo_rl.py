"""The sandbox as an environment of NeMo RL: one turn, whose reward is the grade of the program in the answer.

    from ssd_plugin.integrations.rewards import nemo_rl
    nemo_rl.register()                      # before the run's environments are made

    env:
      ssd_code: {tasks: /data/tasks.jsonl, partial: false, workers: 0}

Each sample's `extra_env_info` is `{"task_id": ...}`.
"""

from typing import Any, NotRequired, TypedDict

import ray
import torch
from nemo_rl.distributed.ray_actor_environment_registry import ACTOR_ENVIRONMENT_REGISTRY
from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES
from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn
from nemo_rl.environments.utils import register_env

from ssd_plugin.integrations.rewards.batch import Rewards, reward_options

NAME = "ssd_code"


class Settings(TypedDict):
    """`tasks`: a task file. `partial`, `thinking`: as `Rewards`; `workers`: programs at a time, 0 for all cores."""

    tasks: str
    partial: NotRequired[bool]
    thinking: NotRequired[bool]
    workers: NotRequired[int]


class CodeEnvironment(EnvironmentInterface):
    """Grades the assistant's turns of each message log against the task that its metadata name."""

    def __init__(self, cfg: Settings) -> None:
        """Raises DataError: the tasks are malformed, or one of them has no tests."""
        self._rewards = Rewards(
            cfg["tasks"],
            partial=cfg.get("partial", False),
            thinking=cfg.get("thinking", False),
            options=reward_options(cfg.get("workers", 0)),
        )

    def step(self, message_log_batch: list[list[dict[str, Any]]], metadata: list[dict[str, Any]]) -> EnvironmentReturn:
        """One reward for each message log (float32, in their order); every episode ends. The answer tells passed or not, no more.

        Raises:
            DataError, SandboxError: as `Rewards.judged`.
        """
        answers = [
            "".join(str(turn["content"]) for turn in log if turn["role"] == "assistant") for log in message_log_batch
        ]
        rewards = self._rewards([known["task_id"] for known in metadata], answers)
        said = ("The program is not right.", "The program passes all tests.")
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": said[value == 1]} for value in rewards],
            metadata=metadata,
            next_stop_strings=[None] * len(answers),
            rewards=torch.tensor(rewards, dtype=torch.float32),
            terminateds=torch.ones(len(answers), dtype=torch.bool),
            answers=None,
        )

    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
        """The batch as it is; the mean reward and the share of programs that pass."""
        rewards = batch["rewards"].float()
        return batch, {"mean_reward": rewards.mean().item(), "pass_rate": (rewards == 1).float().mean().item()}

    def shutdown(self) -> None:
        """End the sandboxes."""
        self._rewards.close()


CodeEnvironmentActor = ray.remote(max_restarts=-1, max_task_retries=-1)(CodeEnvironment)


def register() -> None:
    """Make the environment known under `NAME`, run by the driver's own Python."""
    name = f"{__name__}.CodeEnvironmentActor"
    ACTOR_ENVIRONMENT_REGISTRY[name] = PY_EXECUTABLES.SYSTEM
    register_env(NAME, name)
