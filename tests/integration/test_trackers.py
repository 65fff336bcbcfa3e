"""Trackers: what they hold is read back with their own libraries; one that fails, hangs or dies is a line on stderr."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finished_run import build_run
from house_package import install

from ssd_plugin.config.overrides import apply_overrides, config_to_json
from ssd_plugin.core.jsonl import write_json
from ssd_plugin.errors import ConfigError, DependencyError, PluginError
from ssd_plugin.integrations.tracking import require as require_module
from ssd_plugin.integrations.tracking import send as send_module
from ssd_plugin.integrations.tracking.figures import tracked_run
from ssd_plugin.integrations.tracking.send import check_trackers, send
from ssd_plugin.recipes import load
from ssd_plugin.report.write import write_report

SSD = Path(sys.executable).with_name("ssd")
BUILT_IN = ("mlflow", "tensorboard", "wandb")


def needs(package: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"{package} is not installed here; run: make test-mlflow")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = build_run(tmp_path_factory.mktemp("finished") / "run", tasks=8, samples=2)
    config = apply_overrides(load("ssd_smollm2_135m")(), ["report.trackers=tensorboard", "sampling.temperature=1.3"])
    write_json(run / "config.json", config_to_json(config))
    write_report(run)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("house"))


def test_a_tracked_run_holds_the_reports_own_figures(run: Path) -> None:
    told, document = tracked_run(run, "run", "any"), write_report(run)
    side = next(row for row in document["evaluation"]["sides"] if row["side"] == "candidate")
    assert told.figures["held_out/candidate/pass_at_1"] == side["pass_at"]["1"]["estimate"]
    assert told.figures["held_out/candidate-base_best/pass_at_1/low"] < 1
    assert told.curves["train/loss"] == [(row["step"], row["loss"]) for row in document["training"]]
    assert (told.tags["verdict"], told.tags["gate.correctness"]) == ("NO-GO", "breach")
    assert told.settings["sampling.temperature"] == 1.3
    assert "report.trackers" not in told.settings
    assert all(path.is_file() for path in told.files)


@needs("tensorboard")
def test_tensorboard_events_read_back(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    for _ in range(2):  # the second time the figures changed: what was there goes
        send(["tensorboard"], ["tensorboard"], run, "run")
        write_json(run / "filter/report.json", {"filters": [], "kept": 60, "total": 64})
    told = tracked_run(run, "run", "tensorboard")
    events = EventAccumulator(str(run / "tracking/tensorboard"), size_guidance={"tensors": 0})
    events.Reload()

    def points(tag: str) -> list[tuple[int, float]]:
        return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]

    for name, curve in told.curves.items():
        assert [step for step, _ in points(name)] == [step for step, _ in curve]
        assert [value for _, value in points(name)] == pytest.approx([value for _, value in curve])
    for name, value in told.figures.items():
        ((step, read),) = points(name)
        assert step == 0
        assert read == pytest.approx(value), name

    def text(tag: str) -> str:
        return str(make_ndarray(events.Tensors(tag)[0].tensor_proto)[0].decode())

    assert "| verdict | NO-GO |" in text("verdict")
    assert "| sampling.temperature | 1.3 |" in text("settings")
    assert text("report") == (run / "report/summary.md").read_text()


@needs("mlflow")
def test_mlflow_run_reads_back(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    check_trackers(["mlflow"])
    send(["mlflow"], ["mlflow"], run, "runs/seven")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("ssd runs")
    (found,) = client.search_runs([experiment.experiment_id])
    told = tracked_run(run, "run", "mlflow")
    assert (found.info.run_name, found.info.status) == ("runs/seven", "FINISHED")
    assert found.data.tags["ssd.verdict"] == "NO-GO"
    assert found.data.params["sampling.temperature"] == "1.3"
    for name, value in told.figures.items():
        assert found.data.metrics[name] == pytest.approx(value), name
    history = client.get_metric_history(found.info.run_id, "train/loss")
    assert sorted((m.step, m.value) for m in history) == told.curves["train/loss"]
    artifacts = {artifact.path for artifact in client.list_artifacts(found.info.run_id, "report")}
    assert artifacts == {"report/index.html", "report/summary.md", "report/verdict.json"}


def wandb_records(file: Path) -> Iterator[bytes]:
    """The records of W&B's offline file: a 7-byte head, then LevelDB's log format (blocks of 32 KiB, records in pieces)."""
    data, at, whole = file.read_bytes(), 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:  # too short for a record's head: padding
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        piece = data[at + 7 : at + 7 + length]
        at += 7 + length
        whole = piece if kind in (1, 2) else whole + piece
        if kind in (1, 4):
            yield whole


@needs("wandb")
def test_wandb_offline_run_reads_back(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    send(["wandb"], ["wandb"], run, "runs/seven")
    (file,) = (run / "tracking/wandb").rglob("*.wandb")
    records = [Record.FromString(data) for data in wandb_records(file)]
    told = tracked_run(run, "run", "wandb")
    (begun,) = [record.run for record in records if record.HasField("run")]
    assert (begun.display_name, begun.project) == ("runs/seven", "ssd")
    history = [
        {"".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records if record.HasField("history")
    ]  # fmt: skip
    assert [(row["_step"], row["train/loss"]) for row in history] == told.curves["train/loss"]
    summary: dict[str, Any] = {}
    for record in records:
        if record.HasField("summary"):
            summary |= {"".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.summary.update}
    assert summary["verdict"] == "NO-GO"
    assert summary["held_out/candidate/pass_at_1"] == told.figures["held_out/candidate/pass_at_1"]


def test_a_third_partys_tracker_gets_each_run_once(
    run: Path, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(house)
    monkeypatch.setenv("PYTHONPATH", str(house))
    with pytest.raises(ConfigError, match="HOUSE_TRACKER"):
        check_trackers(["house-gates"])
    monkeypatch.setenv("HOUSE_TRACKER", str(tmp_path / "house.jsonl"))
    names = check_trackers(["house_gates"])
    assert names == ["house"]
    for _ in range(2):
        send(["house_gates"], names, run, "seven")
    out = capfd.readouterr().out.splitlines()
    assert out == [f"house     sent: {tmp_path / 'house.jsonl'}", f"house     unchanged: {tmp_path / 'house.jsonl'}"]
    write_json(run / "filter/report.json", {"filters": [], "kept": 60, "total": 64})
    send(["house_gates"], names, run, "seven")
    first, second = [json.loads(line) for line in (tmp_path / "house.jsonl").read_text().splitlines()]
    assert first["verdict"] == "NO-GO"
    assert (first["figures"]["filter/kept"], second["figures"]["filter/kept"]) == (61, 60)
    assert len(first["losses"]) == 60


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "RuntimeError: the house server said no"),
        ("exit", "died (exit status 0)"),
        ("hang", "stopped after 8 s"),
    ],
)
def test_a_tracker_that_fails_is_one_line_and_nothing_else(
    how: str, said: str, run: Path, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for key, value in (
        ("PYTHONPATH", str(house)),
        ("HOUSE_TRACKER", str(tmp_path / "t")),
        ("HOUSE_TRACKER_FAILS", how),
    ):
        monkeypatch.setenv(key, value)
    if how == "hang":
        monkeypatch.setattr(send_module, "PATIENCE", 8)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    send(["house-gates"], ["house"], run, "seven")
    captured = capfd.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("ssd: ")]
    assert line.startswith("ssd: tracker house: ")
    assert said in line
    assert "the verdict stands" in line
    assert captured.out == ""
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "t").exists()


def test_an_unfinished_run_is_not_sent(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run / "gate/verdict.json").unlink()
    send(["tensorboard"], ["tensorboard"], run, "seven")
    assert "nothing to send, verdict is not run" in capfd.readouterr().err
    assert not list((run / "tracking").rglob("*tfevents*"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_missing_package_is_named_before_anything_is_spent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(require_module.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(DependencyError, match=rf"pip install -e '\.\[{name}\]' in the checkout"):
        check_trackers([name])


def test_an_unknown_tracker_is_refused(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match="mlflow, tensorboard, wandb are built in"):
        check_trackers(["tensorbord"])
    monkeypatch.syspath_prepend(house)
    (house / "house_gates/tracker.py").rename(house / "house_gates/away.py")
    for file in house.glob("*.dist-info/entry_points.txt"):
        file.write_text(file.read_text().replace("house_tracker = house_gates.tracker\n", ""))
    with pytest.raises(PluginError, match="offers no tracker"):
        check_trackers(["house-gates"])


def test_ssd_run_refuses_before_it_begins(tmp_path: Path) -> None:
    command = [
        str(SSD),
        "run",
        "ssd_smollm2_135m",
        "--run-dir",
        str(tmp_path / "run"),
        "--set",
        "report.trackers=nobody",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert "'nobody'" in done.stderr
    assert not (tmp_path / "run").exists()
