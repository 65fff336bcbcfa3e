"""Which rollouts are rewarded, which listen to a teacher, and what that teacher sees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.methods.routes import NONE, Route, demonstrated, group_advantages, rewarded, routed, taught

REWARDS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=8)


def test_advantages_are_over_the_whole_group() -> None:
    assert group_advantages([1, 0, 0, 1], divide_by_std=False) == [0.5, -0.5, -0.5, 0.5]
    divided = group_advantages([1, 0, 0, 1], divide_by_std=True)
    assert divided == pytest.approx([0.5 / (1 / 3) ** 0.5 * sign for sign in (1, -1, -1, 1)])


@given(rewards=st.lists(st.floats(0, 1), min_size=1, max_size=8), divide=st.booleans())
def test_advantages_sum_to_nothing_and_equal_rewards_give_exactly_none(rewards: list[float], divide: bool) -> None:
    assert sum(group_advantages(rewards, divide_by_std=divide)) == pytest.approx(0, abs=1e-9)
    assert group_advantages([rewards[0]] * 5, divide_by_std=divide) == [0.0] * 5


def test_sdft_shows_every_rollout_the_demonstration() -> None:
    assert demonstrated(2) == [Route(branch="teacher", demonstration=True)] * 2


def test_sdpo_shows_the_first_other_success_and_else_the_feedback() -> None:
    found = taught([0, 1, 0, 1], [True] * 4, success=0.5)
    assert [route.sibling for route in found] == [1, 3, 1, 1]
    assert not any(route.feedback for route in found)
    alone = taught([0, 1, 0], [True, False, False], success=0.5)
    assert alone == [Route(branch="teacher", sibling=1), NONE, Route(branch="teacher", sibling=1)]
    assert taught([0, 0.4], [True, False], success=0.5) == [Route(branch="teacher", feedback=True), NONE]


def test_srpo_routes_failures_that_have_a_success_beside_them_and_rewards_the_rest() -> None:
    found = routed([1, 0, 0.5, 0], success=0.5, divide_by_std=False)
    assert [route.branch for route in found] == ["policy", "teacher", "policy", "teacher"]
    assert [route.sibling for route in found] == [None, 0, None, 0]
    assert [found[0].advantage, found[2].advantage] == [0.625, 0.125], (
        "over the whole group, those routed away included"
    )
    assert routed([0, 0], success=0.5, divide_by_std=False) == rewarded([0, 0], divide_by_std=False)


@given(rewards=REWARDS, told=st.booleans())
def test_a_teacher_never_sees_the_rollout_itself_or_a_failure(rewards: list[float], told: bool) -> None:
    for routes in (
        taught(rewards, [told] * len(rewards), success=0.5),
        routed(rewards, success=0.5, divide_by_std=False),
    ):
        assert len(routes) == len(rewards)
        for place, route in enumerate(routes):
            if route.sibling is not None:
                assert route.sibling != place
                assert rewards[route.sibling] >= 0.5


@given(rewards=REWARDS)
def test_srpo_without_a_failure_beside_a_success_is_grpo(rewards: list[float]) -> None:
    graded = [max(reward, 0.5) for reward in rewards]
    assert routed(graded, success=0.5, divide_by_std=False) == rewarded(graded, divide_by_std=False)
