"""Shared n-grams: the index agrees with a brute-force search, short texts included."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssd_plugin.data.overlap import NgramIndex, words

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), max_size=4)


def brute_force(indexed: list[str], text: str, n: int) -> str:
    def grams(t: str) -> list[str]:
        found = re.findall(r"\w+", t.lower())
        return [" ".join(found[i : i + n]) for i in range(max(1, len(found) - n + 1))] if found else []

    known = {gram for t in indexed for gram in grams(t)}
    return next((gram for gram in grams(text) if gram in known), "")


@settings(deadline=None)  # the first example imports numpy
@given(indexed=TEXTS, texts=TEXTS, n=st.integers(1, 4))
def test_the_index_equals_a_brute_force_search(indexed: list[str], texts: list[str], n: int) -> None:
    index = NgramIndex(indexed, n)
    for text in texts:
        assert index.first_shared(text) == brute_force(indexed, text, n)


@settings(deadline=None)
@given(indexed=TEXTS, others=TEXTS, n=st.integers(1, 4))
def test_what_is_kept_is_what_both_have(indexed: list[str], others: list[str], n: int) -> None:
    kept = NgramIndex(indexed, n)
    assert kept.keep_shared(iter(others)) == sum(bool(text) for text in others)
    for text in indexed:
        assert kept.first_shared(text) == brute_force(others, text, n)


def test_ten_words_are_enough_and_nine_are_not() -> None:
    shared = "write a function that returns the largest of three whole numbers"
    index = NgramIndex([f"First, {shared}!"])
    assert index.first_shared(f"Please {shared.upper()} today") == " ".join(shared.split()[:10])
    assert index.first_shared(" ".join(shared.split()[:9]) + " decimal") == ""


def test_a_short_text_is_found_only_whole() -> None:
    index = NgramIndex(["def f(x): return x"])
    assert index.first_shared("DEF f( x ):\n    return x\n") == "def f x return x"
    assert index.first_shared("def f(x): return x + 1") == ""


def test_white_space_case_and_marks_do_not_hide_an_overlap() -> None:
    code = "total = 0\nfor n in numbers:\n    total += n * n\nreturn total"
    assert NgramIndex([code]).first_shared(code.upper().replace("\n", "  ")) != ""
    assert words("A_b, c-d\n1.5") == ["a_b", "c", "d", "1", "5"]


@pytest.mark.parametrize("texts", [[], ["", " \n", "?!"]])
def test_an_empty_index_shares_nothing(texts: list[str]) -> None:
    index = NgramIndex(texts)
    assert len(index) == 0
    assert index.first_shared("any text of more than ten words stands here just for the test") == ""


def test_repeated_texts_take_no_room() -> None:
    once = NgramIndex(["a b c d e f g h i j k l"])
    assert len(once) == 3
    assert len(NgramIndex(["a b c d e f g h i j k l"] * 50)) == 3
