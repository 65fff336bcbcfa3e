"""What is loaded for every program: modules that enough of the tasks import, from a fixed list."""

from ssd_plugin.grading.preload import worth_loading
from ssd_plugin.tasks.schema import AssertCheck, FunctionCheck, Task

CALL = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))


def test_modules_that_enough_tasks_import() -> None:
    tasks = [Task(task_id=str(n), prompt="", check=CALL, reference="import math, os\n") for n in range(97)]
    dated = "def f():\n    from datetime import date\n"
    tasks += [Task(task_id=f"d{n}", prompt="", check=CALL, reference=dated) for n in range(3)]
    assert worth_loading(tasks) == ["datetime"]
    assert worth_loading(tasks[:98]) == []
    assert worth_loading([Task(task_id="p", prompt="", check=CALL, prelude="from random import *\n")]) == ["random"]


def test_numpy_for_one_suite_is_enough() -> None:
    suite = AssertCheck(entry_point="f", test="import numpy as np\n")
    assert worth_loading([Task(task_id="a", prompt="", check=suite)]) == ["numpy"]
