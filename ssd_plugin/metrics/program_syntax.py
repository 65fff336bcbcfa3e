"""What the syntax tree of a generated program shows. Programs are only ever parsed here, never run.

Parsing hostile text can exhaust the interpreter; gates run in processes of their own for that reason.
"""

import ast
import hashlib
import io
import keyword
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

_RENAMED = (ast.Name, ast.arg, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parse(program: str) -> ast.Module | None:
    """The tree, or None when the text is no Python program of this interpreter's version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(program)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def shape(program: str) -> str:
    """Digest of the program with names, docstrings and layout normalised; the text's own digest when it does not parse.

    Equal for programs that differ in identifiers of their own, comments, docstrings and formatting only.
    """
    tree = parse(program)
    if tree is None:
        return "text:" + hashlib.sha256(program.encode("utf-8", "replace")).hexdigest()
    own = _own_names(tree)
    numbers: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, _RENAMED):
            field = {"Name": "id", "arg": "arg"}.get(type(node).__name__, "name")
            name = getattr(node, field)
            if name in own:
                setattr(node, field, numbers.setdefault(name, f"v{len(numbers)}"))
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and _is_text(body[0]):
            del body[0]
    try:
        return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode("utf-8", "replace")).hexdigest()
    except RecursionError:
        return "text:" + hashlib.sha256(program.encode("utf-8", "replace")).hexdigest()


def _own_names(tree: ast.Module) -> set[str]:
    """Names that the program binds itself; renaming a builtin or an import would change its meaning."""
    own = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                own.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                own.add(name)
    return own


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Top-level module names that the program imports, with their lines; relative imports name nothing to install.

    Covers `import`, `from ... import`, and `__import__` / `import_module` called with a literal.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield alias.name.partition(".")[0], node.lineno
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0], node.lineno
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if (
                    isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                    and first.value[:1] not in ("", ".")
                ):
                    yield first.value.partition(".")[0], node.lineno


def histogram(program: str) -> Counter[str]:
    """Counts of syntax-node types, called names, imported modules and pairs of neighbouring tokens; of words when the text
    does not parse."""
    tree = parse(program)
    return Counter(f"word:{word}" for word in program.split()) if tree is None else tree_histogram(tree)


def tree_histogram(tree: ast.Module) -> Counter[str]:
    """`histogram` of a program that is parsed already."""
    counts: Counter[str] = Counter()
    for node in ast.walk(tree):
        counts[type(node).__name__] += 1
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                counts[f"call:{name}"] += 1
    counts.update(f"import:{name}" for name, _ in imports(tree))
    counts.update(f"tokens:{first} {second}" for first, second in pairwise(_tokens(tree)))
    return counts


def _tokens(tree: ast.Module) -> list[str]:
    """Keywords and operators as they are, all other tokens by their kind, from the tree's source in one layout."""
    try:
        source = io.StringIO(ast.unparse(tree))
        return [
            token.string
            if token.type == tokenize.OP or keyword.iskeyword(token.string)
            else tokenize.tok_name[token.type]
            for token in tokenize.generate_tokens(source.readline)
        ]
    except (RecursionError, ValueError, tokenize.TokenError):
        return []  # too deep, or, in Python 3.11, an f-string that has no source
