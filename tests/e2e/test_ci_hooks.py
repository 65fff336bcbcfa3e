"""What CI systems are given: each only calls the command, hands its exit status on, and keeps inputs out of its script."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssd_plugin.gating.policy import load_policy

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())  # type: ignore[no-untyped-call]


ACTION, GITLAB = load("hooks/github/action.yml"), load("hooks/gitlab/ssd-gate.yml")[".ssd-gate"]
HOSTILE = "a b; touch pwned $(touch pwned) `touch pwned` \"'"
INSTALL, STEP = ACTION["runs"]["steps"]


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """A folder with an `ssd` that notes its arguments and its key file, writes a summary and exits as $STUB_STATUS says."""
    program = tmp_path / "bin/ssd"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "a = sys.argv[1:]\n"
        "key = a[a.index('--sign') + 1] if '--sign' in a else ''\n"
        "seen = {'arguments': a, 'key': open(key).read() if key else '', 'mode': os.stat(key).st_mode & 0o777 if key else 0,\n"
        "        'environment': any(b'SSD_SIGN_KEY=' in open(f'/proc/{p}/environ', 'rb').read()\n"
        "                           for p in ('self', os.getppid()))}\n"
        "json.dump(seen, open('seen.json', 'w'))\n"
        "out = a[a.index('--out') + 1]; os.makedirs(out, exist_ok=True)\n"
        "page = '# new\\n\\n![GO: every gate](summary.svg)\\n'\n"
        "if os.environ['STUB_STATUS'] != '3': open(out + '/summary.md', 'w').write(page)\n"
        "sys.exit(int(os.environ['STUB_STATUS']))\n"
    )
    program.chmod(0o755)
    return tmp_path


def run_script(script: str, folder: Path, shell: str = "bash", **environment: str) -> subprocess.CompletedProcess[str]:
    full = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "TMPDIR": str(folder), **environment}
    file = folder / "step.sh"  # as the services' runners do
    file.write_text(script)
    command = [shell, "-e", str(file)]
    return subprocess.run(command, cwd=folder, env=full, capture_output=True, text=True, timeout=60, check=False)


def action_environment(folder: Path, **inputs: str) -> dict[str, str]:
    """The step's environment as GitHub fills it in from the inputs and their defaults."""

    def value(expression: str) -> str:
        (name,) = re.findall(r"\$\{\{ inputs\.([a-z-]+) \}\}", expression)
        return inputs.get(name, str(ACTION["inputs"][name].get("default", "")))

    filled = {name: value(expression) for name, expression in STEP["env"].items()}
    return {**filled, "GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "page.md")}


def seen(folder: Path) -> Any:
    return json.loads((folder / "seen.json").read_text())


@pytest.mark.parametrize(
    ("status", "outcome"), [(0, "GO"), (1, "NO-GO"), (2, "INCONCLUSIVE"), (3, "ERROR"), (137, "ERROR")]
)
def test_the_github_action_hands_on_status_outcome_and_page(stub: Path, status: int, outcome: str) -> None:
    (stub / "ssd-evidence").mkdir()
    (stub / "ssd-evidence/summary.md").write_text("# GO of an earlier run")
    environment = action_environment(stub, policy="default", tasks="t", baseline="b", candidate="c")
    done = run_script(STEP["run"], stub, STUB_STATUS=str(status), **environment)
    assert done.returncode == status, done.stderr
    assert (stub / "output").read_text() == f"outcome={outcome}\n"
    page = (stub / "page.md").read_text() if (stub / "page.md").exists() else ""
    assert page == ("# new\n\n" if status != 3 else ""), "a page of the service has no files beside it"


def test_the_github_action_installs_the_very_checkout_that_uses_pins(stub: Path) -> None:
    program = stub / "bin/python"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > seen.txt\n')
    program.chmod(0o755)
    done = run_script(INSTALL["run"], stub, GITHUB_ACTION_PATH=str(ROOT / "hooks/github"))
    assert done.returncode == 0, done.stderr
    *command, source = (stub / "seen.txt").read_text().splitlines()
    assert command == ["-P", "-m", "pip", "install"]
    assert Path(source).resolve() == ROOT
    assert (Path(source) / "pyproject.toml").is_file()


def test_the_github_action_passes_every_input_as_one_argument(stub: Path) -> None:
    names = [name for name in ACTION["inputs"] if name not in ("sign-key", "keyless", "out")]
    assert "ledger" in names
    environment = action_environment(stub, **dict.fromkeys(names, HOSTILE), **{"sign-key": "PEM\nlines"})
    done = run_script(STEP["run"], stub, STUB_STATUS="0", **environment)
    assert done.returncode == 0, done.stderr
    facts = seen(stub)
    for name in names:
        assert facts["arguments"][facts["arguments"].index(f"--{name}") + 1] == HOSTILE
    assert (facts["key"], facts["mode"], facts["environment"]) == ("PEM\nlines\n", 0o600, False)
    assert not list(stub.glob("tmp.*")), "the key was left behind"
    assert not (stub / "pwned").exists()
    assert "${{" not in STEP["run"]


def test_optional_inputs_are_left_out_when_empty(stub: Path) -> None:
    environment = action_environment(stub, policy="p", tasks="t", baseline="b", candidate="c")
    run_script(STEP["run"], stub, STUB_STATUS="0", **environment)
    expected = "gate --policy p --tasks t --baseline b --candidate c --out ssd-evidence"
    assert seen(stub)["arguments"] == shlex.split(expected)
    run_script(GITLAB["script"][0], stub, STUB_STATUS="0", **GITLAB["variables"] | {
        "SSD_POLICY": "p", "SSD_TASKS": "t", "SSD_BASELINE": "b", "SSD_CANDIDATE": "c"})  # fmt: skip
    assert seen(stub)["arguments"] == shlex.split(expected)


@pytest.mark.parametrize(("value", "signs"), [("true", True), ("false", False), ("", False), (HOSTILE, False)])
def test_keyless_is_passed_on_only_when_it_says_true(stub: Path, value: str, signs: bool) -> None:
    environment = action_environment(stub, policy="p", tasks="t", baseline="b", candidate="c", keyless=value)
    run_script(STEP["run"], stub, STUB_STATUS="0", **environment)
    assert ("--keyless" in seen(stub)["arguments"]) is signs
    names = {"SSD_TASKS": "t", "SSD_BASELINE": "b", "SSD_CANDIDATE": "c", "SSD_KEYLESS": value}
    for shell in ("bash", "sh"):
        run_script(GITLAB["script"][0], stub, shell, STUB_STATUS="0", **GITLAB["variables"] | names)
        assert ("--keyless" in seen(stub)["arguments"]) is signs
    assert not (stub / "pwned").exists()


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_the_gitlab_job_hands_on_status_and_every_variable(stub: Path, status: int, shell: str) -> None:
    names = (
        "policy",
        "tasks",
        "baseline",
        "candidate",
        "origin",
        "model",
        "baseline-model",
        "training",
        "ledger",
        "sign",
    )
    key = stub / "key file"
    key.write_text("PEM")
    variables = {f"SSD_{name.upper().replace('-', '_')}": HOSTILE for name in names if name != "sign"}
    variables |= {"SSD_SIGN_KEY": str(key), "SSD_OUT": "ssd-evidence", "STUB_STATUS": str(status)}
    done = run_script(GITLAB["script"][0], stub, shell, **variables)
    assert done.returncode == status, done.stderr
    arguments = seen(stub)["arguments"]
    for name in names:
        assert arguments[arguments.index(f"--{name}") + 1] == (str(key) if name == "sign" else HOSTILE)
    assert not (stub / "pwned").exists()


def test_the_options_that_the_hooks_use_exist() -> None:
    help_text = subprocess.run([BIN / "ssd", "gate", "--help"], capture_output=True, text=True, check=True).stdout
    used = set(re.findall(r"--[a-z-]+", STEP["run"] + GITLAB["script"][0]))
    assert len(used) == 12
    assert {option for option in used if option not in help_text} == set()


def test_the_action_installs_its_own_checkout_and_runs_nothing_of_the_workspace(tmp_path: Path) -> None:
    for name in ("pip.py", "site.py", "encodings.py"):
        (tmp_path / name).write_text("open('ran', 'w')\nraise SystemExit(7)\n")
    checkout = tmp_path / "checkout/hooks/github"
    checkout.mkdir(parents=True)
    (tmp_path / "checkout/pyproject.toml").write_text("no project")
    environment = {"GITHUB_ACTION_PATH": str(checkout), "PIP_NO_INDEX": "1", "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = run_script(INSTALL["run"], tmp_path, **environment)
    assert not (tmp_path / "ran").exists()
    assert done.returncode not in (0, 7)
    assert re.search(r"Processing \S*/checkout\b", done.stdout), (
        "pip itself, on the folder that the action was checked out to"
    )


def test_what_may_not_promote_is_refused_before_a_promotion(judged: Any) -> None:
    judged.sign(judged.go(policy=load_policy("default").reference, promotable=False))
    environment = {"SSD_VERDICT": str(judged.verdict), "SSD_MODEL": str(judged.model), "SSD_TRUST": str(judged.keys.public),
                   "SSD_POLICY": "default", "PATH": f"{BIN}:{os.environ['PATH']}"}  # fmt: skip
    script = [ROOT / "hooks/pre_promotion.sh"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "cannot promote a model" in done.stderr


def test_documented_steps_pin_actions_by_commit() -> None:
    pages = [
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "README.md",
        *sorted((ROOT / ".github/workflows").glob("*.yml")),
    ]
    used = {
        (page.name, reference)
        for page in pages
        for reference in re.findall(r"^[\s-]*uses:\s*(\S+)", page.read_text(), re.MULTILINE)
    }
    assert used
    for page, reference in used:
        assert reference.startswith("./") or re.search(r"@([0-9a-f]{40}|[A-Z_<][\w<> -]*)$", reference), (
            page,
            reference,
        )


def test_the_pre_promotion_script_verifies(judged: Any, tmp_path: Path) -> None:
    script = ROOT / "hooks/pre_promotion.sh"
    judged.sign(judged.go(policy=load_policy("default").reference))
    good = {"SSD_VERDICT": str(judged.verdict), "SSD_MODEL": str(judged.model), "SSD_TRUST": str(judged.keys.public),
            "SSD_POLICY": "default"}  # fmt: skip

    def status(**environment: str) -> int:
        path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        return subprocess.run([script], env=path | environment, capture_output=True, timeout=60, check=False).returncode

    assert status(**good) == 0
    for name in good:
        assert status(**{**good, name: ""}) == 3
    assert status(**{**good, "SSD_POLICY": "samples_only"}) == 1
    (judged.model / "tokenizer.json").write_text("{}")
    assert status(**good) == 1


def test_the_pre_commit_hook_checks_policies(tmp_path: Path) -> None:
    (hook,) = load(".pre-commit-hooks.yaml")
    shipped = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "gates/policies").glob("*.toml"))]
    assert len(shipped) >= 5
    assert all(re.search(hook["files"], path) for path in shipped)
    good = tmp_path / "policies/team.toml"
    good.parent.mkdir()
    good.write_text(
        'schema = "ssd-policy/1"\nname = "team"\ndescription = "d"\npromotable = false\nsandbox = "landlock"\n'
        'min_tasks = 10\nmin_samples = 1\n[gates.integrity]\ntier = "critical"\n[gates.correctness]\ntier = "critical"\n'
    )
    bad = tmp_path / "policies/bad.toml"
    bad.write_text(good.read_text().replace('tier = "critical"', 'tier = "important"', 1))
    entry = shlex.split(hook["entry"])
    command = [str(BIN / entry[0]), *entry[1:]]

    def run(*paths: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=60, check=False)

    assert run(good).returncode == 0
    refused = run(good, bad)
    assert refused.returncode == 3
    assert "bad.toml" in refused.stderr
    assert "important" in refused.stderr
