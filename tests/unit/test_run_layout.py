"""One module spells the paths of a run directory; this reads every other one's text literals by syntax tree."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssd_plugin.core import run_layout

ROOT = Path(__file__).parents[2]
LAYOUT = ROOT / "ssd_plugin/core/run_layout.py"
SOURCES = sorted(
    path for part in ("ssd_plugin", "gates", "hooks") for path in (ROOT / part).rglob("*.py") if path != LAYOUT
)

PATHS = {value for name, value in vars(run_layout).items() if name.isupper() and isinstance(value, str)}
FOLDERS = {path.partition("/")[0] for path in PATHS if "/" in path} | {"rounds", "tracking", run_layout.CELLS}
FILES = {path.rpartition("/")[2] for path in PATHS if "." in path}
INSIDE = re.compile(rf"(.*/)?({'|'.join(sorted(FOLDERS))})/[\w*.]*")

# Models have a file of this name too, and so has a gate's output outside of any run.
MODELS = {"gating", "models", "planning", "training"}
OTHER_FILES = {
    "config.json": MODELS,
    "tokenizer.json": MODELS,
    "results.jsonl": {"harnesses"},  # in another harness' bundle
    "summary.md": {"trust"},  # of a gate run's evidence
}
METRICS = {"select/t_eval", "filter/kept", "filter/total", "train/"}  # as `integrations/tracking/figures.py` names them


def literals(tree: ast.AST) -> Iterator[tuple[ast.Constant, bool]]:
    """Every text literal but docstrings, and whether it is joined to a path with `/`."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    joined = {id(node.right) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node, id(node) in joined


def spelled(source: str, package: str) -> list[str]:
    """The literals in a module of `package` that spell a file or folder of a run directory."""
    found = []
    for node, joined in literals(ast.parse(source)):
        text = str(node.value)
        name = text.rpartition("/")[2]
        elsewhere = text == name and package in OTHER_FILES.get(name, ())
        if (
            (name in FILES and not elsewhere and not re.search(r"\s", text))
            or (INSIDE.fullmatch(text) and not (package == "integrations" and text in METRICS))
            or (joined and text in FOLDERS - {"model"})
        ):
            found.append(f"{node.lineno}: {text!r}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_spells_a_path_of_the_run_directory(path: Path) -> None:
    assert spelled(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[1]) == []


@pytest.mark.parametrize(
    "line",
    [
        'run / "prompts/train.jsonl"',
        'run / "gate" / name',
        'run / "select" / "choice.json"',
        'f"evaluate/{side}/results.jsonl"',
        'cells.glob("*/evaluate/summary.json")',
        'NAME = "chain.json"',
        'read_json(run / "config.json")',
    ],
)
def test_a_path_that_is_spelled_is_found(line: str) -> None:
    assert spelled(line, "report")


@pytest.mark.parametrize("line", ['"""Write gate/verdict.json."""', '"train and select"', 'stage == "train"'])
def test_prose_and_names_of_stages_are_no_paths(line: str) -> None:
    assert spelled(line, "report") == []


def test_every_path_stays_inside_the_run_directory_and_stands_once() -> None:
    names = [value for name, value in vars(run_layout).items() if name.isupper() and isinstance(value, str)]
    assert len(names) == len(set(names))
    for path in [*names, run_layout.selected_results("base", "T=1"), run_layout.round_folder(3)]:
        assert not path.startswith("/")
        assert ".." not in Path(path).parts


def test_a_round_is_a_folder_of_the_first_rounds_directory() -> None:
    assert [Path("run") / run_layout.round_folder(number) for number in (1, 2)] == [Path("run"), Path("run/rounds/2")]
