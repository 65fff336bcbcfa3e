"""Shared n-grams: the index agrees with a brute-force search, short texts included."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssd_plugin.tasks.overlap import WHOLE, NgramIndex, words

TEXTS = st.lists(st.lists(st.sampled_from("ab"), max_size=12).map(" ".join), max_size=4)
SIZES = st.integers(1, 4) | st.integers(WHOLE, 10)


def grams(text: str, n: int) -> list[str]:
    found = re.findall(r"\w+", text.lower())
    return [" ".join(found[i : i + n]) for i in range(max(1, len(found) - n + 1))] if found else []


def shares(gram: str, indexed: str, text: str, n: int) -> bool:
    """Whether a gram of `indexed` is one of `text`, or all of `indexed` and long enough to be looked for inside it."""
    is_whole = WHOLE <= len(gram.split()) < n and gram == indexed
    return gram in grams(indexed, n) and (gram in grams(text, n) or (is_whole and f" {gram} " in f" {text} "))


def brute_force(indexed: list[str], text: str, n: int) -> str:
    sizes = [n, *range(n - 1, WHOLE - 1, -1)]
    looked_up = (gram for size in sizes for gram in grams(text, size))
    return next((gram for gram in looked_up if any(shares(gram, one, text, n) for one in indexed)), "")


@settings(deadline=None)  # the first example imports numpy
@given(indexed=TEXTS, texts=TEXTS, n=SIZES)
def test_the_index_equals_a_brute_force_search(indexed: list[str], texts: list[str], n: int) -> None:
    index = NgramIndex(indexed, n)
    for text in texts:
        assert index.first_shared(text) == brute_force(indexed, text, n)


@settings(deadline=None)
@given(indexed=TEXTS, others=TEXTS, n=SIZES)
def test_what_is_kept_is_what_both_have(indexed: list[str], others: list[str], n: int) -> None:
    kept = NgramIndex(indexed, n)
    assert kept.keep_shared(iter(others)) == sum(bool(text) for text in others)
    for text in indexed:
        both = (g for g in grams(text, n) if any(shares(g, one, other, n) for one in indexed for other in others))
        assert kept.first_kept(text) == next(both, "")


def test_ten_words_are_enough_and_nine_are_not() -> None:
    shared = "write a function that returns the largest of three whole numbers"
    index = NgramIndex([f"First, {shared}!"])
    assert index.first_shared(f"Please {shared.upper()} today") == " ".join(shared.split()[:10])
    assert index.first_shared(" ".join(shared.split()[:9]) + " decimal") == ""


def test_a_short_text_is_found_only_whole() -> None:
    index = NgramIndex(["def f(x): return x"])
    assert index.first_shared("DEF f( x ):\n    return x\n") == "def f x return x"
    assert index.first_shared("def f(x): return x + 1") == ""


def test_a_short_text_of_six_words_is_found_inside_a_longer_one() -> None:
    index = NgramIndex(["Return the sum of two numbers.", "Sort a list.", "Add two numbers to each other"])
    longer = "Please answer in Python: return the sum of two numbers, in one line and without any import"
    assert index.first_shared(longer) == "return the sum of two numbers"
    assert index.first_shared("Return the sum of two") == ""
    assert index.first_shared("Return the sum of the two numbers that are given, in one line of Python") == ""
    assert index.first_shared("Sort a list. Then add two numbers, and write the sum of both at its end.") == ""


def test_a_longer_text_is_not_kept_for_a_short_one_that_it_holds() -> None:
    short, longer = "return the sum of two numbers", "return the sum of two numbers and then of three more if any"
    index = NgramIndex([short, longer])
    index.keep_shared(["Please answer in Python: return the sum of two numbers, in one line and without any import"])
    assert (index.first_kept(short), index.first_kept(longer)) == (short, "")


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
