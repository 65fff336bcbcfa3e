"""Wrong programs made from a right one: the yardstick for a task's inputs. Made only from the bank's own references."""

import ast
import copy
from collections.abc import Iterator

_SWAPPED_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_SWAPPED_BINARY: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Add(),
    ast.FloorDiv: ast.Mult(),
    ast.Mod: ast.FloorDiv(),
}
_CONSTANTS: tuple[object, ...] = (None, 0, 1, "", True, False, [], {})


def constant_programs(entry_point: str, first_expected: object) -> dict[str, str]:
    """Programs that ignore the task: they return a constant, the first expected value, or the first argument."""
    programs = {f"return {value!r}": f"def {entry_point}(*args):\n    return {value!r}\n" for value in _CONSTANTS}
    programs["return first argument"] = f"def {entry_point}(*args):\n    return args[0] if args else None\n"
    programs["return first expected"] = f"def {entry_point}(*args):\n    return {first_expected!r}\n"
    return programs


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Replacements for one node, each with a name."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for step in (1, -1):
            yield f"constant {node.value} to {node.value + step}", ast.Constant(node.value + step)
    elif isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            swapped = copy.deepcopy(node)
            swapped.ops[index] = _SWAPPED_COMPARE[type(operator)]()
            yield f"swapped {type(operator).__name__}", swapped
    elif isinstance(node, ast.BinOp) and type(node.op) in _SWAPPED_BINARY:
        yield f"swapped {type(node.op).__name__}", ast.BinOp(node.left, _SWAPPED_BINARY[type(node.op)], node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"dropped {type(node.op).__name__}", node.operand
    elif isinstance(node, ast.BoolOp):
        yield "swapped and/or", ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, replacement: ast.AST) -> None:
        self.target, self.replacement = target, replacement

    def visit(self, node: ast.AST) -> ast.AST:
        return self.replacement if node is self.target else self.generic_visit(node)


def mutated_programs(reference: str) -> dict[str, str]:
    """Every single-place mutation of `reference`: off by one, swapped operators, a dropped `not` or minus sign."""
    programs: dict[str, str] = {}
    count = sum(1 for _ in ast.walk(ast.parse(reference)))
    for position in range(count):
        tree = ast.parse(reference)
        target = list(ast.walk(tree))[position]
        for name, replacement in _variants(target):
            source = ast.parse(reference)
            twin = list(ast.walk(source))[position]
            mutant = ast.unparse(ast.fix_missing_locations(_Replace(twin, replacement).visit(source)))
            programs[f"line {getattr(target, 'lineno', 0)}, node {position}: {name}"] = mutant
    return programs
