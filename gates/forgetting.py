"""Instructions that a program can verify in every answer: name and parameters as asked, what the prompt forbids or demands.

Fine-tuning on code alone tends to cost obedience first; tests see it only where disobedience breaks them.
"""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ssd_plugin.gating.gate import Gate, GateContext, Margin, Side
from ssd_plugin.gating.paired import compare, conclude, refuse
from ssd_plugin.gating.verdict import Finding, GateResult, GateStatus
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.metrics import program_syntax as syntax
from ssd_plugin.tasks.schema import StdioCheck, Task


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`margin`: tolerated loss of the share of samples that obey everything their prompt asks."""

    margin: Margin = 0.04


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, taken apart once."""

    completion: str
    functions: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]
    called: frozenset[str]
    has_imports: bool

    def named(self, name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """The functions of that name."""
        return [function for function in self.functions if function.name == name]


Instruction = tuple[str, Callable[[Answer], bool]]  # what was asked, and whether an answer obeys


def _take_apart(completion: str, program: str) -> Answer | None:
    tree = syntax.parse(program)
    if tree is None or not program.strip():
        return None
    nodes = list(ast.walk(tree))
    return Answer(
        completion=completion,
        functions=tuple(node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)),
        called=frozenset(n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)),
        has_imports=any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes),
    )


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [argument.arg for argument in function.args.args if argument.arg != "self"]


def _asked_parameters(text: str, name: str) -> list[str] | None:
    """Parameter names of `def name(...)` as the prompt writes it; None when it does not."""
    match = re.search(rf"def\s+{re.escape(name)}\s*(\([^()]*(?:\([^()]*\)[^()]*)*\))", text)
    answer = _take_apart("", f"def f{match[1]}: pass") if match else None
    return _parameters(answer.functions[0]) if answer else None


def _only_code(answer: Answer) -> bool:
    text = answer.completion.strip()
    return syntax.parse(text) is not None or (
        text.startswith("```") and text.endswith("```") and text.count("```") == 2
    )


def _type_hints(answer: Answer) -> bool:
    return any(f.returns or any(argument.annotation for argument in f.args.args) for f in answer.functions)


_PHRASES: tuple[tuple[str, str, Callable[[Answer], bool]], ...] = (
    (
        r"\bcode block\b|\bfenced\b|wrap .{0,30}in ```",
        "a fenced code block",
        lambda one: one.completion.count("```") >= 2,
    ),
    (r"\bonly (?:the )?code\b|\bno explanations?\b|\bwithout (?:any )?explanation", "nothing but code", _only_code),
    (
        r"\bno imports?\b|\bwithout (?:any )?import|\b(?:do not|don't) import",
        "no imports",
        lambda one: not one.has_imports,
    ),
    (r"\btype (?:hints?|annotations?)\b", "type hints", _type_hints),
    (
        r"\b(?:add|include|with|write) a docstring\b",
        "a docstring",
        lambda one: any(map(ast.get_docstring, one.functions)),
    ),
)


def instructions(task: Task) -> list[Instruction]:
    """What the task's prompt asks that can be verified in the text of an answer."""
    asked: list[Instruction] = []
    text = f"{task.prompt}\n{task.starter_code}"
    if task.check is not None and not isinstance(task.check, StdioCheck):
        name = task.check.entry_point.rpartition(".")[2]
        asked.append((f"define {name}", lambda one: bool(one.named(name))))
        wanted = _asked_parameters(text, name)
        if wanted is not None:
            has = f"parameters ({', '.join(wanted)})"
            asked.append((has, lambda one: any(_parameters(function) == wanted for function in one.named(name))))
        asked.append(("no input() in a function task", lambda one: "input" not in one.called))
    asked += [(what, obeys) for pattern, what, obeys in _PHRASES if re.search(pattern, text, re.IGNORECASE)]
    return asked


def _broken(completion: str, program: str, asked: Sequence[Instruction]) -> list[str]:
    answer = _take_apart(completion, program)
    return ["a program"] if answer is None else [what for what, obeys in asked if not obeys(answer)]


def _broken_by_row(context: GateContext, side: Side, asked: dict[str, list[Instruction]]) -> dict[str, list[list[str]]]:
    """By task that asks something: what each sample does not follow."""
    return {
        task: [
            context.memo.once(
                f"forgetting {task} {row.completion}\0{row.program}",
                partial(_broken, row.completion, row.program, asked[task]),
            )
            for row in rows
        ]
        for task, rows in side.by_task.items()
        if asked.get(task)
    }


def check(context: GateContext, settings: Settings) -> GateResult:
    """Share of samples that obey all, paired, over the tasks that ask something."""
    asked = {task.task_id: instructions(task) for task in context.tasks}
    if not any(asked.values()):
        return refuse("forgetting", GateStatus.INSUFFICIENT, "no prompt asks anything that can be verified in the text")
    broken = [_broken_by_row(context, side, asked) for side in (context.baseline, context.candidate)]
    before, after = ({task: sum(not one for one in rows) / len(rows) for task, rows in side.items()} for side in broken)
    figure = compare(
        "samples that follow their instructions", before, after, margin=settings.margin, alpha=context.alpha
    )
    findings = [
        Finding(
            tool="forgetting",
            rule="instruction",
            level="note",
            message=f"does not follow: {', '.join(missed)}",
            task_id=row.task_id,
            sample_id=row.sample_id,
        )
        for task, rows in broken[1].items()
        for row, missed in zip(context.candidate.by_task[task], rows, strict=True)
        if missed
    ]
    return conclude("forgetting", [figure], findings)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "answers follow the instructions in their prompts as often as the baseline's"
    return [Gate(name="forgetting", summary=summary, needs="results", settings=Settings, check=check)]
