"""The pipeline as jobs of a real Slurm: a controller and two nodes on this machine, a tiny random model, no GPU.

`nemo` runs in this environment and the jobs in the embedded backend's. NeMo-Run before 0.11 hands srun options of Pyxis, a
plugin that Slurm itself does not have, even without a container.
"""

import getpass
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from packaging.version import Version

from ssd_plugin import recipes
from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.core.jsonl import write_json

pytestmark = pytest.mark.frameworks
pytest.importorskip("nemo_run", reason="needs nemo-run: make frameworks")
if Version(importlib.metadata.version("nemo-run")) < Version("0.11"):
    pytest.skip("NeMo-Run before 0.11 runs under Slurm with Pyxis only", allow_module_level=True)
for program in ("munged", "slurmctld", "slurmd", "sbatch"):
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: apt-get install slurm-wlm munge", allow_module_level=True)

NEMO = Path(sys.executable).with_name("nemo")
EMBEDDED = Path(__file__).parents[2] / ".venv/bin"
if not (EMBEDDED / "ssd").exists():
    pytest.skip("needs the embedded backend's environment: make install", allow_module_level=True)

STAGES = ("prompts", "sample", "train", "evaluate", "gate")
PATIENCE = 500  # seconds
CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs={cpus} State=UNKNOWN
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={two} CPUs={cpus} State=UNKNOWN
PartitionName=batch Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""
SETTINGS = (
    "model.system_message=", "engine.dtype=float32", "prompts.limit=3", "sampling.max_new_tokens=8",
    "filters.drop_truncated=false", "filters.drop_single_line_stubs=false", "train.train_iters=2", "train.warmup_iters=0",
    "train.save_interval=1", "train.global_batch_size=2", "train.seq_length=768", "select.data.limit=3",
    "select.temperatures=[0.5]", "select.samples_per_task=1", "evaluate.data.limit=4", "evaluate.samples_per_task=2",
    "evaluate.max_new_tokens=8",
)  # fmt: skip


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which sbatch reaches this test's own Slurm, and its jobs find `ssd`."""
    folder = tmp_path / "slurm"
    (folder / "state").mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    names = {"host": socket.gethostname(), "user": getpass.getuser(), "cpus": os.cpu_count(), "folder": folder}
    ports = dict(zip(("controller", "one", "two"), free_ports(3), strict=True))
    (folder / "slurm.conf").write_text(CONF.format(**names, **ports))
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"), "NEMORUN_HOME": str(tmp_path / "nemorun"), "OMP_NUM_THREADS": "1",
        "PATH": f"{EMBEDDED}:{os.environ['PATH']}",
    }  # fmt: skip
    munged = ["munged", "--foreground", "--force", f"--key-file={folder}/key", f"--socket={folder}/munge.socket"]
    munged += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    nodes = {node: ["slurmd", "-D", "-N", node] for node in ("one", "two")}
    with ExitStack() as stack:
        for name, command in ({"munged": munged, "slurmctld": ["slurmctld", "-D"]} | nodes).items():
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            stack.callback(end, daemon)
        wait_for(lambda: ask(environment, "sinfo", "-h", "-o", "%T") == "idle", "the nodes did not become idle", folder)
        stack.callback(ask, environment, "scancel", "--user", getpass.getuser())
        yield environment


def end(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(timeout=30)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def ask(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()


def wait_for(condition: Callable[[], bool], reason: str, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        logs = "".join(path.read_text(errors="replace")[-1500:] for path in sorted(folder.rglob("*.log")))
        assert time.monotonic() < deadline, f"{reason}\n{logs}"
        time.sleep(0.5)


def save_model(folder: Path) -> None:
    """A tiny random model, by the embedded backend's environment: this one may have no torch."""
    code = "from pathlib import Path; from tiny_models import save_model; import sys; "
    code += "save_model(Path(sys.argv[1]), 'llama', max_position_embeddings=1024)"
    support = Path(__file__).parents[1] / "support"
    command = [str(EMBEDDED / "python"), "-c", code, str(folder)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(support)}, timeout=PATIENCE)


def submit(environment: dict[str, str], folder: Path) -> list[str]:
    """Send the pipeline's jobs off and wait until the queue is empty; what srun's logs say, stage by stage."""
    command = [str(NEMO), "llm", "finetune", "--recipe", "ssd_smollm2_135m", "--executor", "slurm", "--detach", "--yes"]
    command += [
        f"run.executor.{field}" for field in ("account=any", "partition=batch", "gpus_per_node=0", "time=00:10:00")
    ]
    command += ["--run-dir", str(folder / "run"), f"model.ref={folder / 'model'}", *SETTINGS]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    wait_for(lambda: ask(environment, "squeue", "-h") == "", "the queue did not empty", folder / "slurm")
    newest = max((folder / "nemorun/experiments/ssd_smollm2_135m").iterdir(), key=lambda path: path.stat().st_mtime)
    return [path.read_text() for stage in STAGES for path in (newest / stage).glob("log-*.out")]


@pytest.mark.timeout(3 * PATIENCE)
def test_the_line_runs_as_jobs_that_wait_for_each_other(slurm: dict[str, str], tmp_path: Path) -> None:
    (failed,) = submit(slurm, tmp_path)  # the later jobs leave the queue without having run
    assert "ssd: model.ref: no directory" in failed
    save_model(tmp_path / "model")
    logs = submit(slurm, tmp_path)  # the same command again
    for stage, log in zip(STAGES, logs, strict=True):
        assert re.search(rf"^{stage} +(?!unchanged)", log, re.MULTILINE), log
    for stage in ("prompts", "sample", "filter", "train", "select", "evaluate"):
        assert f"{stage:9} unchanged" in logs[-1]
    assert "INCONCLUSIVE by policy " in logs[-1]  # four tasks decide nothing
    records = json.loads((tmp_path / "run/manifest.json").read_text())["stages"]
    assert records["gate"]["facts"]["exit_code"] == 2


def test_training_over_two_nodes_ends_on_both_as_on_the_first(slurm: dict[str, str], tmp_path: Path) -> None:
    """They meet; there is no GPU, which the first one's checks say, and the second one after it."""
    config = config_to_json(recipes.load("ssd_qwen3")())
    write_json(tmp_path / "run/config.json", config)
    command = [
        "srun",
        "--nodes=2",
        "--ntasks-per-node=1",
        "ssd",
        "train",
        "--run-dir",
        tmp_path / "run",
        "--nodes",
        "2",
    ]
    done = subprocess.run(command, env=slurm, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("nodes     ")
    first, second = sorted((line for line in done.stderr.splitlines() if line.startswith("ssd: ")), key=len)
    assert "nvidia-smi shows none here" in first
    assert second == f"ssd: node 0 ({socket.gethostname()}): {first.removeprefix('ssd: ')}"
