"""Damaged files of every kind that the command reads: refused with one line, or read; never a traceback.

`SSD_FUZZ_SECONDS` (default 60) is about how long all of `tests/fuzz` takes on an idle machine. Half of that is for these readers;
each format gets the same share.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from damage import SECONDS, damaged, examples, spoilt
from finished_run import build_run
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.cli.main import cli
from ssd_plugin.config.overrides import apply_toml
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.errors import SsdError
from ssd_plugin.gating.policy import load_policy
from ssd_plugin.grading.result_files import read_graded
from ssd_plugin.recipes import ssd_smollm2_135m
from ssd_plugin.tasks.benchmarks import load_tasks
from ssd_plugin.tasks.schema import read_results, read_samples
from ssd_plugin.trust.signing import load_public_key

TASK = {"task_id": "t", "prompt": "p", "kind": "function", "entry_point": "f", "inputs": [[1]], "expected": [2]}
SAMPLE = {"task_id": "t", "sample_id": "s", "completion": "x"}
RESULT = SAMPLE | {"status": "pass", "program": "x", "detail": "", "thinking": False}
READERS: dict[str, tuple[Any, Callable[[Path], object]]] = {
    "tasks.jsonl": (TASK, load_tasks),
    "samples.jsonl": (SAMPLE | {"token_ids": [1]}, lambda path: list(read_samples(path))),
    "results.jsonl": (RESULT, lambda path: list(read_results(path))),
    "r.jsonl.meta.json": ({"schema": "ssd-score/1", "canaries": {"total": 1, "passed": 1}, "results_sha256": "0"},
                          lambda path: read_graded(path.with_name("r.jsonl"))),
}  # fmt: skip
TEXTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "policy.toml": (
        'schema = "ssd-policy/1"\nname = "n"\ndescription = "d"\n[gates.integrity]\ntier = "critical"\n',
        lambda path: load_policy(str(path)),
    ),
    "config.toml": (
        "seed = 1\n[evaluate]\nsamples_per_task = 4\n",
        lambda path: apply_toml(ssd_smollm2_135m.recipe(), path),
    ),
    "ssd.pub": ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", load_public_key),
    "r.jsonl.partial": ('0 {"a":1}\n1 {"a":2}\n', lambda path: _continue(path)),
}
RUN_FILES = (
    "config.json", "gate/verdict.json", "evaluate/summary.json", "evaluate/base/results.jsonl", "prompts/heldout.jsonl",
    "select/choice.json", "filter/report.json", "train/log.jsonl", "analysis/forks.json", "analysis/sweep.json", "manifest.json",
    "promote/result.json",
)  # fmt: skip
SHARE = SECONDS / 2 / (len(READERS) + len(TEXTS) + len(RUN_FILES))


def _continue(path: Path) -> None:
    with PartialFile(path.with_name("r.jsonl"), "v", 2) as partial:
        if len(partial) == 2:
            list(partial.rows(2))


def one_line(read: Callable[[Path], object], path: Path) -> None:
    """Read it, or hear what is wrong with it."""
    try:
        read(path)
    except SsdError as error:
        assert str(error).strip()  # noqa: PT017 - any other exception fails the test


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_document_is_refused_or_read(tmp_path: Path, name: str) -> None:
    valid, read = READERS[name]
    (tmp_path / "r.jsonl").write_text("")

    @examples(SHARE, 0.04)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        (tmp_path / name).write_bytes(damaged(data.draw, valid))
        one_line(read, tmp_path / name)

    check()


@pytest.mark.parametrize("name", TEXTS)
def test_a_damaged_text_is_refused_or_read(tmp_path: Path, name: str) -> None:
    valid, read = TEXTS[name]
    if name.endswith(".partial"):
        with PartialFile(tmp_path / "r.jsonl", "v", 2) as partial:
            partial.append(0, {"a": 1})
            partial.append(1, {"a": 2})
        valid = partial.path.read_text()

    @examples(SHARE, 0.04)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        (tmp_path / name).write_bytes(spoilt(data.draw, valid.encode()))
        one_line(read, tmp_path / name)

    check()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("built") / "run", tasks=8, samples=2)


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_damaged_file_of_a_run_costs_the_report_its_part_alone(tmp_path: Path, built: Path, name: str) -> None:
    run = Path(shutil.copytree(built, tmp_path / "run"))
    first, *others = (
        (run / name).read_bytes().splitlines(keepends=True) if name.endswith("l") else [(run / name).read_bytes()]
    )
    valid = json.loads(first)

    @examples(SHARE, 0.8)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        (run / name).write_bytes(damaged(data.draw, valid) + b"\n" + b"".join(others))
        result = CliRunner().invoke(cli, ["report", "--run-dir", str(run)])
        if result.exception is not None and not isinstance(result.exception, SystemExit | SsdError):
            raise result.exception

    check()
