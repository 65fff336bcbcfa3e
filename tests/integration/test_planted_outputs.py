"""What somebody planted where a command writes: refused with one line, and nothing of the host is touched."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from finished_run import build_run

from ssd_plugin.cli.main import main

TASK = {"task_id": "t", "prompt": "p", "kind": "function", "entry_point": "f", "inputs": [[1]], "expected": [2]}
SAMPLE = {"task_id": "t", "sample_id": "s", "completion": "def f(x):\n    return 2\n"}
EVIDENCE = (
    "verdict.json", "statement.json", "verdict.dsse.json", "verdict.sigstore.json", "results.sarif", "junit.xml", "summary.md",
    "bom.cdx.json",
)  # fmt: skip
KINDS = ("link to a file", "link to nothing", "link to a folder", "link to a device", "pipe", "folder")


class Host:
    """What must be as it was: a file, a folder with a file, a place where nothing is."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.file, self.folder, self.nothing = root / "file", root / "folder", root / "nothing"
        self.file.write_text("precious")
        self.folder.mkdir()
        (self.folder / "results.jsonl").write_text("precious")

    def plant(self, path: Path, kind: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "hard link":
            path.hardlink_to(self.file)
        else:
            at = {"file": self.file, "nothing": self.nothing, "folder": self.folder, "device": Path("/dev/full")}
            path.symlink_to(at[kind.rsplit(" ", 1)[1]])

    def is_untouched(self) -> bool:
        files = {path.name: path.read_text() for path in self.folder.iterdir()}
        return (
            self.file.read_text() == "precious"
            and files == {"results.jsonl": "precious"}
            and not os.path.lexists(self.nothing)
            and stat.S_ISCHR(Path("/dev/full").stat().st_mode)
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


@dataclass(frozen=True)
class Done:
    returncode: object
    stdout: str
    stderr: str


@pytest.fixture
def ssd(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line in this process: exit status, and what it said."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        said = capsys.readouterr()
        return Done(ended.value.code, said.out, said.err)

    return run


def refused(done: Done, path: Path) -> None:
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    assert done.returncode == 3, done
    assert last.startswith("ssd: "), done
    assert str(path) in last or str(path) in done.stdout, done


def rows(path: Path, row: object) -> Path:
    path.write_text(json.dumps(row) + "\n")
    return path


def score(ssd: Callable[..., Done], tmp_path: Path) -> Done:
    inputs = ("--tasks", rows(tmp_path / "t.jsonl", TASK), "--samples", rows(tmp_path / "s.jsonl", SAMPLE))
    return ssd("score", *inputs, "--out", tmp_path / "out/r.jsonl")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.meta.json"])
def test_score(ssd: Callable[..., Done], tmp_path: Path, host: Host, name: str, kind: str) -> None:
    host.plant(tmp_path / "out" / name, kind)
    refused(score(ssd, tmp_path), tmp_path / "out" / name)
    assert host.is_untouched()


@pytest.mark.parametrize("kind", ["link to a file", "link to a device", "pipe"])
def test_what_stands_for_rows_in_the_making_is_put_aside(
    ssd: Callable[..., Done], tmp_path: Path, host: Host, kind: str
) -> None:
    host.plant(tmp_path / "out/r.jsonl.partial", kind)
    assert score(ssd, tmp_path).returncode == 0
    assert host.is_untouched()
    assert not os.path.lexists(tmp_path / "out/r.jsonl.partial")


def gate(ssd: Callable[..., Done], tmp_path: Path) -> Done:
    side, tasks = rows(tmp_path / "s.jsonl", SAMPLE), rows(tmp_path / "t.jsonl", TASK)
    sides = ("--baseline", side, "--candidate", side)
    return ssd("gate", "--policy", "smoke", "--tasks", tasks, *sides, "--out", tmp_path / "out")


INSIDE = (".lock", "graded", "programs", "graded/candidate.results.jsonl", "programs/candidate/x.py.txt")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n in (*EVIDENCE, *INSIDE) for k in KINDS if k != "folder" or n in (*EVIDENCE, ".lock")],
)
def test_gate(ssd: Callable[..., Done], tmp_path: Path, host: Host, name: str, kind: str) -> None:
    host.plant(tmp_path / "out" / name, kind)
    refused(gate(ssd, tmp_path), tmp_path / "out")
    assert host.is_untouched()
    assert name == "verdict.json" or not (tmp_path / "out/verdict.json").exists()


def test_a_folder_in_the_place_of_graded_rows(ssd: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "out/graded/baseline.results.jsonl").mkdir(parents=True)
    assert gate(ssd, tmp_path).returncode == 3
    assert "is a directory" in json.loads((tmp_path / "out/verdict.json").read_text())["reason"]


def test_a_hard_link_is_replaced_and_not_written_through(ssd: Callable[..., Done], tmp_path: Path, host: Host) -> None:
    for name in (*EVIDENCE, "graded/candidate.results.jsonl", "graded/baseline.results.jsonl.partial"):
        host.plant(tmp_path / "out" / name, "hard link")
    gate(ssd, tmp_path)
    assert json.loads((tmp_path / "out/verdict.json").read_text())["outcome"] != "GO"
    assert host.is_untouched()


def test_the_copy_of_a_program_is_not_written_through(tmp_path: Path, host: Host) -> None:
    from ssd_plugin.evidence.programs import program_path, write_programs

    key = ("candidate", "t", "s")
    for kind in ("hard link", "link to a file"):
        host.plant(tmp_path / "out" / program_path(key), kind)
        write_programs(tmp_path / "out", [key], {key: "print(1)\n"})
        assert (tmp_path / "out" / program_path(key)).read_text() == "print(1)\n"
        assert host.is_untouched()


@pytest.mark.parametrize("kind", [*KINDS, "hard link"])
@pytest.mark.parametrize("command", ["simulate", "keys"])
def test_files_of_their_own(ssd: Callable[..., Done], tmp_path: Path, host: Host, command: str, kind: str) -> None:
    place = tmp_path / ("toy.html" if command == "simulate" else "ssd.key")
    host.plant(place, kind)
    done = ssd("simulate", "--out", place) if command == "simulate" else ssd("keys", "new", "--out", tmp_path)
    assert host.is_untouched()
    if (command, kind) == ("simulate", "hard link"):
        assert done.returncode == 0
    else:
        refused(done, place)
        assert not (tmp_path / "ssd.pub").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("built") / "run", tasks=8, samples=2)


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Path:
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe"])
@pytest.mark.parametrize("name", ["report", "report/index.html", "sample/deep/er"])
@pytest.mark.parametrize("command", [("report",), ("run", "ssd_smollm2_135m"), ("analyze",)])
def test_a_run_directory(
    ssd: Callable[..., Done], run: Path, host: Host, command: tuple[str, ...], name: str, kind: str
) -> None:
    host.plant(run / name, kind)
    if command[0] == "run":
        (run / "config.json").unlink()  # begun anew with the recipe's settings
    done = ssd(*command, "--run-dir", run)
    assert host.is_untouched()
    refused(done, run / name)


@pytest.mark.parametrize("kind", [*KINDS[:5], "hard link"])
@pytest.mark.parametrize("command", [("run", "ssd_smollm2_135m"), ("sweep", "ssd_smollm2_135m"), ("evaluate",)])
def test_the_lock_of_a_run_directory(
    ssd: Callable[..., Done], run: Path, host: Host, command: tuple[str, ...], kind: str
) -> None:
    host.plant(run / ".lock", kind)
    done = ssd(*command, "--run-dir", run)
    assert host.is_untouched()
    refused(done, run)


def test_the_pages_of_a_sweep(ssd: Callable[..., Done], tmp_path: Path, host: Host) -> None:
    (tmp_path / "sweep/cells").mkdir(parents=True)
    (tmp_path / "sweep/sweep.json").write_text('{"schema": "x"}')
    host.plant(tmp_path / "sweep/sweep.html", "link to a file")
    refused(ssd("report", "--run-dir", tmp_path / "sweep"), tmp_path / "sweep/sweep.html")
    assert host.is_untouched()


def test_links_within_a_run_directory_are_fine(ssd: Callable[..., Done], run: Path) -> None:
    (run / "tracking/house/run-1").mkdir(parents=True)
    (run / "tracking/house/latest").symlink_to("run-1")
    assert ssd("report", "--run-dir", run).returncode == 0


def test_versions_of_a_registry_behind_a_link(tmp_path: Path, host: Host) -> None:
    from ssd_plugin.errors import RegistryError
    from ssd_plugin.trust.registry.directory import DirectoryRegistry

    host.plant(tmp_path / "registry/coder/versions", "link to a folder")
    with (
        pytest.raises(RegistryError, match="versions: is a link"),
        DirectoryRegistry(tmp_path / "registry", "coder").locked(),
    ):
        pass
    assert host.is_untouched()
