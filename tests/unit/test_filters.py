"""The filters: each drops what its name says, counts it, keeps order, and looks at nothing else."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.config.schema import FilterConfig
from ssd_plugin.training.filters import PER_SAMPLE, Filters

OFF = {name: False for name, _ in PER_SAMPLE}
PROGRAM = "def f(x):\n    return x\n"


def row(text: str, reason: str = "stop", ids: tuple[int, ...] = (1, 2, 3), number: int = 0) -> dict[str, Any]:
    return {
        "task_id": "t",
        "sample_id": f"t#{number}",
        "completion": text,
        "finish_reason": reason,
        "token_ids": list(ids),
    }


def kept(
    config: FilterConfig, rows: list[dict[str, Any]], seq_length: int = 100
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    filters = Filters(config, seq_length)
    stayed = list(filters.apply(lambda: rows))
    return stayed, {count.name: count.dropped for count in filters.counts}


def only(**on: Any) -> FilterConfig:
    return FilterConfig(**{**OFF, **on})


def test_each_filter_drops_what_its_name_says() -> None:
    loop = row("x", ids=(9, 9, *(4, 5, 6) * 8))
    cases = {
        "drop_empty": row(" \n\t"),
        "drop_single_line_stubs": row("```python\npass\n```"),
        "drop_truncated": row(PROGRAM, "length"),
        "drop_loops": loop,
    }
    assert set(cases) == {name for name, _ in PER_SAMPLE}
    good = row(PROGRAM)
    for name, bad in cases.items():
        stayed, counts = kept(only(**{name: True}), [bad, good, bad])
        assert stayed == [good]
        assert counts[name] == 2
        stayed, counts = kept(only(), [bad, good])
        assert stayed == [bad, good]
        assert sum(counts.values()) == 0


def test_a_loop_needs_its_last_piece_eight_times() -> None:
    assert kept(only(drop_loops=True), [row("x", ids=(4, 5, 6) * 7)])[0]
    assert not kept(only(drop_loops=True), [row("x", ids=(4, 5, 6) * 8)])[0]
    assert not kept(only(drop_loops=True), [row("ab" * 8, ids=())])[0]


def test_what_does_not_fit_the_sequence_is_dropped_and_counted() -> None:
    long = row(PROGRAM, ids=tuple(range(60))) | {"prompt_token_ids": list(range(41))}
    assert kept(only(), [long])[1]["drop_over_length"] == 1
    assert kept(only(), [long], seq_length=101)[0] == [long]


def test_the_shortest_fraction_goes_exactly_and_the_earliest_of_equals_first() -> None:
    rows = [row("x" * length, number=n) for n, length in enumerate([5, 3, 3, 3, 9, 8, 7, 6, 5, 4])]
    stayed, counts = kept(only(drop_shortest_fraction=0.2), rows)
    assert [r["sample_id"] for r in stayed] == [f"t#{n}" for n in (0, 3, 4, 5, 6, 7, 8, 9)]
    assert counts["drop_shortest_fraction"] == 2


TEXTS = st.lists(
    st.tuples(
        st.text(alphabet="ab\n ", max_size=12),
        st.sampled_from(["stop", "length"]),
        st.lists(st.integers(0, 2), max_size=30),
    )
)


@given(TEXTS, st.fixed_dictionaries({name: st.booleans() for name, _ in PER_SAMPLE}))
def test_filters_are_idempotent_keep_order_and_count_everything(texts: list[Any], switches: dict[str, bool]) -> None:
    rows = [row(text, reason, tuple(ids), n) for n, (text, reason, ids) in enumerate(texts)]
    config = FilterConfig(**switches)
    once, counts = kept(config, rows)
    assert kept(config, once)[0] == once
    numbers = [rows.index(r) for r in once]
    assert numbers == sorted(numbers)
    assert len(once) + sum(counts.values()) == len(rows)


@given(st.lists(st.text(alphabet="ab\n", max_size=9)), st.floats(0, 0.99))
def test_the_shortest_fraction_drops_that_many(texts: list[str], fraction: float) -> None:
    rows = [row(text, number=n) for n, text in enumerate(texts)]
    stayed, _ = kept(only(drop_shortest_fraction=fraction), rows)
    assert len(rows) - len(stayed) == int(fraction * len(rows))
    if stayed:
        shortest = min(len(r["completion"]) for r in stayed)
        assert all(len(r["completion"]) <= shortest for r in rows if r not in stayed)
