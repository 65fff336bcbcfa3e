"""The documentation says what is there: commands, options, recipes, files and links exist; figures name their command."""

import re
from pathlib import Path

import click
import pytest

from ssd_plugin.cli.main import COMMANDS, cli
from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.core.plugins import PROJECT
from ssd_plugin.errors import ConfigError
from ssd_plugin.hooks import specs
from ssd_plugin.recipes import load, names

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
MAKE_TARGETS = set(re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FORBIDDEN = re.compile(
    r"\b(TODO|FIXME)\b|/work/|/root/|files\.pythonhosted|pypi\.org/simple|sandbox session", re.IGNORECASE
)


def commands_in(text: str) -> list[list[str]]:
    """`ssd ...` command lines in code spans and blocks, up to a pipe, a comment or the line's end."""
    code = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    lines = [line.replace("\\\n", " ") for block in code for line in re.split(r"(?<!\\)\n|&&|;", block)]
    found = [re.sub(r"\s(#|\||>).*", "", line.strip().removeprefix("$ ").removeprefix(".venv/bin/")) for line in lines]
    return [line.split() for line in found if line.startswith("ssd ")]


def resolve(words: list[str]) -> click.Command:
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        inner = command.get_command(click.Context(command), word)
        assert inner is not None, f"no command `ssd {' '.join(words)}`"
        command = inner
    return command


def test_there_are_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {page.name for page in PAGES}
    assert len(PAGES) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_page_names_only_what_exists(page: Path) -> None:
    text = page.read_text()
    assert not FORBIDDEN.search(text), FORBIDDEN.search(text)
    for words in commands_in(text):
        if words[1:] and re.fullmatch(r"[a-z]+", words[1]):
            command = resolve(words[1:])
            known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
            used = {word.split("=")[0] for word in words if word.startswith("--")}
            assert used <= known, f"`{' '.join(words)}`: unknown options {sorted(used - known)}"
    for target in re.findall(r"`?\bmake ([a-z-]+)`?", "\n".join(re.findall(r"`[^`]+`|```.*?```", text, re.DOTALL))):
        assert any(target in line.split() for line in MAKE_TARGETS), f"no target `make {target}`"
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
        assert (page.parent / link).exists(), f"broken link {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_recipes_and_settings_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"\bssd_(?:qwen3|llama|gpt|smollm)\w*", text):
        assert name in names(), f"no recipe {name}"
    for override in re.findall(r"--set ([a-z_.]+=[^\s`\"']+)", text):
        if "..." in override or "=N" in override:
            continue
        try:
            apply_overrides(load("ssd_smollm2_135m")(), [override])
        except ConfigError as error:
            if "not a known key" in str(error):
                pytest.fail(f"--set {override}: {error}")


def test_every_command_has_help_with_an_example_and_json() -> None:
    for name in COMMANDS:
        command = resolve([name])
        leaves = [command]
        if isinstance(command, click.Group):
            leaves = [command.commands[inner] for inner in command.commands]
        for leaf in leaves:
            assert "Example: ssd " in (leaf.help or ""), f"ssd {name}: no example in its help"
            assert any("--json" in parameter.opts for parameter in leaf.params), f"ssd {name} {leaf.name}: no --json"


@pytest.mark.parametrize("name", ["run", "score", "gate", "verify", "promote"])
def test_the_commands_of_ci_say_their_exit_status(name: str) -> None:
    assert "exit status" in (resolve([name]).help or "").lower()


def test_every_hook_is_in_the_plugin_guide() -> None:
    hooks = [name for name, item in vars(specs).items() if hasattr(item, f"{PROJECT}_spec")]
    assert {"ssd_gates", "ssd_trackers"} <= set(hooks)
    guide = (ROOT / "docs/plugin-guide.md").read_text()
    assert [name for name in hooks if f"def {name}()" not in guide] == []


SOURCES = sorted(
    path
    for folder in ("ssd_plugin", "gates", "hooks", "recipes", "docs", "benchmarks", "examples", ".github")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".yml", ".toml", ".sh"}
)
# An index holds no such name: whoever takes it there would be installed. A URL or a file of ours comes after `@`.
BY_NAME = re.compile(r"\bpip3? install\b[^\n`]*?['\" ]ssd[-_]plugin(?:\[[^\]]*\])?(?! *@| *\[|[-_.\w/])", re.IGNORECASE)
PINNED = re.compile(r"[0-9a-f]{40}|COMMIT_SHA")


@pytest.mark.parametrize(
    ("line", "by_name"),
    [
        ("pip install ssd-plugin", True),
        ("pip install -U ssd_plugin", True),
        ("pip install 'ssd-plugin[nemo]'", True),
        ("python -m pip install ssd-plugin==1.0", True),
        ("pip install -e '.[nemo]'", False),
        ('pip install "git+https://example.org/OWNER/ssd_plugin@COMMIT_SHA"', False),
        ('pip install "ssd-plugin[sigstore] @ git+https://example.org/OWNER/ssd_plugin@COMMIT_SHA"', False),
        ("pip install dist/ssd_plugin-0.1.0-py3-none-any.whl", False),
    ],
)
def test_an_install_by_name_is_told_from_one_of_known_files(line: str, by_name: bool) -> None:
    assert bool(BY_NAME.search(line)) is by_name


def test_nothing_says_to_install_a_name_that_a_stranger_could_take() -> None:
    read = [*PAGES, *SOURCES, ROOT / "Makefile"]
    assert len(read) > 200
    found = {str(path.relative_to(ROOT)): BY_NAME.findall(path.read_text()) for path in read}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_actions_and_urls_are_pinned_by_full_commit() -> None:
    pins = [
        pin
        for path in [*PAGES, *SOURCES]
        for pin in re.findall(r"(?:uses: *|git\+https:)[^\s@\"']+@([^\s\"'`]+)", path.read_text())
    ]
    assert len(pins) > 5
    assert [pin for pin in pins if not PINNED.fullmatch(pin)] == []


def test_pictures_are_small_and_load_nothing_from_elsewhere() -> None:
    pictures = sorted((ROOT / "docs/images").iterdir())
    assert {picture.name for picture in pictures} == {"report.png", "summary.svg", "terminal.svg"}
    for picture in pictures:
        assert f"](docs/images/{picture.name})" in (ROOT / "README.md").read_text()
        assert picture.stat().st_size < 200_000, picture.name
        if picture.suffix == ".svg":
            text = picture.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
            assert not re.search(r"http|href|@import|<script|url\((?!#)", text), picture.name
