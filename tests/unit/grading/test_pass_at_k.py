"""pass@k against brute force over all subsets."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.errors import DataError
from ssd_plugin.metrics.pass_at_k import pass_at_k, pass_at_k_by_task, summarise_pass_at_k
from ssd_plugin.tasks.schema import Result, Status, Task


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_equals_brute_force(numbers: tuple[int, int, int]) -> None:
    n, c, k = numbers
    samples = [True] * c + [False] * (n - c)
    subsets = list(combinations(samples, k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize("numbers", [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_refuses(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(DataError):
        pass_at_k(*numbers)


def results(**passes: tuple[int, int]) -> list[Result]:
    return [
        Result(task_id=task, sample_id=str(i), completion="", program="", status=Status.PASS if i < c else Status.FAIL)
        for task, (n, c) in passes.items()
        for i in range(n)
    ]


def test_by_task_and_group() -> None:
    by_task = pass_at_k_by_task(results(a=(4, 2), b=(4, 0), c=(4, 4)), 2)
    tasks = [Task(task_id=name, prompt="", domain=domain) for name, domain in (("a", "x"), ("b", "x"), ("c", "y"))]
    table = summarise_pass_at_k(by_task, tasks, 2, lambda task: task.domain)
    assert table["x"].estimate == pytest.approx((5 / 6) / 2)
    assert table["x"].interval is not None
    assert (table["y"].estimate, table["y"].interval, table["y"].tasks) == (1.0, None, 1)


def test_few_samples() -> None:
    with pytest.raises(DataError, match="task 'b' has 2"):
        pass_at_k_by_task(results(a=(4, 2), b=(2, 0)), 3)
    with pytest.warns(UserWarning, match="take 6 or more"):
        pass_at_k_by_task(results(a=(4, 2)), 3)
    with pytest.raises(DataError, match="no results"):
        pass_at_k_by_task([], 1)
