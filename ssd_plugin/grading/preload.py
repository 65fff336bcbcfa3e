"""Which modules are worth loading once for all programs of a run, beyond those that the zygote always has.

A module loaded in the zygote costs every program a little (its memory is part of each fork); one that is not costs the
programs that import it much more (numpy a tenth of a second, the others some milliseconds).
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence

from ssd_plugin.tasks.schema import AssertCheck, Task

_LOADABLE = frozenset({"calendar", "datetime", "decimal", "fractions", "hashlib", "random", "statistics", "tempfile"})
_LEAST_SHARE = 0.02
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)


def worth_loading(tasks: Sequence[Task]) -> list[str]:
    """Standard modules that at least 2 % of the tasks import (statement, reference, prelude, suite); numpy if any suite does."""
    users = Counter(name for task in tasks for name in _imports(task))
    found = [name for name in sorted(_LOADABLE) if users[name] > _LEAST_SHARE * len(tasks)]
    return [*found, *(["numpy"] if any("numpy" in _suite(task) for task in tasks) else [])]


def imported(tasks: Sequence[Task]) -> list[str]:
    """All that the tasks import and that is not of the standard library: what has to be there for their programs too."""
    return sorted(set().union(*map(_imports, tasks)) - sys.stdlib_module_names)


def _imports(task: Task) -> set[str]:
    return set(_IMPORT.findall("\n".join((task.prompt, task.reference, task.prelude, _suite(task)))))


def _suite(task: Task) -> str:
    return task.check.test if isinstance(task.check, AssertCheck) else ""
