"""What is installed is what is on disk, and nothing but `ssd_plugin` reaches site-packages."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINKED = ("recipes", "gates", "hooks")
HEAVY = ("torch", "transformers", "vllm", "megatron", "nemo", "nemo_run", "scipy", "numpy", "jinja2", "bandit")


def folders_with_code() -> set[str]:
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "ssd_plugin").rglob("__init__.py")}
    return found | {f"ssd_plugin.{name}" for name in LINKED}


def test_the_package_list_is_the_folders_on_disk() -> None:
    assert len(folders_with_code()) > 10
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders_with_code()


@pytest.mark.parametrize("name", LINKED)
def test_the_links_lead_to_the_top_level_folders(name: str) -> None:
    link = ROOT / "ssd_plugin" / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / name
    assert PROJECT["tool"]["setuptools"]["package-dir"][f"ssd_plugin.{name}"] == name


def test_the_wheel_holds_one_top_level_package_and_its_data(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    members = zipfile.ZipFile(wheel).namelist()
    assert {member.split("/")[0] for member in members if ".dist-info/" not in member} == {"ssd_plugin"}
    data = (
        "py.typed",
        "tasks/bank/train.jsonl",
        "gates/policies/default.toml",
        "recipes/ssd_qwen3.py",
        "hooks/specs.py",
    )
    for name in data:
        assert f"ssd_plugin/{name}" in members
    assert len(members) == len(set(members))
    on_disk = {p.relative_to(ROOT).as_posix() for p in (ROOT / "ssd_plugin").rglob("*.py")}
    assert on_disk <= set(members)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What `make wheel` builds of the last commit, twice, by people with other habits."""
    folders = [tmp_path_factory.mktemp("release") for _ in range(2)]
    builds = [
        subprocess.Popen([sys.executable, str(ROOT / ".ci/wheel.py"), str(folder)], umask=umask)
        for folder, umask in zip(folders, (0o022, 0o077), strict=True)
    ]
    assert [build.wait() for build in builds] == [0, 0]
    return folders


@pytest.mark.timeout(300)
def test_wheel_and_sdist_are_the_same_bytes_whoever_builds_them(releases: list[Path]) -> None:
    one, other = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in releases)
    assert sorted(name.partition("-")[0] for name in one) == ["SHA256SUMS", "ssd_plugin", "ssd_plugin"]
    assert one == other
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=releases[0], check=True)


@pytest.mark.timeout(300)
def test_the_wheel_installs_by_its_hash_alone_as_the_readme_says(releases: list[Path], tmp_path: Path) -> None:
    (wheel,) = releases[0].glob("*.whl")
    sums = dict(line.split()[::-1] for line in (releases[0] / "SHA256SUMS").read_text().splitlines())
    readme = (ROOT / "README.md").read_text()
    (requirement,) = re.findall(r'pip install "(ssd-plugin @ https:[^"]*\.whl#sha256=)WHEEL_SHA256"', readme)
    requirement = re.sub(r"https:[^#]*/", f"{releases[0].as_uri()}/", requirement)
    assert wheel.name in requirement, "README names the wheel of this version"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path / "site"),
    ]
    refused = subprocess.run([*pip, requirement + "0" * 64], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "HASH" in refused.stderr.upper()
    assert not (tmp_path / "site/ssd_plugin").exists()
    subprocess.run([*pip, requirement + sums[wheel.name]], check=True)
    code = "import ssd_plugin; from ssd_plugin.recipes import names; print(ssd_plugin.__file__, len(names()))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": "site"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(str(tmp_path / "site"))


@pytest.mark.parametrize("arguments", [["--help"], ["recipes", "list"], ["recipes", "show", "ssd_qwen3"]])
def test_start_up_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from ssd_plugin.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]; assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
