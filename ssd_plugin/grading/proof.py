"""Whether a suite checks anything: it has to fail wrong programs that are planted for it.

A suite whose test functions nobody calls, or whose assertions stand behind a guard, passes every program. What is planted:
the entry point returns None, returns a text that no task asks for, raises, and gives the reference's result changed. Only a
suite that fails them all is believed, but where the reference itself gives only None or has to raise, the plant that does the
same says nothing.
"""

import textwrap

from ssd_plugin.grading.judge import judge
from ssd_plugin.grading.literal_suite import literal_suite
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.schema import AssertCheck, Status, Task

_BODIES = {
    "returns None": "return None",
    "returns a text that was not asked for": "return 'planted: no answer'",
    "raises": "raise PlantedError('planted')",
    "gives the reference's result changed": """
        value = planted_right(*arguments, **keywords)
        if isinstance(value, bool):
            return not value
        if isinstance(value, (int, float, complex)):
            other = value + abs(value) + 1
            return other if other == other != value else 0
        for more in ('planted', ['planted'], ('planted',)):
            if type(value) is type(more):
                return more + value + more
        return {'planted': 0}
        """,
}
_NONE, _, _RAISES, _CHANGED = _BODIES
_ONLY_NONE = "if planted_right(*arguments, **keywords) is not None: raise PlantedError('planted')"
_SWALLOWED = """
    try:
        return planted_right(*arguments, **keywords)
    except Exception:
        return None
    """


def lacks_proof(task: Task, limits: Limits, worker: Worker) -> str:
    """Why the task's suite is not believed, in a line; empty where it is, or where the task has no suite to be run.

    `limits`: enough for the reference; a planted program that runs out of time does not pass.

    Raises:
        SandboxError: the sandbox failed.
    """
    check = task.check
    if not isinstance(check, AssertCheck) or (not check.beside and literal_suite(check.test, check.entry_point)):
        return ""

    def passes(body: str) -> bool:
        return judge(worker, task, _planted(task, check.entry_point, body), limits).status is Status.PASS

    passed = [name for name, body in _BODIES.items() if (task.reference or name != _CHANGED) and passes(body)]
    if task.reference and (
        (passed in ([_CHANGED], [_NONE]) and passes(_ONLY_NONE)) or (passed == [_RAISES] and not passes(_SWALLOWED))
    ):
        return ""
    return f"its suite checks nothing that counts: it does not fail a program that {passed[0]}" if passed else ""


def _planted(task: Task, entry_point: str, body: str) -> str:
    """The reference, so that whatever else the suite uses is there, with the entry point replaced."""
    owner, _, name = entry_point.rpartition(".")
    head = f"def {name}({'self, ' if owner else ''}*arguments, **keywords):\n"
    function = head + textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"
    right = f"planted_right = {f'{owner}().{name}' if owner else name}\n" if task.reference else ""
    if owner:
        function = f"class {owner}:\n" + textwrap.indent(function, "    ")
    return f"{task.reference}\nclass PlantedError(Exception):\n    pass\n{right}{function}"
