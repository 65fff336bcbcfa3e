"""`generate` from a served model, against a server on the loopback interface that answers well and badly."""

import json
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, Fault, good, half, says, status, truncated

from ssd_plugin.config.generating import GenerateConfig, ServerConfig
from ssd_plugin.config.schema import DecodeConfig, EngineConfig, ModelConfig
from ssd_plugin.errors import ConfigError, DataError, SamplingError, SsdError
from ssd_plugin.pipeline.generate import generate
from ssd_plugin.sampling import http_json
from ssd_plugin.tasks.schema import read_samples

KEY = "sk-a-secret-that-is-nowhere"


@pytest.fixture
def stub() -> ChatStub:
    return ChatStub()


@pytest.fixture
def url(stub: ChatStub, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(http_json, "PAUSE", 0.001)
    with stub.serving() as address:
        yield address


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    rows = [{"task_id": f"t/{i}", "prompt": f"Write f{i}.", "starter_code": f"def f{i}(x):"} for i in range(4)]
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(url: str, samples: int = 3, **changes: Any) -> GenerateConfig:
    server = ServerConfig(url=url, **{"concurrency": 1} | changes.pop("server", {}))
    return GenerateConfig(
        **{"model": ModelConfig(ref="good"), "server": server, "samples_per_task": samples, "max_new_tokens": 50}
        | changes
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_task_is_asked_as_a_runs_evaluation_asks_it(
    stub: ChatStub, url: str, tasks: Path, tmp_path: Path
) -> None:
    model = ModelConfig(
        ref="good", system_message="Be brief.", prompt_template="Solve: {prompt}", reasoning_effort="low"
    )
    decode = DecodeConfig(temperature=0.4, top_k=20, top_p=0.9)
    made = generate(str(tasks), tmp_path / "s.jsonl", config(url, model=model, decode=decode))
    assert [row["sample_id"] for row in rows(made.out)] == [f"t/{task}#{i}" for task in range(4) for i in range(3)]
    assert rows(made.out)[4] == {
        "task_id": "t/1", "sample_id": "t/1#1", "completion": "def f(x):\n    return x\n", "finish_reason": "stop",
        "prompt_tokens": 7, "completion_tokens": 11,
    }  # fmt: skip
    assert (made.counts.completions, made.counts.tokens, made.counts.truncated, made.seeded) == (12, 132, 0, True)
    asked = stub.asked[3] | {"seed": 0}
    assert asked == {
        "model": "good", "temperature": 0.4, "top_p": 0.9, "top_k": 20, "max_tokens": 50, "seed": 0,
        "reasoning_effort": "low",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Solve: Write f1.\n\nStart from this code:\n```python\ndef f1(x):\n```"},
        ],
    }  # fmt: skip
    seeds = [body["seed"] for body in stub.asked]
    assert len(set(seeds)) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(list(read_samples(made.out))) == 12
    assert json.loads((tmp_path / "s.jsonl.key.json").read_text())["root"] == "/models/good"


def test_what_is_off_is_not_sent(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    generate(str(tasks), tmp_path / "s.jsonl", config(url, samples=1))
    assert {"top_k", "reasoning_effort"} & set(stub.asked[0]) == set()
    assert stub.keys == [None]


@pytest.mark.parametrize(
    "fault",
    [
        status(429), status(429, Retry_After="0"), status(500), status(503, Retry_After="soon"), status(529), half, truncated,
        says([]), says({"choices": []}), says({"error": "overloaded"}), says(None),
        says({"model": "good", "choices": [{"message": {"content": "def f"}, "finish_reason": "abort"}]}),
        says({"model": "good", "choices": [{"message": {"content": "def f"}, "finish_reason": None}]}),
        says({"model": "good", "choices": [{"message": {"content": ["x"]}, "finish_reason": "stop"}]}),
        lambda exchange: exchange.connection.shutdown(socket.SHUT_RDWR),
        lambda exchange: exchange.send_bytes(b"\xff\xfe" * 9),
        lambda exchange: exchange.send_bytes(b"[" * 100_000),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_asked_for_again(
    fault: Fault, stub: ChatStub, url: str, tasks: Path, tmp_path: Path
) -> None:
    stub.faults = [fault, fault]
    made = generate(str(tasks), tmp_path / "s.jsonl", config(url, samples=1))
    assert [row["completion"] for row in rows(made.out)] == ["def f(x):\n    return x\n"] * 4
    assert len(stub.asked) == 6
    assert stub.asked[0] == stub.asked[1] == stub.asked[2]


def test_what_was_fetched_is_kept_and_only_the_rest_is_asked_for(
    stub: ChatStub, url: str, tasks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.jsonl"

    def fail_from(count: int) -> str:
        if len(stub.asked) >= count:
            stub.always = status(500, "the GPU fell off")
        return f"answer {len(stub.asked)}"

    stub.answer = lambda body: fail_from(5)
    with pytest.raises(SamplingError, match=r"500 the GPU fell off \(8 tries\).*what was fetched is kept"):
        generate(str(tasks), out, config(url))
    assert not out.exists()
    assert len(stub.asked) == 5 + 8
    stub.always, stub.answer = None, lambda body: "later"
    generate(str(tasks), out, config(url))
    assert [row["completion"] for row in rows(out)] == [f"answer {i}" for i in range(1, 6)] + ["later"] * 7
    assert len(stub.asked) == 5 + 8 + 7
    assert not out.with_name("s.jsonl.partial").exists()
    generate(str(tasks), out, config(url, server={"concurrency": 9}))
    assert len(stub.asked) == 20  # done is done


def test_answers_that_came_beside_a_failure_are_kept(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    stub.faults = [status(400, "too long")]
    with pytest.raises(SamplingError, match=r"t/.#.: .*400 too long"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url, server={"concurrency": 12}))
    kept = (tmp_path / "s.jsonl.partial").read_text().count("completion_tokens")
    stub.asked.clear()
    generate(str(tasks), tmp_path / "s.jsonl", config(url))
    assert len(stub.asked) == 12 - kept < 12


@pytest.mark.parametrize("when", ["1", "date"])
def test_the_servers_own_wait_is_kept_by_all(
    when: str, stub: ChatStub, url: str, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = formatdate(time.time() + 2, usegmt=True) if when == "date" else when
    stub.faults = [status(429, Retry_After=wait)]
    generate(str(tasks), tmp_path / "s.jsonl", config(url, server={"concurrency": 1}))
    assert stub.times[1] - stub.times[0] >= 0.9


def test_a_rate_limit_that_lets_some_through_is_waited_out(
    stub: ChatStub, url: str, tasks: Path, tmp_path: Path
) -> None:
    stub.faults = [status(429), status(429), good] * 60
    made = generate(str(tasks), tmp_path / "s.jsonl", config(url, server={"concurrency": 12}))
    assert made.counts.completions == 12


def test_a_rate_limit_that_lets_nothing_through_is_named(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    stub.always = status(429, "slow down")
    with pytest.raises(SamplingError, match="429 slow down"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))
    stub.always = status(429, "quota", Retry_After="86400")
    with pytest.raises(SamplingError, match="asks to wait 86400 seconds; what was fetched is kept"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))


def test_no_more_requests_at_a_time_than_were_allowed(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    def slowly(body: dict[str, Any]) -> str:
        time.sleep(0.05)
        return "x"

    stub.answer = slowly
    generate(str(tasks), tmp_path / "s.jsonl", config(url, server={"concurrency": 3}))
    assert stub.most_busy == 3


def test_a_model_that_is_not_served_is_refused(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    stub.models = ["one", "two"]
    with pytest.raises(SamplingError, match="has no model good; --model names one of: one, two"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))
    stub.models = []
    with pytest.raises(SamplingError, match="has no model good; --model names one of: none"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))
    assert stub.asked == []


def test_another_model_that_answers_is_refused(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    stub.answers_as = "cheaper"
    with pytest.raises(SamplingError, match="answers as 'cheaper', not as good; where that is the model"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))
    assert list(tmp_path.glob("s.jsonl")) == []


def test_seeds_and_the_limits_name_give_way(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    stub.faults = [
        status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        status(422, "seed: Extra inputs are not permitted"),
    ]
    made = generate(str(tasks), tmp_path / "s.jsonl", config(url, server={"concurrency": 1}))
    assert (made.seeded, made.counts.completions) == (False, 12)
    assert "seed" not in stub.asked[-1]
    assert (stub.asked[-1].get("max_completion_tokens"), stub.asked[-1].get("max_tokens")) == (50, None)


def test_the_key_is_sent_and_is_nowhere_else(
    stub: ChatStub, url: str, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEY", f" {KEY}\n")
    stub.always = status(401, f"the key {KEY} is not known")
    settings = config(url, server={"key_env": "OUR_KEY"})
    with pytest.raises(SamplingError, match=r"401 the key \[key\] is not known") as refused:
        generate(str(tasks), tmp_path / "s.jsonl", settings)
    stub.always = None
    generate(str(tasks), tmp_path / "s.jsonl", settings)
    assert stub.keys == [f"Bearer {KEY}"] * 2
    assert KEY not in str(refused.value)
    assert not any(KEY in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("value", [None, "", " ", "naïve", "two\nlines"])
def test_a_key_that_is_none_is_refused(
    value: str | None, url: str, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OUR_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OUR_KEY", value)
    with pytest.raises(ConfigError, match="--key-env OUR_KEY: that variable is not set, or holds no key"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url, server={"key_env": "OUR_KEY"}))


def test_a_key_in_the_place_of_its_variables_name_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="not the name of an environment variable") as refused:
        ServerConfig(url="http://h/v1", key_env=KEY)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://127.0.0.1/v1", "not a plain http"),
        ("127.0.0.1:8000/v1", "not a plain http"),
        ("http:///v1", "not a plain http"),
        ("http://h:none/v1", "not a plain http"),
        ("http://h/v1?api-version=1", "not a plain http"),
        ("http://user:password@h/v1", "holds a name or password"),
        ("http://127.0.0.1:9/v1", r"127\.0\.0\.1:9/v1/models: ConnectError .*3 tries"),
    ],
)
def test_an_address_that_is_none_is_named(
    address: str, said: str, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_json, "PAUSE", 0.001)
    with pytest.raises(SamplingError, match=said) as refused:
        generate(str(tasks), tmp_path / "s.jsonl", config(address))
    assert "password@" not in str(refused.value)


def test_an_address_beside_the_api_is_named(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match=r"404 .*mostly ends in /v1"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url.removesuffix("/v1")))


def test_a_redirect_is_named_and_not_followed(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    stub.always = status(307, Location="http://elsewhere.example/v1")
    with pytest.raises(SamplingError, match=r"is a redirect to http://elsewhere\.example/v1; name that address"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))


def test_an_answer_without_end_is_not_read_to_its_end(
    stub: ChatStub, url: str, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_json, "MOST_BYTES", 5000)
    stub.always = says({"choices": "x" * 10_000})
    with pytest.raises(SamplingError, match="more than 5000 bytes"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))


def test_samples_of_other_settings_are_not_written_over(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    generate(str(tasks), out, config(url))
    before = out.read_bytes()
    with pytest.raises(DataError, match="holds other samples, or samples made in another way"):
        generate(str(tasks), out, config(url, seed=1))
    assert out.read_bytes() == before
    stub.faults = [good, status(400)]
    other = tmp_path / "o.jsonl"
    with pytest.raises(SamplingError):
        generate(str(tasks), other, config(url))
    unfinished = (tmp_path / "o.jsonl.partial").read_bytes()
    with pytest.raises(DataError, match=r"o\.jsonl\.partial: is the unfinished part of samples with other settings"):
        generate(str(tasks), other, config(url, seed=1))
    assert (tmp_path / "o.jsonl.partial").read_bytes() == unfinished


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.key.json"])
def test_a_link_is_not_written_through(name: str, stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link"):
        generate(str(tasks), tmp_path / "s.jsonl", config(url))
    assert not (tmp_path / "elsewhere").exists()
    assert stub.asked == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no tasks"),
        ('{"task_id": "a", "prompt": "p"}\n' * 2, "task_id 'a' appears twice"),
        ('{"task_id": "a"}\n', "field 'prompt'"),
        ("[", "not valid JSON"),
    ],
)
def test_tasks_that_are_none_are_refused_before_anything_is_asked(
    text: str, said: str, stub: ChatStub, url: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.jsonl").write_text(text)
    with pytest.raises(DataError, match=said):
        generate(str(tmp_path / "bad.jsonl"), tmp_path / "s.jsonl", config(url))
    assert stub.asked == []


def test_the_task_file_is_not_the_output(url: str, tasks: Path) -> None:
    before = tasks.read_bytes()
    with pytest.raises(DataError, match="is the task file"):
        generate(str(tasks), tasks, config(url))
    assert tasks.read_bytes() == before


def test_a_benchmarks_own_file_is_read(stub: ChatStub, url: str, tmp_path: Path) -> None:
    row = {
        "task_id": "HumanEval/0", "prompt": "def f(x):\n", "canonical_solution": "    return x\n", "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    }  # fmt: skip
    (tmp_path / "HumanEval.jsonl").write_text(json.dumps(row))
    generate(str(tmp_path / "HumanEval.jsonl"), tmp_path / "s.jsonl", config(url, samples=1))
    assert stub.asked[0]["messages"] == [{"role": "user", "content": "def f(x):\n"}]


@pytest.mark.parametrize(
    ("answers", "thinking"),
    [
        (("so it is x </think> code", "cut off in the"), True),
        (("<think> x </think> code", "plain"), False),
        (("plain", "plain"), False),
    ],
)
def test_a_template_that_begins_the_thought_is_seen(
    answers: tuple[str, str], thinking: bool, stub: ChatStub, url: str, tasks: Path, tmp_path: Path
) -> None:
    stub.answer = lambda body: answers[len(stub.asked) % 2]
    made = generate(str(tasks), tmp_path / "s.jsonl", config(url))
    assert [sample.thinking for sample in read_samples(made.out)] == [thinking] * 12


def test_counts_that_are_none_are_left_out(stub: ChatStub, url: str, tasks: Path, tmp_path: Path) -> None:
    choice = {"message": {"content": None}, "finish_reason": "length"}
    stub.always = says({"model": "good", "choices": [choice], "usage": {"prompt_tokens": "7", "completion_tokens": -1}})
    made = generate(str(tasks), tmp_path / "s.jsonl", config(url, samples=1))
    assert rows(made.out)[0] == {
        "task_id": "t/0", "sample_id": "t/0#0", "completion": "", "finish_reason": "length"
    }  # fmt: skip
    assert made.counts.truncated == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1}, {"samples_per_task": 0}, {"max_new_tokens": 0}, {"engine": EngineConfig(max_rows=3)},
        {"model": ModelConfig(ref="good", revision="main")}, {"server": {"concurrency": 0}}, {"server": {"concurrency": 5000}},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SsdError):
        config("http://h/v1", **changes)
