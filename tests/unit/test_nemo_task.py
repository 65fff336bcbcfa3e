"""NeMo-Run's task takes a run's settings one by one: told from its source, since NeMo-Run is in no environment of `make test`."""

import ast
import dataclasses
from pathlib import Path

from ssd_plugin.config.schema import RunConfig

SOURCE = Path(__file__).parents[2] / "ssd_plugin/integrations/nemo/task.py"


def test_the_task_takes_exactly_the_settings_of_a_run() -> None:
    functions = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.FunctionDef)]
    (task,) = (node for node in functions if node.name == "ssd_finetune")
    assert [one.arg for one in task.args.kwonlyargs] == [
        "run_dir",
        *(one.name for one in dataclasses.fields(RunConfig)),
    ]
