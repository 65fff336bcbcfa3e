"""A reward function for TRL's GRPOTrainer (and the trainers that take the same functions).

    reward = CodeReward("tasks.jsonl")
    GRPOTrainer(model=..., reward_funcs=reward, train_dataset=Dataset.from_list(reward.rows()), ...)

The tests stay in this object: the data set carries prompts and task ids alone.
"""

from typing import Any

from ssd_plugin.errors import DataError
from ssd_plugin.grading.in_memory import GradeOptions
from ssd_plugin.integrations.rewards.batch import Rewards, Tasks, read_tasks_of


class CodeReward:
    """Called by the trainer with its completions and the data set's column `task_id`; `options` as `Rewards`."""

    def __init__(
        self, tasks: Tasks, *, partial: bool = False, thinking: bool = False, options: GradeOptions | None = None
    ) -> None:
        self._tasks = read_tasks_of(tasks)
        self._rewards = Rewards(self._tasks, partial=partial, thinking=thinking, options=options)

    def rows(self, *, conversational: bool = True) -> list[dict[str, Any]]:
        """A data set's rows: `prompt` (a user's turn, or plain text) and `task_id`."""
        return [
            {
                "prompt": [{"role": "user", "content": task.prompt}] if conversational else task.prompt,
                "task_id": task.task_id,
            }
            for task in self._tasks
        ]

    def __call__(self, completions: list[Any], **columns: Any) -> list[float]:
        """One reward for each completion: text, or a conversation whose assistant turns count.

        Raises:
            DataError: the data set has no column `task_id`, or as `Rewards.judged`.
        """
        if "task_id" not in columns:
            raise DataError("the data set has no column 'task_id'; make it of CodeReward.rows(), or add the column")
        return self._rewards(columns["task_id"], [_text(completion) for completion in completions])

    def close(self) -> None:
        """End the sandboxes."""
        self._rewards.close()


def _text(completion: Any) -> Any:
    if not isinstance(completion, list):
        return completion
    return "\n".join(str(turn["content"]) for turn in completion if turn["role"] == "assistant")
