"""Rewards: in batches, for TRL's real GRPOTrainer, for verl and NeMo RL as they call; what is refused; what cheats earn."""

import asyncio
import importlib
import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nemo_rl_interface
import pytest

import ssd_plugin
from ssd_plugin.errors import DataError, SandboxError
from ssd_plugin.grading import in_memory
from ssd_plugin.grading.canary_cheats import FUNCTION_CHEATS
from ssd_plugin.grading.in_memory import GradeOptions
from ssd_plugin.integrations.rewards import batch, verl
from ssd_plugin.integrations.rewards.batch import Rewards, reward_options
from ssd_plugin.integrations.rewards.trl import CodeReward
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.tasks.schema import FunctionCheck, Task, task_from_json

ROWS: list[dict[str, Any]] = [
    {
        "task_id": "add",
        "prompt": "Add.",
        "kind": "function",
        "entry_point": "f",
        "inputs": [[1], [2]],
        "expected": [2, 3],
    },
    {"task_id": "echo", "prompt": "Echo.", "kind": "stdio", "inputs": ["a\n", "b\n"], "expected": ["a\n", "b\n"]},
]
TASKS = [task_from_json(row) for row in ROWS]
ADD, ECHO = TASKS
RIGHT = "Here:\n```python\ndef f(x):\n    return x + 1\n```\n"
HALF = "def f(x): return 2"
OPTIONS = GradeOptions(workers=2, limits=Limits(cpu_seconds=1.0), retry_alone=False)


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="module")
def rewards() -> Iterator[Rewards]:
    with Rewards(TASKS, options=OPTIONS) as opened:
        yield opened


def test_one_reward_for_each_completion_in_their_order() -> None:
    tasks: list[Any] = [ADD, ROWS[1], ADD, ADD, ECHO, ADD]
    completions = [RIGHT, "print(input())", HALF, "while True: pass", "no code", "def f(x): return x + 1"]
    assert ssd_plugin.reward(tasks, completions, options=OPTIONS) == [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    assert ssd_plugin.reward(tasks, completions, options=OPTIONS, partial=True) == [1.0, 1.0, 0.5, 0.0, 0.0, 1.0]
    assert ssd_plugin.reward([], [], options=OPTIONS) == []


def test_calls_share_sandboxes() -> None:
    ssd_plugin.reward([ADD], [RIGHT], options=OPTIONS)
    pool = batch._shared(False, OPTIONS).open().pool
    new = Task(task_id="new", prompt="", check=ADD.check)
    assert ssd_plugin.reward([new, ADD], [RIGHT, HALF], options=OPTIONS) == [1.0, 0.0]
    assert batch._shared(False, OPTIONS).open().pool is pool


@pytest.mark.parametrize("name", sorted(FUNCTION_CHEATS))
def test_cheats_earn_nothing(rewards: Rewards, name: str) -> None:
    assert rewards(["add"], [FUNCTION_CHEATS[name]]) == [0.0]


@pytest.mark.parametrize(
    ("tasks", "completions", "message"),
    [
        ([ADD], [], "1 tasks but 0 completions"),
        ([ADD], [None], "completion 0 must be text, is a NoneType"),
        ([Task(task_id="bare", prompt="p")], [RIGHT], "task 'bare' has no tests"),
        ([{"task_id": "bare", "prompt": "p"}], [RIGHT], "task 'bare' has no tests"),
        ([{"prompt": "p"}], [RIGHT], "task 0: field 'task_id' must be non-empty text, is missing"),
        ([7], [RIGHT], "task 0: must be a Task or a row of a task file, is a int"),
        ([Task(task_id="add", prompt="other", check=ECHO.check)], [RIGHT], "two different tasks have the id 'add'"),
        (
            [
                {
                    "task_id": "idle",
                    "prompt": "p",
                    "kind": "assert",
                    "entry_point": "f",
                    "test": "def check(c):\n    c(1)\n",
                }
            ],
            [RIGHT],
            "task 'idle' cannot be graded .its suite checks nothing that counts",
        ),
    ],
)
def test_what_cannot_be_rewarded_is_refused(tasks: list[Any], completions: list[Any], message: str) -> None:
    ssd_plugin.reward([ADD], [RIGHT], options=OPTIONS)
    with pytest.raises(DataError, match=message):
        ssd_plugin.reward(tasks, completions, options=OPTIONS)


def test_more_that_is_refused(rewards: Rewards, task_file: Path) -> None:
    with pytest.raises(DataError, match="no tasks"):
        Rewards([])
    with pytest.raises(DataError, match="workers must be a whole number from 0"):
        reward_options(-1)
    with pytest.raises(DataError, match="task 'other', which is not there"):
        rewards(["other"], [RIGHT])
    with pytest.raises(DataError, match="no column 'task_id'"):
        CodeReward(TASKS)(prompts=["p"], completions=["c"])
    with pytest.raises(DataError, match="no tasks: set reward"):
        verl.compute_score("code", RIGHT, "add")
    with pytest.raises(DataError, match="nowhere"):
        verl.compute_score("code", RIGHT, "add", tasks=str(task_file.parent / "nowhere.jsonl"))


def test_no_reward_without_canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    def misjudged(*_: object) -> int:
        raise SandboxError("canary 'x' was judged pass")

    monkeypatch.setattr(in_memory, "run_canaries", misjudged)
    with pytest.raises(SandboxError, match="canary 'x'"):
        Rewards(TASKS, options=OPTIONS)(["add"], [RIGHT])


def test_ranks_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert (reward_options().workers, reward_options(3).workers) == (64, 3)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert (reward_options().workers, reward_options().retry_alone) == (8, False)


def test_conversations_and_texts_are_rewarded_alike() -> None:
    reward = CodeReward(TASKS, partial=True, options=OPTIONS)
    turns = [{"role": "assistant", "content": RIGHT}]
    assert reward(prompts=[], completions=[turns, HALF], task_id=["add", "add"], trainer_state=None) == [1.0, 0.5]
    assert reward.rows() == [
        {"prompt": [{"role": "user", "content": task.prompt}], "task_id": task.task_id} for task in TASKS
    ]
    assert reward.rows(conversational=False)[0] == {"prompt": "Add.", "task_id": "add"}
    reward.close()


def test_the_event_loop_goes_on_while_programs_are_graded(rewards: Rewards) -> None:
    waits: list[float] = []

    async def beat() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.01)
            waits.append(time.perf_counter() - start)

    async def both() -> list[float]:
        beating = asyncio.create_task(beat())
        found = await asyncio.to_thread(rewards, ["add"] * 20, ["import time\ntime.sleep(0.3)\n" + HALF] * 20)
        beating.cancel()
        return found

    assert asyncio.run(both()) == [0.0] * 20
    assert len(waits) > 50  # of three seconds on two workers


def test_verl_calls_by_name_in_threads_of_one_loop(task_file: Path) -> None:
    """As verl's reward managers call a function that is no coroutine: in an executor, one completion each, by keywords."""

    async def single(completion: str) -> dict[str, float]:
        keywords = {
            "data_source": "code",
            "solution_str": completion,
            "ground_truth": "add",
            "extra_info": {"num_turns": 1},
        }
        settings: dict[str, Any] = {
            "tasks": str(task_file),
            "partial": True,
            "workers": 2,
            "reward_router_address": None,
        }
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: verl.compute_score(**keywords, **settings)
        )

    async def many() -> list[dict[str, float]]:
        return await asyncio.gather(*(single(completion) for completion in [RIGHT, HALF, "no"] * 20))

    found = asyncio.run(many())
    assert found == [{"score": 1.0, "acc": 1.0}, {"score": 0.5, "acc": 0.0}, {"score": 0.0, "acc": 0.0}] * 20
    assert sum(thread.name.startswith("sandbox-") for thread in threading.enumerate() if thread.is_alive()) < 30


def _score(path: str, out: str) -> None:
    found = [verl.compute_score("code", text, "add", tasks=path, workers=1)["score"] for text in (RIGHT, HALF)]
    Path(out).write_text(json.dumps(found))


def test_several_workers_at_a_time(task_file: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    outs = [task_file.with_name(f"out-{number}") for number in range(2)]
    workers = [spawned.Process(target=_score, args=(str(task_file), str(out))) for out in outs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [json.loads(out.read_text()) for out in outs] == [[1.0, 0.0]] * 2


def test_verls_own_loader_takes_the_function(task_file: Path) -> None:
    """With verl where it is installed; its own environment, since its pins exclude this one's."""
    loader = pytest.importorskip("verl.trainer.ppo.reward", reason="verl is not installed")
    omegaconf = importlib.import_module("omegaconf")
    function = {
        "path": "pkg://ssd_plugin.integrations.rewards.verl",
        "name": "compute_score",
        "reward_kwargs": {"tasks": str(task_file), "workers": 2},
    }
    loaded = loader.get_custom_reward_fn(omegaconf.OmegaConf.create({"reward": {"custom_reward_function": function}}))
    found = loaded(data_source="code", solution_str=RIGHT, ground_truth="add", extra_info={})
    assert found == {"score": 1.0, "acc": 1.0}


def test_nemo_rls_interface(task_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    registries = nemo_rl_interface.install(monkeypatch)
    nemo_rl = importlib.import_module("ssd_plugin.integrations.rewards.nemo_rl")
    nemo_rl.register()
    name = registries["environments"]["ssd_code"]
    assert registries["actors"] == {name: "python"}
    module, _, actor = name.rpartition(".")
    environment = getattr(importlib.import_module(module), actor)(
        {"tasks": str(task_file), "partial": True, "workers": 2}
    )
    user = {"role": "user", "content": "Add.", "token_ids": torch.zeros(3)}
    logs = [[user, {"role": "assistant", "content": text}] for text in (RIGHT, HALF, "no")]
    found = environment.step(logs, [{"task_id": "add"}] * 3)
    assert found.rewards.tolist() == [1.0, 0.5, 0.0]
    assert found.rewards.dtype == torch.float32
    assert found.terminateds.tolist() == [True] * 3
    assert [said["content"] for said in found.observations] == [
        "The program passes all tests.",
        "The program is not right.",
        "The program is not right.",
    ]
    assert (found.metadata, found.next_stop_strings, found.answers) == ([{"task_id": "add"}] * 3, [None] * 3, None)
    _, metrics = environment.global_post_process_and_metrics({"rewards": found.rewards})
    assert metrics == {"mean_reward": 0.5, "pass_rate": pytest.approx(1 / 3)}
    environment.shutdown()


@pytest.mark.slow
def test_trl_trains_towards_the_programs_that_pass(tiny_llama: Path, tmp_path: Path) -> None:
    """The real GRPOTrainer, a few steps: a tiny model that answers right and wrong alike comes to answer right more often."""
    torch = pytest.importorskip("torch")
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check = FunctionCheck(entry_point="f", inputs=((),), expected=(1,))
    reward = CodeReward([Task(task_id="one", prompt="1", check=check)], options=OPTIONS)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    _teach(model, tokenizer, reward.rows()[0]["prompt"], ["def f(): return 1", "def f(): return 2"])
    rewards: list[float] = []

    def kept(**columns: Any) -> list[float]:
        found = reward(**columns)
        rewards.append(sum(found) / len(found))
        return found

    arguments = trl.GRPOConfig(
        output_dir=str(tmp_path),
        max_steps=8,
        per_device_train_batch_size=16,
        num_generations=16,
        max_completion_length=24,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        seed=5,
        bf16=False,
    )
    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=kept,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(reward.rows() * 16),
        processing_class=tokenizer,
    )
    trainer.train()
    reward.close()
    assert len(rewards) == 8
    assert 0.1 < rewards[0] < 0.9
    assert sum(rewards[-3:]) / 3 > rewards[0] + 0.15


def _teach(model: Any, tokenizer: Any, prompt: list[dict[str, str]], answers: list[str]) -> None:
    import torch

    begin = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    rows = [tokenizer(begin + answer + "<|im_end|>", return_tensors="pt").input_ids for answer in answers]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        sum(model(input_ids=row, labels=row).loss for row in rows).backward()
        optimizer.step()
