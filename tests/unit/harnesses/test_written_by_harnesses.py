"""Files that harnesses wrote, beside the figures that they say themselves (tests/data/harnesses says how each was made)."""

import json
import shutil
import statistics
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.pairing import pair
from ssd_plugin.harnesses.reading import files_of, read_results
from ssd_plugin.harnesses.results import TaskResults

DATA = Path(__file__).parents[2] / "data/harnesses"


def read(harness: str, side: str = "base") -> TaskResults:
    (found,) = read_results(files_of(DATA / harness / side))
    return found


def mean(results: TaskResults, metric: str) -> float:
    return statistics.fmean(item.scores[metric] for item in results.items.values())


def test_inspect_ai() -> None:
    results = read("inspect_ai")
    assert (results.task, len(results.items)) == ("sums", 6)
    assert results.conditions["harness version"] == "0.3.285"
    assert json.loads(results.conditions["decoding config"]) == {"max_tokens": 10, "seed": 1, "temperature": 0.7}
    item = results.items["sum-1"]
    assert (item.samples, item.columns) == (2, {"left": "2"})
    said = {"includes": 0.2500, "match": 0.2500}  # what `inspect eval` printed
    assert {name: mean(results, name) for name in said} == pytest.approx(said, abs=1e-4)


def log(**changes: Any) -> dict[str, Any]:
    """A log with one sample, as JSON logs have it."""
    sample = {"id": 1, "epoch": 1, "input": "?", "target": "!", "scores": {"match": {"value": "C"}}}
    ran = {"task": "sums", "task_version": 1, "packages": {"inspect_ai": "0.3.285"}}
    return {"version": 2, "status": "success", "eval": ran, "plan": {}, "samples": [sample], **changes}


def written(tmp_path: Path, document: Any) -> list[Path]:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(document))
    return [path]


def test_inspect_ai_s_letters_count_as_it_counts_them(tmp_path: Path) -> None:
    values = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "0.5": None}
    samples = [log()["samples"][0] | {"id": name, "scores": {"match": {"value": name}}} for name in values]
    (results,) = read_results(written(tmp_path, log(samples=samples)))
    assert {name: item.scores.get("match") for name, item in results.items.items()} == values


def test_inspect_ai_s_several_values_have_their_names(tmp_path: Path) -> None:
    sample = log()["samples"][0] | {"scores": {"judge": {"value": {"kind": 1, "right": "I"}}}}
    (results,) = read_results(written(tmp_path, log(samples=[sample])))
    assert results.items["1"].scores == {"judge/kind": 1.0, "judge/right": 0.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "error"}, "the run ended with status 'error'"),
        ({"samples": []}, "has the figures of a run without its samples"),
        ({"samples": [3]}, "a sample is no object"),
        ({"samples": log()["samples"] * 2}, "item '1', sample '1', stands there twice"),
        (
            {"eval": {"task": "x", "packages": {"inspect_ai": "0.4.0"}}},
            "inspect_ai 0.4.0, whose files are not known here",
        ),
    ],
)
def test_inspect_ai_s_logs_that_do_not_count(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_results(written(tmp_path, log(**changes)))


def test_a_packed_log_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    path.write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="is not a readable log of inspect_ai"):
        read_results([path])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples/1_epoch_1.json", "{}")
    with pytest.raises(DataError, match=r"has no header\.json, so the run did not end"):
        read_results([path])


def test_a_packed_log_s_bytes_that_were_damaged_are_refused(tmp_path: Path) -> None:
    raw = bytearray((DATA / "inspect_ai/base/sums.eval").read_bytes())
    with zipfile.ZipFile(DATA / "inspect_ai/base/sums.eval") as archive:
        info = archive.getinfo("header.json")
    begin = info.header_offset + 30 + len("header.json")
    raw[begin : begin + info.compress_size] = bytes(info.compress_size)
    path = tmp_path / "a.eval"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"header\.json cannot be unpacked"):
        read_results([path])


@pytest.mark.parametrize(("side", "base", "plus"), [("base", 0.875, 0.625), ("candidate", 1.0, 0.75)])
def test_evalplus(side: str, base: float, plus: float) -> None:
    results = read("evalplus", side)
    assert (results.harness, results.task, len(results.items)) == ("EvalPlus", "local", 4)
    assert (mean(results, "base"), mean(results, "plus")) == (base, plus)  # what evalplus.evaluate printed
    assert results.items["Local/0"].samples == 2


def test_what_evalplus_does_not_state_is_named() -> None:
    pairs = pair([read("evalplus")], [read("evalplus", "candidate")], metric="plus")
    assert pairs.graded_by == "EvalPlus (its files state no version)"
    assert pairs.unstated == ("decoding config", "harness version")


def test_evalplus_of_other_tasks_is_refused() -> None:
    one, other = read("evalplus"), read("evalplus", "candidate")
    changed = replace(other, conditions={**other.conditions, "task version": "0" * 32})
    with pytest.raises(
        DataError, match="the task version is db16ef8c2222ae653c3b405c233bf466 for the baseline and 0000"
    ):
        pair([one], [changed], metric="base")


def test_samples_without_a_status_are_refused(tmp_path: Path) -> None:
    document = {"date": "d", "hash": "h", "eval": {"HumanEval/0": [{"solution": "x"}]}}
    with pytest.raises(DataError, match="sample 0 of 'HumanEval/0' has no status"):
        read_results(written(tmp_path, document))
    with pytest.raises(DataError, match="holds no graded items"):
        read_results(written(tmp_path, document | {"eval": {}}))


@pytest.mark.parametrize("side", ["base", "candidate"])
def test_livecodebench(side: str) -> None:
    results = read("livecodebench", side)
    said = json.loads(next((DATA / "livecodebench" / side).glob("*_eval.json")).read_text())[0]
    assert mean(results, "pass@1") == pytest.approx(said["pass@1"])
    assert (results.task, results.conditions["decoding config"]) == ("codegeneration", "temperature 0.2")
    assert results.items["local_larger"].columns["difficulty"] == "medium"
    assert {item.samples for item in results.items.values()} == {2}


def test_livecodebench_s_figures_alone_are_refused(tmp_path: Path) -> None:
    figures = next((DATA / "livecodebench/base").glob("*_eval.json"))
    with pytest.raises(DataError, match=r"give the file that ends in _eval_all\.json"):
        read_results([figures])
    rows = json.loads(next((DATA / "livecodebench/base").glob("*_eval_all.json")).read_text())
    for row in rows:
        del row["graded_list"]
    with pytest.raises(DataError, match="answers of LiveCodeBench that were not graded"):
        read_results(written(tmp_path, rows))


def test_a_grade_that_is_none_is_refused(tmp_path: Path) -> None:
    rows = json.loads(next((DATA / "livecodebench/base").glob("*_eval_all.json")).read_text())
    rows[2]["graded_list"] = [True, None]
    with pytest.raises(DataError, match="question 3 has no graded_list of true and false"):
        read_results(written(tmp_path, rows))


def test_an_unknown_file_names_the_nearest_harness(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nearest to it is NeMo Evaluator; known: lm-evaluation-harness"):
        read_results(written(tmp_path, {"run_id": "r", "benchmark": {}}))
    with pytest.raises(DataError, match="known here; known: lm-evaluation-harness"):
        read_results(written(tmp_path, {"what": 1}))


def test_files_of_two_harnesses_in_one_folder_are_two_tasks(tmp_path: Path) -> None:
    shutil.copytree(DATA / "evalplus/base", tmp_path / "run")
    shutil.copytree(DATA / "livecodebench/base", tmp_path / "run", dirs_exist_ok=True)
    assert {one.task for one in read_results(files_of(tmp_path / "run"))} == {"local", "codegeneration"}


@pytest.mark.parametrize("side", ["base", "candidate"])
def test_nemo_evaluator(side: str) -> None:
    results = read("nemo_evaluator", side)
    bundle = json.loads(next((DATA / "nemo_evaluator" / side).glob("eval-*.json")).read_text())
    assert mean(results, "reward") == pytest.approx(bundle["benchmark"]["scores"]["mean_reward"]["value"])
    assert (results.task, results.conditions["harness version"]) == ("local_sums", bundle["sdk_version"])
    assert json.loads(results.conditions["decoding config"]) == {"max_tokens": 16, "temperature": 0.7}
    assert (results.items["0"].samples, results.items["3"].columns) == (2, {"category": "large"})
    assert set(results.items["0"].scores) == {"reward", "scorer:exact"}


def test_a_bundle_needs_all_of_its_items(tmp_path: Path) -> None:
    shutil.copytree(DATA / "nemo_evaluator/base", tmp_path / "run")
    rows = tmp_path / "run/results.jsonl"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match=r"holds 7 results, and eval-.* says 8"):
        read_results(files_of(tmp_path / "run"))
    rows.unlink()
    with pytest.raises(DataError, match=r"without its items; copy results\.jsonl beside it"):
        read_results(files_of(tmp_path / "run"))


def test_lighteval() -> None:
    results = read("lighteval")
    (run,) = (DATA / "lighteval/base").rglob("results_*.json")
    said = json.loads(run.read_text())["results"]["local_sums|0"]
    assert {name: mean(results, name) for name in ("em", "f1")} == pytest.approx({"em": said["em"], "f1": said["f1"]})
    assert (results.task, len(results.items), results.conditions["task version"]) == ("local_sums|0", 12, "2")
    assert json.loads(results.conditions["decoding config"])["temperature"] == 0.0


def test_lighteval_s_details_need_the_file_that_says_what_ran(tmp_path: Path) -> None:
    (details,), (run,) = ((DATA / "lighteval/base").rglob(f"*.{kind}") for kind in ("parquet", "json"))
    shutil.copy(details, tmp_path)
    with pytest.raises(DataError, match="give the whole folder of --output-dir"):
        read_results(files_of(tmp_path / details.name))
    shutil.copy(run, tmp_path)
    assert len(read_results(files_of(tmp_path / details.name))[0].items) == 12
    with pytest.raises(DataError, match="run it with --save-details and give the output folder"):
        read_results([run])


def test_bigcodebench(tmp_path: Path) -> None:
    """In the form that `bigcodebench.evaluate` writes: one status a sample."""
    statuses = {"BigCodeBench/0": ["pass", "fail"], "BigCodeBench/1": ["timeout", "pass"]}
    graded = {
        task: [
            {"task_id": task, "solution": f"{task} {n}", "status": one, "details": {}} for n, one in enumerate(given)
        ]
        for task, given in statuses.items()
    }
    (results,) = read_results(written(tmp_path, {"date": "2026-11-30 08:00", "eval": graded}))
    assert (results.harness, results.task) == ("BigCodeBench", "bigcodebench")
    assert {name: item.scores["pass"] for name, item in results.items.items()} == dict.fromkeys(statuses, 0.5)
    with pytest.raises(DataError, match="has pass@k without its samples"):
        read_results(written(tmp_path, {"pass@1": 0.5, "model": "m"}))
