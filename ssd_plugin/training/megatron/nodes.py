"""Several nodes train together: `ssd train --nodes N`, which the scheduler starts once on each of them.

They meet in `train/nodes` of the run directory, which lies on storage that all of them share. The first node continues the
line; when that reaches its ranks it writes down where they meet, and the other nodes run theirs. A node that never comes,
falls silent or fails ends all of them.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.gpus import NODES, find_gpus, nodes_together
from ssd_plugin.core.jsonl import write_json
from ssd_plugin.errors import ConfigError, TrainingError
from ssd_plugin.training.megatron import heartbeat as presence
from ssd_plugin.training.megatron.heartbeat import Peer, Presence, read_facts
from ssd_plugin.training.megatron.job import JOB_FILE
from ssd_plugin.training.megatron.torchrun import Ranks, end, failure

FOLDER, MEETING = "nodes", "meeting.json"
PATIENCE = 900.0  # seconds for all nodes to come: they may have images to pull

# A node's number, how many there are, and the first one's address (or else its host name is taken), as Slurm's srun (a task a
# node), SkyPilot and Kubeflow say.
SCHEDULERS = (
    ("SLURM_PROCID", "SLURM_NTASKS", ""),
    ("SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES", "SKYPILOT_NODE_IPS"),
    ("PET_NODE_RANK", "PET_NNODES", "PET_MASTER_ADDR"),
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """This node's number (from 0), how many there are, and, on the first one, the address at which the others reach it."""

    rank: int
    count: int
    address: str

    @classmethod
    def scheduled(cls, environment: Mapping[str, str], count: int) -> "Node":
        """What the scheduler says of this node, of which `count` are wanted.

        Raises:
            ConfigError: no scheduler that is known, or it started another number.
        """
        for rank, number, address in SCHEDULERS:
            if rank not in environment or number not in environment:
                continue
            if environment[number] != str(count):
                raise ConfigError(f"--nodes {count}, but {number} = {environment[number]}: start it once on each node")
            first = environment.get(address, "").split()
            return cls(rank=int(environment[rank]), count=count, address=first[0] if first else socket.gethostname())
        names = ", ".join(rank for rank, _, _ in SCHEDULERS)
        raise ConfigError(
            f"--nodes {count}: no scheduler says which of them this is ({names}); leave it out on one machine"
        )


@dataclass(frozen=True, kw_only=True)
class Team:
    """The nodes of one training as the first one sees them. `options`: torchrun's, for meeting."""

    options: list[str]
    others: list[Peer] = field(default_factory=list)

    def check(self) -> None:
        """See that the others live.

        Raises:
            TrainingError: one does not; names it, and why.
        """
        for peer in self.others:
            peer.ended()

    def wait_for_cause(self) -> None:
        """After a failure here that looks like another node's: give that one the time to say so.

        Raises:
            TrainingError: it did.
        """
        for _ in range(5 if self.others else 0):
            self.check()
            time.sleep(presence.BEAT)


def work_together(node: Node, run_dir: Path, pipeline: Callable[[], None]) -> None:
    """Run `pipeline` on the first node while the others lend it their ranks; returns on each of them when it has ended.

    Raises:
        ConfigError: the nodes have unequal numbers of GPUs.
        TrainingError: another node never came, failed or fell silent.
    """
    work = run_dir / layout.TRAIN
    files = [work / FOLDER / f"{rank}.json" for rank in range(node.count)]
    before = {file: read_facts(file) for file in files}
    with Presence(files[node.rank], address=node.address, gpus=find_gpus().count) as us:
        if node.rank:
            _lend(work, node, _join(node, us, files[0], before[files[0]]))
            return
        _gather(us, {file: before[file] for file in files[1:]})
        os.environ[NODES] = str(node.count)  # for the stages that the pipeline starts
        pipeline()


def _gather(us: Presence, before: Mapping[Path, Mapping[str, Any]]) -> None:
    """Wait for the other nodes. A file that says what it said `before` was left behind by an attempt that is over."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = {file: read_facts(file) for file in before}
        missing = [file for file, facts in found.items() if facts == before[file] or "ended" in facts]
        if not missing:
            break
        if time.monotonic() > deadline:
            raise TrainingError(
                f"node {missing[0].stem} has not come to {missing[0].parent} in {PATIENCE:.0f} s: was this started on all "
                "nodes, and do they share that storage?"
            )
        time.sleep(presence.BEAT)
    us.say(members={file.stem: facts["token"] for file, facts in found.items()})
    ours = find_gpus().count
    for file, facts in found.items():
        if facts["gpus"] != ours:
            raise ConfigError(
                f"node {file.stem} ({facts['host']}) has {facts['gpus']} GPUs, node 0 has {ours}: use equal nodes"
            )
    print(f"nodes     {', '.join([us.host, *(facts['host'] for facts in found.values())])}", flush=True)


def _join(node: Node, us: Presence, first: Path, before: Mapping[str, Any]) -> Peer:
    """Wait until the first node counts on this one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        facts = read_facts(first)
        if facts.get("members", {}).get(str(node.rank)) == us.token:
            return Peer(file=first, token=facts["token"])
        if facts != before and facts.get("fault"):
            raise TrainingError(f"node 0 ({facts['host']}): {facts['fault']}")
        if time.monotonic() > deadline:
            raise TrainingError(f"node 0 has not called from {first.parent} in {PATIENCE:.0f} s")
        time.sleep(presence.BEAT)


def call_together(work: Path, ranks: Ranks) -> Team:
    """In the first node's training stage: tell the others where to meet. Alone, there is nobody to tell."""
    if nodes_together() == 1:
        return Team(options=["--standalone"])
    folder = work / FOLDER
    us = read_facts(folder / "0.json")
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    meeting = {"leader": us["token"], "address": us["address"], "port": port, "nodes": nodes_together()}
    meeting |= {"ranks": ranks.count, "program": ranks.program, "python": ranks.python}
    write_json(folder / MEETING, meeting)
    others = [Peer(file=folder / f"{rank}.json", token=token) for rank, token in us["members"].items()]
    return Team(options=_options(meeting, 0), others=others)


def _options(meeting: Mapping[str, Any], rank: int) -> list[str]:
    values = {"nnodes": meeting["nodes"], "node-rank": rank, "master-addr": meeting["address"]}
    return [f"--{name}={value}" for name, value in (values | {"master-port": meeting["port"]}).items()]


def _lend(work: Path, node: Node, leader: Peer) -> None:
    """Another node's part: wait to be called, run this node's ranks, end with the first node."""
    meeting: dict[str, Any] = {}
    while meeting.get("leader") != leader.token:
        if leader.ended():
            return  # there was nothing left to train
        time.sleep(presence.BEAT)
        meeting = read_facts(work / FOLDER / MEETING)
    ranks = Ranks(count=meeting["ranks"], program=tuple(meeting["program"]), python=meeting["python"])
    log = work / f"ranks-{node.rank}.log"
    process = ranks.start(work / JOB_FILE, _options(meeting, node.rank), log)
    try:
        while not leader.ended():
            if process.poll():
                raise failure(work, log)
            time.sleep(presence.BEAT)
    finally:
        end(process)
