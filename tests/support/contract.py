"""What our adapters call of the frameworks, by their syntax trees, and how each framework's versions define it.

`python tests/support/contract.py WHEELS` reads the wheels in that folder (`pip download --no-deps`, nothing is installed or
imported) and writes tests/data/contract.json, which tests/unit/test_contract.py holds our code against.
"""

import ast
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data/contract.json"
OURS = {
    "megatron": ("ssd_plugin/training/megatron/*.py",),
    "vllm": ("ssd_plugin/sampling/vllm.py",),
    "nemo_run": ("ssd_plugin/integrations/nemo/*.py",),
}
# Wheels that are used together; a wheel's name up to the version's end.
TOGETHER = {
    "megatron": (
        ("megatron_bridge-0.3.1", "megatron_core-0.16.1"), ("megatron_bridge-0.4.0", "megatron_core-0.17.0"),
        ("megatron_bridge-0.5.0", "megatron_core-0.18.0"), ("megatron_bridge-0.6.2", "megatron_core-0.19.2"),
    ),
    "vllm": (("vllm-0.11.0",), ("vllm-0.20.1",), ("vllm-0.33.0",)),
    "nemo_run": (("nemo_run-0.10.0",), ("nemo_run-0.11.1",)),
}  # fmt: skip
# Methods of objects whose class our code does not name where it calls them; and classes whose fields it sets.
METHODS = {
    "megatron.bridge:AutoBridge": ("from_hf_pretrained", "to_megatron_provider", "save_hf_pretrained"),
    "vllm.v1.engine.llm_engine:LLMEngine": (
        "add_request", "step", "abort_request", "get_num_unfinished_requests", "has_unfinished_requests",
    ),
}  # fmt: skip
FIELDS = {
    "megatron": ("megatron.bridge.models.gpt_provider:GPTModelProvider", "megatron.bridge.training.config:RNGConfig"),
    "vllm": ("vllm.engine.arg_utils:EngineArgs", "vllm.v1.engine.llm_engine:LLMEngine"),
    "nemo_run": (),
}
Signature = dict[str, Any]


def our_files(framework: str) -> list[Path]:
    """Our code that talks to it."""
    return [file for pattern in OURS[framework] for file in sorted(ROOT.glob(pattern))]


def imported(tree: ast.Module, framework: str) -> dict[str, tuple[str, bool]]:
    """The framework's names in a file: local name to "module:name" (or "module:"), and whether it may be missing."""
    found: dict[str, tuple[str, bool]] = {}
    optional = {n for node in ast.walk(tree) if isinstance(node, ast.Try) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == framework:
            for name in node.names:
                found[name.asname or name.name] = (f"{node.module}:{name.name}", node in optional)
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == framework:
                    found[name.asname or name.name] = (f"{name.name}:", node in optional)
    return found


def used(framework: str) -> dict[str, bool]:
    """Every name of the framework that our code imports or reads off an imported module, and whether it may be missing (in a
    `try`; and what is read off a module, which is checked where it is called)."""
    found: dict[str, bool] = dict.fromkeys(FIELDS[framework], False)
    for file in our_files(framework):
        tree = ast.parse(file.read_text())
        names = imported(tree, framework)
        for path, optional in names.values():
            if not path.endswith(":"):
                found[path] = found.get(path, True) and optional
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
                path = names[node.value.id][0]
                if not path.rpartition(":")[2][:1].isupper():  # of a module: what a class has stands with the class
                    found.setdefault(f"{path}.{node.attr}".replace(":.", ":"), True)
    return found


class Sources:
    """Python files of wheels that are used together."""

    def __init__(self, folder: Path, wheels: tuple[str, ...]) -> None:
        self._texts: dict[str, str] = {}
        self._trees: dict[str, ast.Module | None] = {}
        for wheel in wheels:
            (file,) = folder.glob(f"{wheel}-*.whl")
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if name.endswith(".py"):
                        self._texts[name] = archive.read(name).decode()

    def file(self, module: str) -> str | None:
        """The module's file."""
        plain = module.replace(".", "/")
        return next((name for name in (f"{plain}.py", f"{plain}/__init__.py") if name in self._texts), None)

    def find(self, module: str, name: str, depth: int = 0) -> tuple[str, ast.AST] | None:
        """Where a module's name is defined, through its imports: the module and the definition (or the module itself)."""
        file = self.file(module)
        if file is None or depth > 12:
            return None
        if file not in self._trees:
            self._trees[file] = ast.parse(self._texts[file])
        package = module if file.endswith("__init__.py") else module.rpartition(".")[0]
        tree = self._trees[file]
        assert tree is not None
        for node in _statements(tree.body):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
                return module, node
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                return module, node
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        origin = _absolute(package, node)
                        found = self.find(origin, alias.name, depth + 1)
                        return found or (
                            (f"{origin}.{alias.name}", tree) if self.file(f"{origin}.{alias.name}") else None
                        )
            if isinstance(node, ast.Assign) and _lazy(node, name):  # vLLM's package: {"LLM": ".entrypoints.llm:LLM"}
                origin, _, original = _lazy(node, name).lstrip(".").partition(":")
                return self.find(f"{module}.{origin}", original, depth + 1)
        return (f"{module}.{name}", tree) if self.file(f"{module}.{name}") else None

    def signature(self, path: str) -> Signature | None:
        """How "module:name" or "module:name.attribute" is called, and a class's methods; None when it is not there."""
        module, _, name = path.partition(":")
        first, _, rest = name.partition(".")
        found = self.find(module, first)
        if found and rest:
            found = self.find(found[0] if isinstance(found[1], ast.Module) else f"{found[0]}.{first}", rest)
        if found is None:
            return None
        where, node = found
        if isinstance(node, ast.ClassDef):
            return self._of_class(where, node) | {"methods": self._methods(where, node, METHODS.get(path))}
        return _of_function(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else {"any": True}

    def _bases(self, module: str, node: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
        for base in node.bases:
            found = self.find(module, base.id) if isinstance(base, ast.Name) else None
            if found and isinstance(found[1], ast.ClassDef):
                yield found[0], found[1]

    def _of_class(self, module: str, node: ast.ClassDef) -> Signature:
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                own = _of_function(statement)
                return own | {"names": own["names"][1:], "needed": own["needed"][1:]}
        known: dict[str, bool] = {}
        complete = True
        for where, base in self._bases(module, node):
            inherited = self._of_class(where, base)
            known |= {name: name in inherited["needed"] for name in inherited["names"]}
            complete = complete and not inherited["more"]
        unresolved = len(node.bases) - sum(1 for _ in self._bases(module, node))
        fields = [s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
        known |= {s.target.id: s.value is None for s in fields if isinstance(s.target, ast.Name)}
        return {
            "names": list(known),
            "needed": [name for name, needed in known.items() if needed],
            "only_named": [],
            "more": not complete or (unresolved > 0 and not fields),
        }

    def _methods(self, module: str, node: ast.ClassDef, wanted: tuple[str, ...] | None) -> dict[str, Signature]:
        found: dict[str, Signature] = {}
        for where, base in self._bases(module, node):
            found |= self._methods(where, base, wanted)
        own = [s for s in node.body if isinstance(s, ast.FunctionDef)]
        if node.name == "Callback":
            wanted = tuple(s.name for s in own)
        for method in own:
            if method.name in (wanted or ()):
                signature = _of_function(method)
                static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in method.decorator_list)
                drop = 0 if static else 1
                found[method.name] = signature | {
                    "names": signature["names"][drop:],
                    "needed": signature["needed"][drop:],
                }
        return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a module, also inside its `if` and `try`."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(node, ast.If | ast.Try):
                for part in getattr(node, inner, []):
                    yield from _statements(part.body if isinstance(part, ast.ExceptHandler) else [part])


def _absolute(package: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _lazy(node: ast.Assign, name: str) -> str:
    if isinstance(node.value, ast.Dict):
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == name and isinstance(value, ast.Constant):
                return str(value.value)
    return ""


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Signature:
    a = node.args
    names = [x.arg for x in (*a.posonlyargs, *a.args)]
    only = [x.arg for x in a.kwonlyargs]
    needed = names[: len(names) - len(a.defaults)]
    needed += [name for name, default in zip(only, a.kw_defaults, strict=True) if default is None]
    return {"names": names, "needed": needed, "only_named": only, "more": bool(a.kwarg), "rest": bool(a.vararg)}


def call_problem(signature: Signature, call: ast.Call) -> str:
    """What the definition says against a call; empty when nothing."""
    if signature.get("any"):
        return ""
    spread = any(isinstance(x, ast.Starred) for x in call.args) or any(k.arg is None for k in call.keywords)
    named = {k.arg for k in call.keywords if k.arg}
    by_place = set(signature["names"][: len(call.args)])
    unknown = sorted(named - {*signature["names"], *signature["only_named"]})
    missing = [n for n in signature["needed"] if n not in named | by_place]
    if unknown and not signature["more"]:
        return f"no parameter {', '.join(unknown)}"
    if missing and not spread:
        return f"missing {', '.join(missing)}"
    if len(call.args) > len(signature["names"]) and not signature.get("rest"):
        return f"{len(call.args)} arguments by place, {len(signature['names'])} are known"
    return ""


def main(folder: str) -> None:
    """Write the data."""
    document: dict[str, dict[str, dict[str, Signature]]] = {}
    for framework, sets in TOGETHER.items():
        names = used(framework)
        document[framework] = {}
        for wheels in sets:
            sources = Sources(Path(folder), wheels)
            found = {path: sources.signature(path) for path in sorted(names)}
            document[framework][" ".join(wheels)] = {path: s for path, s in found.items() if s is not None}
    DATA.write_text(json.dumps(document, indent=None, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
