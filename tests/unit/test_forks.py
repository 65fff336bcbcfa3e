"""Forks and locks from made-up distributions, and the syntax classes of tokens."""

import numpy as np
import pytest

from ssd_plugin.analysis.forks import Program, kind, measure, summarise
from ssd_plugin.analysis.syntax_class import classify
from ssd_plugin.config.schema import SamplingConfig
from ssd_plugin.errors import DataError
from ssd_plugin.metrics.inference import FloatArray

SAMPLING = SamplingConfig(temperature=1.2, top_k=5, top_p=0.8, max_new_tokens=16)
LOCK = [0.95, 0.01, 0.01, 0.01, 0.01, 0.01]
FORK = [0.3, 0.25, 0.2, 0.15, 0.05, 0.05]


def log_rows(*rows: list[float]) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.array(rows)))


def program(name: str) -> Program:
    return Program(task_id=name, texts=("a", "b"), classes=("keyword", "name"), token_ids=(0, 1))


def test_kinds_follow_entropy_and_the_two_likeliest() -> None:
    assert kind(np.array([0.1, 0.1, 1.5, 1.5, 0.6]), np.array([0.99, 0.9, 0.5, 0.96, 0.9])) == (
        "lock", "between", "fork", "between", "between",
    )  # fmt: skip


def test_a_sharpened_lock_loses_its_tail_and_a_fork_keeps_its_entropy() -> None:
    base = log_rows(LOCK, FORK)
    candidate = log_rows([1.0, 0, 0, 0, 0, 0], [0.32, 0.27, 0.22, 0.17, 0.01, 0.01])
    found = measure(program("p"), base, candidate, SAMPLING)
    assert found.kinds == ("lock", "fork")
    assert found.figures["tail"][:, 0] == pytest.approx([0.05, 0.0], abs=1e-9)
    assert found.figures["tail"][0, 1] > found.figures["tail"][1, 1]
    assert found.figures["kept_entropy"][1, 1] == pytest.approx(found.figures["kept_entropy"][0, 1], rel=0.01)
    assert found.figures["nll"][:, 0] == pytest.approx([-np.log(0.95), 0.0])
    assert (found.figures["loss"][1] < found.figures["loss"][0]).all()


def test_blocks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    base, candidate = log_rows(LOCK, FORK), log_rows(FORK, LOCK)
    whole = measure(program("p"), base, candidate, SAMPLING)
    monkeypatch.setattr("ssd_plugin.analysis.forks.BLOCK", 1)
    single = measure(program("p"), base, candidate, SAMPLING)
    assert single.kinds == whole.kinds
    assert all(np.allclose(single.figures[name], values) for name, values in whole.figures.items())


def test_summary_counts_positions_and_pairs_programs() -> None:
    base, candidate = log_rows(LOCK, FORK), log_rows([0.99, 0.002, 0.002, 0.002, 0.002, 0.002], FORK)
    document = summarise([measure(program(name), base, candidate, SAMPLING) for name in "xyz"], SAMPLING)
    assert set(document["kinds"]) == {"lock", "fork"}
    assert (document["kinds"]["lock"]["programs"], document["kinds"]["lock"]["tokens"], document["all"]["tokens"]) == (
        3,
        3,
        6,
    )
    tail = document["kinds"]["lock"]["tail"]
    assert tail["change"]["estimate"] == pytest.approx(tail["candidate"] - tail["base"])
    assert tail["change"]["high"] < 0
    assert document["kinds"]["fork"]["entropy"]["change"]["estimate"] == pytest.approx(0)
    assert document["programs"][0]["tokens"][0]["gain"] == pytest.approx(np.log(0.99 / 0.95))


def test_one_program_is_not_enough() -> None:
    base = log_rows(LOCK, FORK)
    with pytest.raises(DataError, match="two programs or more"):
        summarise([measure(program("x"), base, base, SAMPLING)], SAMPLING)


def test_syntax_classes_of_a_program() -> None:
    source = 'def add(left, é):\n    total = left.real + 1  # sum\n    return f(total, "x")\n'
    names = ["def", "add", "(", "left", "total", "=", "real", "+", "1", "# sum", "return", "f(", '"x"']
    offsets = [source.index(name) for name in names]
    assert classify(source, offsets) == [
        "keyword", "definition", "bracket", "definition", "definition", "operator", "attribute", "operator", "literal",
        "comment", "keyword", "name", "literal",
    ]  # fmt: skip
    assert classify(source, [source.index("é"), source.rindex("total")]) == ["definition", "name"]


def test_leading_blanks_belong_to_what_follows_and_line_ends_are_layout() -> None:
    source = "x = 1\ny = x\n"
    assert classify(source, [1, 5, 6]) == ["operator", "layout", "definition"]


def test_what_is_not_python_is_refused() -> None:
    with pytest.raises(SyntaxError):
        classify("def (", [0])
