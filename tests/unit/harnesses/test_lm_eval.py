"""Files that lm-evaluation-harness wrote (tests/data/harnesses says how)."""

import json
import shutil
from pathlib import Path

import pytest

from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.pairing import pair
from ssd_plugin.harnesses.reading import files_of, read_results

DATA = Path(__file__).parents[2] / "data/harnesses/lm_eval"


def samples(side: Path, task: str) -> Path:
    (found,) = side.glob(f"samples_{task}_*.jsonl")
    return found


def test_a_folder_holds_all_tasks_of_its_run() -> None:
    found = {one.task: one for one in read_results(files_of(DATA / "base"))}
    assert set(found) == {"local_choices", "local_sums"}
    choices, sums = found["local_choices"], found["local_sums"]
    assert (choices.harness, choices.conditions["harness version"]) == ("lm-evaluation-harness", "0.4.13")
    assert choices.conditions["decoding config"] == "by likelihood"
    assert json.loads(sums.conditions["decoding config"]) == {"do_sample": False, "max_gen_toks": 4, "until": ["\n"]}
    assert len(choices.items) == len(sums.items) == 12
    assert choices.items["0"].columns["land"] == "France"


@pytest.mark.parametrize(
    ("task", "metric", "name"),
    [
        ("local_choices", "acc", "acc,none"),
        ("local_choices", "acc_norm,none", "acc_norm,none"),
        ("local_sums", "exact_match,flexible", "exact_match,flexible"),
        ("local_sums", "exact_match,strict", "exact_match,strict"),
    ],
)
def test_the_figures_are_those_that_the_harness_gives(task: str, metric: str, name: str) -> None:
    sides = [read_results(files_of(samples(DATA / side, task))) for side in ("base", "candidate")]
    pairs = pair(sides[0], sides[1], metric=metric)
    for side, scores in (("base", pairs.baseline), ("candidate", pairs.candidate)):
        (summary,) = (DATA / side).glob("results_*.json")
        said = json.loads(summary.read_text())["results"][task][name]
        assert sum(scores.values()) / len(scores) == pytest.approx(said)


def test_sides_that_answered_alike_are_told_from_sides_that_did_not() -> None:
    sides = [read_results(files_of(DATA / side)) for side in ("base", "candidate")]
    same = {task: pair(*sides, metric=metric, tasks=[task]).same for task, metric in
            (("local_choices", "acc"), ("local_sums", "exact_match,flexible"))}  # fmt: skip
    assert same == {"local_choices": False, "local_sums": True}


def test_two_filters_need_to_be_told_apart() -> None:
    side = read_results(files_of(samples(DATA / "base", "local_sums")))
    with pytest.raises(DataError, match="no metric 'exact_match'; it has exact_match,flexible, exact_match,strict"):
        pair(side, side, metric="exact_match")


def test_a_summary_without_items_says_what_to_give() -> None:
    (summary,) = (DATA / "base").glob("results_*.json")
    with pytest.raises(DataError, match="without its items; run it with --log_samples"):
        read_results(files_of(summary))


def copied(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "base", tmp_path / "run")
    return tmp_path / "run"


def test_samples_without_the_file_that_says_what_ran_are_refused(tmp_path: Path) -> None:
    run = copied(tmp_path)
    next(run.glob("results_*.json")).unlink()
    with pytest.raises(DataError, match="does not lie beside it; it says what ran"):
        read_results(files_of(run))


def test_an_unknown_version_names_those_that_are_known(tmp_path: Path) -> None:
    run = copied(tmp_path)
    summary = next(run.glob("results_*.json"))
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"lm_eval_version": "1.0.0"}))
    with pytest.raises(
        DataError, match=r"lm-evaluation-harness 1\.0\.0, whose files are not known here; known: 0\.4\.x"
    ):
        read_results(files_of(run))


def test_a_row_that_stands_there_twice_names_its_line(tmp_path: Path) -> None:
    path = samples(copied(tmp_path), "local_sums")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    with pytest.raises(DataError, match=rf":{len(lines) + 1}: item 0, filter 'strict', stands there twice"):
        read_results(files_of(path))


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    run = copied(tmp_path)
    for path in list(run.iterdir()):
        time = path.stem.rpartition("_")[2]
        shutil.copy(path, run / path.name.replace(time, "2026-12-01T00-00-00.000000"))
    side = read_results(files_of(run))
    with pytest.raises(DataError, match="both hold results of 'local_choices'; give those of one run"):
        pair(side, side, metric="acc")
