"""Rows that somebody planted for a grading run to go on from are graded again: whoever has this release can write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import read_json, write_jsonl
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.gating.policy import shipped_policies
from ssd_plugin.gating.request import GateRequest
from ssd_plugin.gating.run import run_gates
from ssd_plugin.gating.verdict import Outcome
from ssd_plugin.grading import grader

RIGHT, WRONG = "def f(x):\n    return x + 1\n", "def f(x):\n    return x - 1\n"


class KilledError(Exception):
    """Of the forger's run, just before its rows become a result file."""


def forge(tasks: Path, samples: Path, out: Path, monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    """The partial file of a grader that calls everything right, with its own key."""
    with monkeypatch.context() as patch:
        append = PartialFile.append
        patch.setattr(grader, "grading_key", lambda: key)
        patch.setattr(
            PartialFile, "append", lambda self, n, row: append(self, n, row | {"status": "pass", "detail": ""})
        )

        def killed(*_: Any) -> Any:
            raise KilledError

        patch.setattr(grader, "_write_rows", killed)
        with pytest.raises(KilledError):
            grader.score_file(tasks, samples, out)
    assert out.with_name(out.name + ".partial").stat().st_size > 1000


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Tasks, a champion that is right, a candidate that is wrong."""
    check = {"kind": "function", "entry_point": "f", "inputs": [[1], [5]], "expected": [2, 6], "reference": RIGHT}
    paths = tuple(tmp_path / f"{name}.jsonl" for name in ("tasks", "base", "candidate"))
    write_jsonl(paths[0], ({"task_id": f"t{n}", "prompt": "Write f.", **check} for n in range(50)))
    for path, program in ((paths[1], RIGHT), (paths[2], WRONG)):
        rows = ({"task_id": f"t{n}", "sample_id": "0", "completion": f"{program}# {path.stem}\n"} for n in range(50))
        write_jsonl(path, rows)
    return paths  # type: ignore[return-value]


def test_scoring_goes_on_from_its_own_rows_alone(
    scene: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, _, candidate = scene
    forge(tasks, candidate, tmp_path / "r.jsonl", monkeypatch, b"another user's key, 32 bytes ...")
    summary = grader.score_file(tasks, candidate, tmp_path / "r.jsonl")
    assert (summary.resumed, summary.counts["pass"], summary.counts["fail"]) == (0, 0, 50)


@pytest.mark.parametrize("regrade", [False, True])
def test_a_gate_run_too(
    scene: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regrade: bool
) -> None:
    tasks, base, candidate = scene
    policy = tmp_path / "p.toml"
    smoke = shipped_policies()["smoke"].read_text()
    policy.write_text(smoke.replace("plugins = []", f"plugins = []\nregrade = {json.dumps(regrade)}"))
    out = tmp_path / "out"
    place = out / "graded/candidate.results.jsonl"
    # The gate grades a copy under the samples' own name; the rows are bound to digests and the place, not to that copy's.
    forge(tasks, candidate, place, monkeypatch, b"another user's key, 32 bytes ...")
    request = GateRequest(policy=str(policy), tasks=tasks, baseline=base, candidate=candidate, out=out)
    verdict = run_gates(request)
    assert verdict.outcome is Outcome.NO_GO, verdict.reason
    assert read_json(place.with_name(place.name + ".meta.json"))["counts"]["fail"] == 50


def test_the_forgery_would_hold_with_the_graders_own_key(
    scene: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssd_plugin.grading.grading_key import grading_key

    tasks, _, candidate = scene
    forge(tasks, candidate, tmp_path / "r.jsonl", monkeypatch, grading_key())
    assert grader.score_file(tasks, candidate, tmp_path / "r.jsonl").counts["pass"] == 50, (
        "so the tests above test the key"
    )
