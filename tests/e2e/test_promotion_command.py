"""From keys to production through the installed command: gate, verify, promote, tamper, roll back; exit codes throughout."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

SSD = Path(sys.executable).with_name("ssd")
TASKS = 16
POLICY = """schema = "ssd-policy/1"
name = "team"
description = "Small numbers for a test"
promotable = true
sandbox = "landlock"
min_tasks = 16
min_samples = 1

[gates.integrity]
tier = "critical"

[gates.artifact]
tier = "critical"

[gates.correctness]
tier = "critical"
margin = 0.25
"""


def ssd(folder: Path, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the installed command; a traceback is never right, and a refusal is one line on stderr."""
    command = [str(SSD), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, done.stderr + done.stdout
    if status and arguments[0] != "gate":
        assert len(done.stderr.splitlines()) == 1, done.stderr
    return done


def write_model(folder: Path, weight: float) -> Path:
    folder.mkdir()
    save_file({"w": np.full((2, 2), weight, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model}))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    (folder / "generation_config.json").write_text("{}")
    return folder


def write_samples(path: Path, wrong: int) -> Path:
    rows = []
    for number in range(TASKS):
        code = f"def f(a):\n    return a + {number + (number < wrong)}  # by {path.stem}\n"
        rows.append({"task_id": f"t{number}", "sample_id": "0", "completion": f"```python\n{code}```"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys, tasks, four models, and evidence of two GOs (old after start, new after old) and of a NO-GO."""
    folder = tmp_path_factory.mktemp("work")
    rows = [
        {"task_id": f"t{n}", "prompt": f"add {n}", "domain": "math", "kind": "function", "entry_point": "f",
         "inputs": [[1], [5]], "expected": [1 + n, 5 + n], "reference": f"def f(a):\n    return a + {n}\n"}
        for n in range(TASKS)
    ]  # fmt: skip
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "policy.toml").write_text(POLICY)
    for name, weight, wrong in (("start", 0.0, 0), ("old", 1.0, 0), ("new", 2.0, 0), ("bad", 3.0, TASKS)):
        write_model(folder / name, weight)
        write_samples(folder / f"{name}.jsonl", wrong)
    ssd(folder, "keys", "new", "--out", "keys")
    for candidate, baseline, out, status in (
        ("old", "start", "first", 0),
        ("new", "old", "go", 0),
        ("bad", "old", "no-go", 1),
    ):
        ssd(folder, "gate", "--policy", "policy.toml", "--tasks", "tasks.jsonl",
            "--baseline", f"{baseline}.jsonl", "--baseline-model", baseline,
            "--candidate", f"{candidate}.jsonl", "--model", candidate,
            "--sign", "keys/ssd.key", "--out", out, status=status)  # fmt: skip
    return folder


def verify(work: Path, out: str, model: str, status: int = 0) -> str:
    done = ssd(
        work, "verify", "--verdict", f"{out}/verdict.json", "--trust", "keys/ssd.pub", "--model", model, status=status
    )
    return done.stderr or done.stdout


def promote(work: Path, out: str, model: str, registry: Path, status: int = 0) -> str:
    done = ssd(work, "promote", "--verdict", f"{out}/verdict.json", "--trust", "keys/ssd.pub", "--model", model,
               "--registry", registry, status=status)  # fmt: skip
    return done.stderr or done.stdout


def test_a_go_is_promoted_and_rolled_back(work: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    assert "GO by policy team" in verify(work, "go", "new")
    assert "champion is version 000001" in promote(work, "first", "old", registry)
    assert "champion is version 000002 (was 000001)" in promote(work, "go", "new", registry)
    champion = registry / "model/champion"
    assert (champion / "model.safetensors").read_bytes() == (work / "new/model.safetensors").read_bytes()
    assert "already champion" in promote(work, "go", "new", registry)
    back = ("promote", "--rollback", "--registry", registry)
    assert "no key is trusted" in ssd(work, *back, status=1).stderr
    done = ssd(work, *back, "--trust", "keys/ssd.pub", "--json")
    assert json.loads(done.stdout)["version"] == "000001"
    assert (champion / "model.safetensors").read_bytes() == (work / "old/model.safetensors").read_bytes()
    assert "was replaced or rolled back" in promote(work, "go", "new", registry, status=1)
    assert "is the first" in ssd(work, *back, "--trust", "keys/ssd.pub", status=3).stderr


def test_only_a_go_of_a_trusted_key_passes(work: Path, tmp_path: Path) -> None:
    assert "the verdict is NO-GO, not GO" in verify(work, "no-go", "bad", status=1)
    assert "the verdict is NO-GO, not GO" in promote(work, "no-go", "bad", tmp_path, status=1)
    assert "no key is trusted" in ssd(work, "verify", "--verdict", "go/verdict.json", status=1).stderr
    ssd(work, "keys", "new", "--out", tmp_path / "stranger")
    stranger = ("--trust", tmp_path / "stranger/ssd.pub")
    assert "not trusted" in ssd(work, "verify", "--verdict", "go/verdict.json", *stranger, status=1).stderr
    assert "model.safetensors was changed" in verify(work, "go", "old", status=1)
    refused = ssd(work, "verify", "--verdict", "go/verdict.json", "--json", status=1)
    assert json.loads(refused.stdout)["ok"] is False
    assert not list(tmp_path.glob("model"))


def test_a_policy_can_be_demanded(work: Path, tmp_path: Path) -> None:
    (tmp_path / "lax.toml").write_text(POLICY.replace("0.25", "0.9"))
    (tmp_path / "copy.toml").write_text(POLICY)
    checked = ("verify", "--verdict", "go/verdict.json", "--trust", "keys/ssd.pub", "--policy")
    moved = ("promote", *checked[1:5], "--model", "new", "--registry", tmp_path / "registry", "--policy")
    for command in (checked, moved):
        for other in (tmp_path / "lax.toml", "default"):
            assert "was judged by policy team (SHA-256 " in ssd(work, *command, other, status=1).stderr
        for missing in ("nowhere.toml", ""):
            assert "neither a file nor one of" in ssd(work, *command, missing, status=3).stderr
    assert not (tmp_path / "registry").exists()
    for command in (checked, moved):
        ssd(work, *command, tmp_path / "copy.toml")
    back = ("promote", "--rollback", "--registry", tmp_path / "registry", "--trust", "keys/ssd.pub")
    assert "takes no" in ssd(work, *back, "--policy", "policy.toml", status=3).stderr


def test_every_tampered_file_is_refused_by_name(work: Path, tmp_path: Path) -> None:
    evidence = [path for path in sorted((work / "go").rglob("*")) if path.is_file()]
    bound = [
        path for path in evidence if path.suffix in (".json", ".sarif", ".xml", ".md") and path.parent.name == "go"
    ]
    model = sorted(path for path in (work / "new").rglob("*") if path.is_file())
    assert len(bound) == 7
    assert len(model) == 6
    for path in (*bound, *model, work / "tasks.jsonl"):
        original = path.read_bytes()
        middle = len(original) // 2
        path.write_bytes(original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :])
        try:
            assert path.name in verify(work, "go", "new", status=1)
            if path in model or path.name == "verdict.json":
                assert path.name in promote(work, "go", "new", tmp_path / "registry", status=1)
        finally:
            path.write_bytes(original)
    verify(work, "go", "new")
    assert not (tmp_path / "registry/model/champion").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("verify", "--verdict", "nowhere.json"),
        ("verify", "--verdict", "go/verdict.json", "--trust", "nowhere.pub"),
        ("verify", "--verdict", "go/verdict.json", "--trust", "keys/ssd.key"),
        ("verify", "--verdict", "go/verdict.json", "--model", "nowhere"),
        ("promote", "--registry", "r"),
        ("promote", "--rollback", "--verdict", "go/verdict.json", "--registry", "r"),
        ("promote", "--rollback", "--registry", "r", "--name", "../x"),
        ("promote", "--rollback", "--registry", "gopher://x"),
        ("keys", "new"),
        ("keys", "new", "--out", "keys"),
        ("keys", "new", "--out", "tasks.jsonl"),
    ],
)
def test_usage_errors_exit_3_and_write_nothing(work: Path, arguments: tuple[str, ...]) -> None:
    before = sorted(work.rglob("*"))
    ssd(work, *arguments, status=3)
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize("name", ["keys", "verify", "promote"])
def test_help_has_an_example(work: Path, name: str) -> None:
    assert "Example: ssd" in ssd(work, name, "--help").stdout
