"""Grades count only if this user's grader gave them, or the policy says that anybody's do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import read_json, sha256_file, write_json, write_jsonl
from ssd_plugin.errors import ConfigError, DataError
from ssd_plugin.gates import integrity
from ssd_plugin.gating.gate import Side
from ssd_plugin.gating.held_inputs import HeldInputs
from ssd_plugin.gating.inputs import load_side
from ssd_plugin.gating.policy import Policy, load_policy
from ssd_plugin.grading.grading_key import grading_key, key_file
from ssd_plugin.grading.judge import Judgement
from ssd_plugin.grading.result_files import is_graded, is_own, sidecar, write_sidecar
from ssd_plugin.tasks.schema import Status, read_results


def flipped(path: Path) -> dict[str, Any]:
    """Every status a pass, and what the sidecar would say of that."""
    rows = [replace(row, status=Status.PASS) for row in read_results(path)]
    write_jsonl(path, (row.to_json() for row in rows))
    meta: dict[str, Any] = read_json(sidecar(path))
    return meta | {"results_sha256": sha256_file(path)}


def as_it_was(path: Path) -> None:
    write_json(sidecar(path), flipped(path))


def without(path: Path) -> None:
    write_json(sidecar(path), {key: value for key, value in flipped(path).items() if key != "authentication"})


def of_another_type(path: Path) -> None:
    write_json(sidecar(path), flipped(path) | {"authentication": ["é"]})


def not_ascii(path: Path) -> None:
    write_json(sidecar(path), flipped(path) | {"authentication": "é" * 64})


def by_another_user(path: Path) -> None:
    key = grading_key()
    key_file().write_bytes(bytes(byte ^ 1 for byte in key))
    write_sidecar(path, {key: value for key, value in flipped(path).items() if key != "authentication"})
    key_file().write_bytes(key)


def stronger_tier(path: Path) -> None:
    write_json(sidecar(path), read_json(sidecar(path)) | {"tier": "namespaces", "set_aside": {"t000": "broken"}})


FORGERIES = (as_it_was, without, of_another_type, not_ascii, by_another_user, stronger_tier)


@pytest.fixture
def load(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Policy], Side]:
    def score(tasks: Path, samples: Path, results: Path, *, resume: bool) -> None:
        raise DataError("graded again")

    monkeypatch.setattr("ssd_plugin.gating.inputs.score_file", score)
    held = HeldInputs(tmp_path / "held", world.root / "out")
    return lambda path, policy: load_side("candidate", path, world.tasks_path, held, policy)


def test_the_graders_own_file_is_believed_wherever_it_lies(
    world: Any, tools: Any, load: Callable[[Path, Policy], Side], tmp_path: Path
) -> None:
    path = world.write("candidate", tools.make_rows(world.tasks[:9], samples=2))
    assert load(path, load_policy("smoke")).note == ""
    moved = tmp_path / "elsewhere" / "other.jsonl"
    moved.parent.mkdir()
    sidecar(path).rename(sidecar(moved))
    path.rename(moved)
    assert load(moved, load_policy("default")).note == ""


@pytest.mark.parametrize("forge", FORGERIES)
def test_what_anybody_could_have_written_is_graded_again(
    world: Any, tools: Any, load: Callable[[Path, Policy], Side], forge: Callable[[Path], None]
) -> None:
    path = world.write("candidate", tools.make_rows(world.tasks[:9], samples=2), tier="landlock", samples_sha256="0")
    forge(path)
    assert not is_own(read_json(sidecar(path)))
    for name in ("smoke", "default"):
        with pytest.raises(DataError, match="graded again"):
            load(path, load_policy(name))


def test_a_policy_that_cannot_promote_may_believe_it_and_says_so(
    world: Any, tools: Any, load: Callable[[Path, Policy], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.write("candidate", tools.make_rows(world.tasks[:9], samples=2))
    without(path)
    side = load(path, replace(load_policy("smoke"), foreign_results=True))
    assert side.note == "graded elsewhere, and believed as the policy says (foreign_results)"
    right = Judgement(status=Status.PASS, detail="")
    monkeypatch.setattr(integrity, "grade_references", lambda _: ({"t000": right}, {}))
    context = world.context(tools.make_rows(world.tasks[:9], samples=2, seed=1), ())
    found = integrity.check(replace(context, tasks=context.tasks[:9], candidate=side), integrity.Settings())
    assert f"candidate: {side.note}" in found.reason


@pytest.mark.parametrize("other", [{"promotable": True}, {"regrade": True}])
def test_what_can_promote_rests_on_no_foreign_grades(other: dict[str, bool]) -> None:
    with pytest.raises(ConfigError, match="foreign_results = true needs promotable = false and regrade = false"):
        replace(load_policy("smoke"), foreign_results=True, **other)


def test_no_shipped_policy_believes_foreign_grades() -> None:
    from ssd_plugin.gating.policy import shipped_policies

    assert not any(load_policy(name).foreign_results for name in shipped_policies())


def test_a_stage_takes_only_its_own_graders_file_for_done(world: Any, tools: Any, tmp_path: Path) -> None:
    from ssd_plugin.grading.result_files import grader_code

    path, samples = world.write("candidate", tools.make_rows(world.tasks[:9], samples=2)), tmp_path / "samples.jsonl"
    samples.write_text("x")
    meta = world.meta(path) | {"samples_sha256": sha256_file(samples), "code": grader_code()}
    write_sidecar(path, meta)
    assert is_graded(path, tasks=world.tasks_path, samples=samples)
    write_json(sidecar(path), meta)
    assert not is_graded(path, tasks=world.tasks_path, samples=samples)


def test_a_sidecar_that_says_a_thing_twice_is_none(
    world: Any, tools: Any, load: Callable[[Path, Policy], Side]
) -> None:
    path = world.write("candidate", tools.make_rows(world.tasks[:9], samples=2))
    said = sidecar(path).read_text().rstrip().removesuffix("}")
    sidecar(path).write_text(said + f', "tier": {json.dumps("namespaces")}}}\n')
    with pytest.raises(DataError, match="graded again"):
        load(path, load_policy("smoke"))
