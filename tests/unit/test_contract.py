"""Our calls into the frameworks against their versions' own definitions, by syntax trees alone: no framework is installed.

The definitions are kept in tests/data/contract.json; `python tests/support/contract.py WHEELS` writes it.
"""

import ast
import json
from typing import Any

import pytest
from contract import DATA, METHODS, ROOT, TOGETHER, call_problem, imported, our_files, used

from ssd_plugin.planning.pairs import PAIRS, minor
from ssd_plugin.sampling import vllm
from ssd_plugin.training.megatron.options import OURS

KEPT: dict[str, dict[str, dict[str, Any]]] = json.loads(DATA.read_text())
EACH = [(framework, versions) for framework, found in KEPT.items() for versions in found]
MEGATRON = list(KEPT["megatron"])


def definitions(framework: str, versions: str) -> dict[str, Any]:
    return KEPT[framework][versions]


def calls(framework: str) -> list[tuple[str, ast.Call, str]]:
    """Each call of the framework's own names in our code: the name, the call, and where it stands."""
    found = []
    for file in our_files(framework):
        tree = ast.parse(file.read_text())
        names = imported(tree, framework)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            where, f = f"{file.relative_to(ROOT)}:{node.lineno}", node.func
            if isinstance(f, ast.Name) and f.id in names:
                found.append((names[f.id][0], node, where))
            elif isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) and f.value.id in names:
                found.append((f"{names[f.value.id][0]}.{f.attr}".replace(":.", ":"), node, where))
    return found


def method_calls(framework: str) -> list[tuple[str, str, ast.Call, str]]:
    """Calls of the methods whose object's class our code does not name: the class, the method, the call, and where."""
    found = []
    for file in our_files(framework):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                for path, methods in METHODS.items():
                    if node.func.attr in methods and path.startswith(framework):
                        found.append((path, node.func.attr, node, f"{file.relative_to(ROOT)}:{node.lineno}"))
    return found


def test_the_data_is_of_the_versions_that_the_command_reads_and_of_every_pair() -> None:
    assert {f: list(found) for f, found in KEPT.items()} == {
        f: sorted(" ".join(wheels) for wheels in sets) for f, sets in TOGETHER.items()
    }
    kept = [tuple(minor(part.rpartition("-")[2]) for part in versions.split()) for versions in MEGATRON]
    assert kept == [(pair.bridge, pair.core) for pair in PAIRS]


@pytest.mark.parametrize(("framework", "versions"), EACH)
def test_what_we_import_is_there(framework: str, versions: str) -> None:
    names = used(framework)
    assert len(names) > 4
    needed = [path for path, optional in names.items() if not optional]
    assert [path for path in needed if path not in definitions(framework, versions)] == []


@pytest.mark.parametrize(("framework", "versions"), EACH)
def test_what_we_call_takes_what_we_give(framework: str, versions: str) -> None:
    known = definitions(framework, versions)
    ours = calls(framework)
    assert len(ours) > 1
    faults = [f"{where}: {path}: {call_problem(known[path], call)}" for path, call, where in ours
              if path in known and call_problem(known[path], call)]  # fmt: skip
    assert faults == []


@pytest.mark.parametrize(("framework", "versions"), [e for e in EACH if e[0] != "nemo_run"])
def test_the_methods_that_we_call_take_what_we_give(framework: str, versions: str) -> None:
    ours = method_calls(framework)
    assert {name for _, name, _, _ in ours} == {m for p, ms in METHODS.items() if p.startswith(framework) for m in ms}
    for path, name, call, where in ours:
        methods = definitions(framework, versions)[path]["methods"]
        assert name in methods, f"{where}: {path} has no {name}"
        assert call_problem(methods[name], call) == "", where


@pytest.mark.parametrize("versions", MEGATRON)
def test_bridge_calls_back_what_we_define(versions: str) -> None:
    events = definitions("megatron", versions)["megatron.bridge.training.callbacks:Callback"]["methods"]
    ours = {
        node.name
        for file in our_files("megatron")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("on_")
    }
    assert {"on_train_start", "on_train_step_end", "on_train_end"} <= ours <= events.keys()


@pytest.mark.parametrize("versions", MEGATRON)
def test_what_we_set_on_a_model_and_keep_from_users_are_fields(versions: str) -> None:
    known = definitions("megatron", versions)
    fields = set(known["megatron.bridge.models.gpt_provider:GPTModelProvider"]["names"])
    provider = [ROOT / "ssd_plugin/training/megatron" / name for name in ("provider.py", "bridge.py")]
    set_by_us = {
        node.attr
        for file in provider
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name) and node.value.id == "provider"
    }  # fmt: skip
    assert len(set_by_us) > 10
    assert set_by_us <= fields
    sections = {
        "train": "TrainingConfig", "optimizer": "OptimizerConfig", "scheduler": "SchedulerConfig", "rng": "RNGConfig",
        "ddp": "DistributedDataParallelConfig", "checkpoint": "CheckpointConfig",
    }  # fmt: skip
    assert OURS["model"] <= fields
    for section, name in sections.items():
        assert OURS[section] <= set(known[f"megatron.bridge.training.config:{name}"]["names"]), section


@pytest.mark.parametrize("versions", list(KEPT["vllm"]))
def test_vllms_arguments_that_are_ours_are_its_own(versions: str) -> None:
    fields = definitions("vllm", versions)["vllm.engine.arg_utils:EngineArgs"]["names"]
    assert vllm.SETTINGS.keys() | {"enable_prefix_caching", "enforce_eager", "disable_log_stats"} <= set(fields)
    vllm.check_options({"max_num_seqs": 64, "gpu_memory_utilization": 0.8, "kv_cache_dtype": "auto"}, fields)


def test_a_call_that_lacks_the_flag_of_newer_versions_is_found() -> None:
    """As the export once sliced its sequences: right up to megatron-core 0.17, an error after all training from 0.18 on."""
    call = ast.parse("get_batch_on_this_cp_rank({})", mode="eval").body
    assert isinstance(call, ast.Call)
    problems = [
        call_problem(definitions("megatron", versions)["megatron.core.utils:get_batch_on_this_cp_rank"], call)
        for versions in MEGATRON
    ]
    assert problems == ["", "", "missing is_hybrid_cp", "missing is_hybrid_cp"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("f(1, b=2)", ""), ("f(1)", "missing b"), ("f(1, 2, c=3)", ""), ("f(1, 2, d=3)", "no parameter d"),
        ("f(1, 2, 3, 4)", "4 arguments by place, 3 are known"), ("f(*x)", ""),
    ],
)  # fmt: skip
def test_a_call_against_a_definition(text: str, problem: str) -> None:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    signature = {"names": ["a", "b", "c"], "needed": ["a", "b"], "only_named": [], "more": False, "rest": False}
    assert call_problem(signature, call) == problem
