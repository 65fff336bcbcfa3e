"""What a piece of Python says about itself, read from its syntax tree alone: what it defines, needs, runs and reads."""

import ast
import builtins
import functools
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_BUILT_IN = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_DANGEROUS = frozenset(
    {"eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "delattr", "globals", "locals", "vars"}
)
_READS_INPUT = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0\b|\bfileinput\b")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)


def parse(source: str) -> tuple[ast.Module | None, int]:
    """The tree, or None and the line (from 1) where parsing stopped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source), 0
    except SyntaxError as error:
        return None, max(error.lineno or 1, 1)
    except (ValueError, MemoryError, RecursionError):
        return None, 1


def is_idle(statement: ast.stmt) -> bool:
    """Whether a statement could be a word of prose: it names, compares or annotates, and calls nothing."""
    match statement:
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()):
            return False
        case ast.Expr() | ast.AnnAssign(value=None):
            return True
    return False


def does_something(tree: ast.Module) -> bool:
    """Prose can parse ("Hello", "x"); code assigns, defines, imports, calls or branches."""
    return not all(map(is_idle, tree.body))


def is_stub(statement: ast.stmt) -> bool:
    """Whether a function says nothing but its signature, its docstring and that it is not written yet."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return all(is_idle(line) or isinstance(line, ast.Pass | ast.Raise) for line in statement.body)


def bound(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value to where it stands."""
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, _IMPORTS):
        return {(name.asname or name.name).partition(".")[0] for name in statement.names}
    inner = [line for block in ("body", "orelse", "finalbody") for line in getattr(statement, block, [])]
    inner += [line for handler in getattr(statement, "handlers", []) for line in handler.body]
    stored = {n.id for n in _outside(statement, inner) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored.union(*map(bound, inner))


def _outside(statement: ast.stmt, inner: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes of a statement without those of the statements in it."""
    skipped, waiting = set(map(id, inner)), [statement]
    while waiting:
        node: ast.AST = waiting.pop()
        yield node
        waiting += [child for child in ast.iter_child_nodes(node) if id(child) not in skipped]  # type: ignore[misc]


def mentioned(node: ast.AST) -> set[str]:
    """The names that are read anywhere in it."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def without(source: str, statements: list[ast.stmt]) -> str:
    """The source without these top-level statements; one that shares a line with another stays."""
    if not statements:
        return source
    lines = source.split("\n")
    for statement in statements:
        if _stands_alone(statement, lines):
            first, last = _lines(statement)
            lines[first:last] = [""] * (last - first)
    return "\n".join(lines).strip("\n") + "\n"


def _stands_alone(statement: ast.stmt, lines: list[str]) -> bool:
    end = lines[(statement.end_lineno or 1) - 1].encode()[statement.end_col_offset :].strip()
    return statement.col_offset == 0 and (not end or end.startswith(b"#"))


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """The lines of a statement, from 0, its decorators among them: first, and one after the last."""
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    return first - 1, statement.end_lineno or first


def _is_definition(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None
    return isinstance(statement, (*_DEFINITIONS, *_IMPORTS, ast.Assign))


@dataclass(frozen=True)
class Piece:
    """A block or a run of lines, as one candidate for the program."""

    source: str

    @functools.cached_property
    def tree(self) -> ast.Module | None:
        return parse(self.source)[0]

    @functools.cached_property
    def binds(self) -> frozenset[str]:
        """What it defines at its top level."""
        return frozenset().union(*map(bound, self.tree.body)) if self.tree else frozenset()

    @functools.cached_property
    def needs(self) -> frozenset[str]:
        """The names that it reads and gives no value to, and that are not built in."""
        if not self.tree:
            return frozenset()
        given = set(self.binds)
        for node in ast.walk(self.tree):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    given.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    given.add(name)
                case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    given.add(name)
                case ast.alias(name=name, asname=other):
                    given.add((other or name).partition(".")[0])
        return frozenset(mentioned(self.tree) - given - _BUILT_IN)

    def defines(self, name: str) -> bool:
        """Whether it gives `name` a body or a value of its own: not an import, and not a stub."""
        if self.tree is None:
            written = rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{re.escape(name)}\b|^{re.escape(name)}[ \t]*="
            return re.search(written, self.source, re.MULTILINE) is not None
        return any(
            name in bound(line) and not isinstance(line, _IMPORTS) and not is_stub(line) for line in self.tree.body
        )

    @property
    def reads_input(self) -> bool:
        return _READS_INPUT.search(self.source) is not None

    @property
    def is_program(self) -> bool:
        """Whether it reads its input and runs something, and not only defines what would."""
        runs = self.tree is not None and not all(
            isinstance(line, (*_DEFINITIONS, *_IMPORTS)) or is_idle(line) for line in self.tree.body
        )
        return runs and self.reads_input

    @property
    def returns(self) -> bool:
        """Whether it returns outside any function: it can only be the rest of one."""
        waiting: list[ast.AST] = [self.tree] if self.tree else []
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom):
                return True
            waiting += [n for n in ast.iter_child_nodes(node) if not isinstance(n, (*_DEFINITIONS, ast.Lambda))]
        return False

    def definitions(self) -> str:
        """Its imports, definitions and assignments alone."""
        rest = [line for line in self.tree.body if not _is_definition(line)] if self.tree else []
        return without(self.source, rest)

    def without_idle(self) -> str:
        """The source without words of prose between its statements; docstrings stay."""
        body = self.tree.body if self.tree else []
        idle = [s for s in body if is_idle(s) and not isinstance(getattr(s, "value", None), ast.Constant | None)]
        return without(self.source, [*idle, *(s for s in body if isinstance(s, ast.AnnAssign) and s.value is None)])

    def without_examples(self, entry_point: str) -> str:
        """The source without what shows or checks the function once it stands: top-level statements that use it (and do not
        give it a new value), calls of functions that use it, assertions, what uses the results of those, and the assignments
        that only those read. One that reaches for a module, or for a
        built-in function that reaches further than plain data, stays: whoever scans the program must see it."""
        body = self.tree.body if self.tree else []
        hidden = _DANGEROUS.union(*(bound(line) for line in body if isinstance(line, _IMPORTS)))
        plain = [line for line in body if not hidden & mentioned(line)]
        examples = _examples(body, plain, entry_point)
        if not examples:
            return self.source
        read, given = set().union(*map(mentioned, examples)), set(map(id, examples))
        uses = Counter(name for line in body if id(line) not in given for name in _from_outside(line))
        for line in reversed(plain):
            names = bound(line)
            if isinstance(line, ast.Assign) and names <= read - {entry_point} and not any(uses[name] for name in names):
                examples.append(line)
                read |= mentioned(line)
                uses.subtract(_from_outside(line))
        return without(self.source, examples)


def _from_outside(statement: ast.stmt) -> set[str]:
    """The names that a statement reads and does not give a value to itself, its parameters among them."""
    if not isinstance(statement, _DEFINITIONS):
        return mentioned(statement)
    given = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return mentioned(statement) - given - {n.arg for n in ast.walk(statement) if isinstance(n, ast.arg)}


def _examples(body: list[ast.stmt], plain: list[ast.stmt], entry_point: str) -> list[ast.stmt]:
    """The statements among `plain` that show or check the function, and those that need what they leave; none at all where
    something that stays needs it."""
    users, usable = _users(body, entry_point), set(map(id, plain))
    givers = Counter(name for line in body for name in bound(line))
    found = [line for line in plain if _is_example(line, users, entry_point)]
    givers.subtract(name for line in found for name in bound(line))
    given = set(map(id, found))
    for line in body:  # once, from top to bottom, as it runs
        needs = _from_outside(line)
        if id(line) in given or not any(name in givers and not givers[name] for name in needs):
            continue
        if id(line) not in usable or isinstance(line, (*_DEFINITIONS, *_IMPORTS)):
            return []
        found.append(line)
        given.add(id(line))
        givers.subtract(bound(line))
    return found


def _users(body: list[ast.stmt], entry_point: str) -> set[str]:
    """The functions that use the entry point, by themselves or through others, and that it does not use itself."""
    functions = {line.name: mentioned(line) for line in body if isinstance(line, _DEFINITIONS)}
    needed = _reached({name: functions[name] & functions.keys() for name in functions}, entry_point)
    callers: dict[str, set[str]] = {}
    for function, names in functions.items():
        for name in names & {*functions, entry_point}:
            callers.setdefault(name, set()).add(function)
    return _reached(callers, entry_point) - needed - {entry_point}


def _reached(edges: dict[str, set[str]], start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = edges.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _is_example(statement: ast.stmt, users: set[str], entry_point: str) -> bool:
    if isinstance(statement, ast.Assert):
        return True
    if isinstance(statement, (*_DEFINITIONS, *_IMPORTS)):
        return False
    read = mentioned(statement)
    if isinstance(statement, ast.Expr) and read & users:
        return True
    return entry_point in read and entry_point not in bound(statement)
