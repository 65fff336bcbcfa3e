"""The map of the layers in the documentation is the contract that `make check` holds, and the contract names every package."""

import itertools
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
LAYERS = [[name.strip() for name in layer.split("|")] for layer in CONTRACT["layers"]]  # highest first
PAGE = (ROOT / "docs/architecture.md").read_text()


def test_the_map_is_the_contract() -> None:
    drawn = set(re.findall(r"^  (\w+) --> (\w+)$", PAGE, re.MULTILINE))
    assert drawn == {(a, b) for above, below in itertools.pairwise(LAYERS) for a in above for b in below}


def test_the_contract_names_every_package_and_the_page_tells_of_each() -> None:
    named = {name for layer in LAYERS for name in layer}
    package = ROOT / "ssd_plugin"
    found = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert found == named - {"api"}
    assert named <= set(re.findall(r"`(\w+)`", PAGE))


def test_no_module_lies_beside_the_package_s_face() -> None:
    assert {path.name for path in (ROOT / "ssd_plugin").glob("*.py")} == {"__init__.py", "api.py", "errors.py"}
