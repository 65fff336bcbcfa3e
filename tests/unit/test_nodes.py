"""Nodes that train together: threads or processes of this machine, with a script in torchrun's place."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from ssd_plugin import recipes
from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.core.gpus import NODES, Gpus
from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.errors import ConfigError, TrainingError
from ssd_plugin.training.megatron import heartbeat as presence
from ssd_plugin.training.megatron import nodes
from ssd_plugin.training.megatron.launcher import run_ranks
from ssd_plugin.training.megatron.nodes import Node, work_together
from ssd_plugin.training.megatron.torchrun import Ranks
from ssd_plugin.training.protocol import TrainJob

FIRST, SECOND = (Node(rank=rank, count=2, address="127.0.0.1") for rank in (0, 1))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of minutes."""
    monkeypatch.setenv(NODES, "1")  # so that what the first node sets is taken back
    monkeypatch.setattr(presence, "BEAT", 0.1)
    monkeypatch.setattr(nodes, "PATIENCE", 20.0)
    monkeypatch.setattr("ssd_plugin.training.megatron.nodes.find_gpus", lambda: Gpus(count=0, bytes=0))


def torchrun(folder: Path, first: str, second: str) -> Path:
    """What the first and the second node's ranks do: shell, in torchrun's place. Each writes its arguments down."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$*" in\n*--node-rank=0*) echo "$*" > {folder}/first; {first} ;;\n'
                    f'*) echo "$*" > {folder}/second; {second} ;;\nesac\n')  # fmt: skip
    path.chmod(0o755)
    return path


def line(folder: Path, first: str = "exit 0", second: str = "exit 0") -> Callable[[], None]:
    """The first node's line, of its ranks alone."""
    work = folder / "run/train"
    config = TrainConfig(backend="megatron", train_iters=2, save_interval=1, max_lr=1e-3, min_lr=0, seq_length=8)
    job = TrainJob(
        base_model=folder, base_digest="", examples=folder, work=work, output=folder / "out", seed=1, config=config
    )
    ranks = Ranks(count=1, python=str(torchrun(folder, first, second)))
    return lambda: run_ranks(job, ranks, 4, lambda _: True)


def both(folder: Path, of_first: Callable[[], None]) -> tuple["Future[None]", "Future[None]"]:
    """The two nodes side by side, until both have ended."""
    with ThreadPoolExecutor() as pool:
        run = folder / "run"
        second = pool.submit(work_together, SECOND, run, lambda: pytest.fail("the second node ran the pipeline"))
        return pool.submit(work_together, FIRST, run, of_first), second


def test_both_nodes_run_their_ranks_and_meet_at_the_same_place(tmp_path: Path) -> None:
    wait = f"while [ ! -e {tmp_path}/second ]; do sleep 0.1; done"  # as ranks do, for all of them
    for ended in both(tmp_path, line(tmp_path, first=wait)):
        assert ended.result() is None
    first, second = ((tmp_path / name).read_text().split() for name in ("first", "second"))
    assert first[:3] == second[:3] == ["-m", "torch.distributed.run", "--nnodes=2"]
    assert (first[3], second[3]) == ("--node-rank=0", "--node-rank=1")
    assert first[4:] == second[4:]
    assert first[4] == "--master-addr=127.0.0.1"
    assert first[-1] == str(tmp_path / "run/train/ranks.json")


def test_a_line_without_ranks_ends_the_others_well(tmp_path: Path) -> None:
    for ended in both(tmp_path, lambda: None):
        assert ended.result() is None


def test_what_an_earlier_attempt_left_behind_is_not_joined(tmp_path: Path) -> None:
    folder = tmp_path / "run/train/nodes"
    left = {"token": "old", "host": "h", "gpus": 0, "beat": 7, "fault": "it is over", "members": {"1": "old"}}
    for name in ("0", "1"):
        write_json(folder / f"{name}.json", left)
    write_json(folder / "meeting.json", {"leader": "old", "ranks": 1, "program": ["no"], "python": "/nowhere"})
    for ended in both(tmp_path, line(tmp_path)):
        assert ended.result() is None


def test_a_node_that_never_comes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "PATIENCE", 0.2)
    with pytest.raises(TrainingError, match=r"node 1 has not come to .*/nodes in 0 s: was this started on all nodes"):
        work_together(FIRST, tmp_path, lambda: pytest.fail("the pipeline began"))
    with pytest.raises(TrainingError, match="node 0 has not called"):
        work_together(SECOND, tmp_path / "other", lambda: None)


def test_the_first_nodes_failure_ends_the_second_one_in_its_words(tmp_path: Path) -> None:
    first, second = both(tmp_path, line(tmp_path, first='echo "ValueError: bad row"; exit 1', second="exec sleep 60"))
    with pytest.raises(TrainingError, match=r"^a rank failed: ValueError: bad row; see"):
        first.result()
    with pytest.raises(TrainingError, match=r"^node 0 \(.+\): a rank failed: ValueError: bad row"):
        second.result()


LOST = 'while [ ! -e second ]; do sleep 0.1; done; sleep 0.5; echo "RuntimeError: Connection closed by peer"; exit 1'


@pytest.mark.parametrize("of_first", ["exec sleep 60", LOST])
def test_the_second_nodes_failure_is_told_by_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_first: str
) -> None:
    """Also where the first node's ranks fail as well, since they have lost the second one's."""
    monkeypatch.chdir(tmp_path)
    first, second = both(tmp_path, line(tmp_path, first=of_first, second='echo "KeyError: 7"; exit 1'))
    with pytest.raises(TrainingError, match=r"^node 1 \(.+\): a rank failed: KeyError: 7; see .*ranks-1.log"):
        first.result()
    with pytest.raises(TrainingError, match=r"^a rank failed: KeyError: 7"):
        second.result()


def test_a_node_that_falls_silent_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "SILENCE", 0.5)
    monkeypatch.setattr(
        presence.Presence, "__exit__", lambda self, *_: self._over.set()
    )  # as a killed one: no last word

    def lost() -> None:
        raise SystemExit

    first, second = both(tmp_path, lost)
    assert isinstance(first.exception(), SystemExit)
    with pytest.raises(TrainingError, match=r"node 0 \(.+\) has given no sign of life for 0 s"):
        second.result()


def test_a_node_that_is_started_anew_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / "1.json", {"token": "new", "host": "h"})
    with pytest.raises(TrainingError, match=r"node 1 \(h\) was started anew"):
        presence.Peer(file=tmp_path / "1.json", token="old").ended()


def test_nodes_with_unequal_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"MainThread": 8}
    monkeypatch.setattr(nodes, "find_gpus", lambda: Gpus(count=counts.get(threading.current_thread().name, 4), bytes=1))
    with ThreadPoolExecutor() as pool:
        second = pool.submit(work_together, SECOND, tmp_path, lambda: None)
        with pytest.raises(ConfigError, match=r"node 1 \(.+\) has 4 GPUs, node 0 has 8"):
            work_together(FIRST, tmp_path, lambda: pytest.fail("the pipeline began"))
        with pytest.raises(TrainingError, match=r"^node 0 \(.+\): node 1 \(.+\) has 4 GPUs"):
            second.result()


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, socket.gethostname()),
        ({"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2"}, "10.0.0.1"),
        ({"PET_NODE_RANK": "1", "PET_NNODES": "2", "PET_MASTER_ADDR": "train-node-0-0.train"}, "train-node-0-0.train"),
    ],
)
def test_each_scheduler_says_which_node_this_is(environment: dict[str, str], address: str) -> None:
    assert Node.scheduled(environment, 2) == Node(rank=1, count=2, address=address)
    with pytest.raises(ConfigError, match=r"--nodes 3, but .* = 2: start it once on each node"):
        Node.scheduled(environment, 3)


def test_without_a_scheduler_it_says_so() -> None:
    with pytest.raises(ConfigError, match="--nodes 2: no scheduler says"):
        Node.scheduled({}, 2)


def start(run: Path, rank: int) -> "subprocess.Popen[str]":
    environment = os.environ | {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2"}
    command = [Path(sys.executable).with_name("ssd"), "train", "--run-dir", run, "--nodes", "2"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_ends_on_every_node_with_one_line_and_status_3(tmp_path: Path) -> None:
    """Two processes, and what the first one's checks say: there is no GPU here."""
    write_json(tmp_path / "config.json", config_to_json(recipes.load("ssd_qwen3")()))
    running = [start(tmp_path, rank) for rank in (0, 1)]
    (out, first), (_, second) = (process.communicate(timeout=100) for process in running)
    assert [process.returncode for process in running] == [3, 3]
    assert out.startswith("nodes     ")
    assert first.startswith("ssd: ")
    assert "nvidia-smi shows none here" in first
    assert second.startswith("ssd: node 0 (")
    assert second.count("\n") == first.count("\n") == 1
    assert first.removeprefix("ssd: ").strip() in second
    assert read_json(tmp_path / "train/nodes/1.json")["ended"]


def test_a_backend_that_trains_on_one_machine_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", config_to_json(recipes.load("ssd_smollm2_135m")()))
    process = start(tmp_path, 0)
    assert "train.backend = embedded trains on one machine" in process.communicate(timeout=100)[1]
    assert process.returncode == 3
