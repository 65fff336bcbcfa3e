"""Which part of an answer is the program: one documented rule."""

import ast
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.grading.extract import build_program, final_answer, longest_parsable_span
from ssd_plugin.grading.fences import python_blocks

PROMPT = 'from typing import List\n\n\ndef helper(x):\n    return x\n\n\ndef f(x: List[int]) -> int:\n    """Doc."""\n'


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("Sure!\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```python\na = 1\n```\nbetter:\n```py\nb = 2\n```\n", "b = 2\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\nOutput:\n```text\n1\n```", "x = 1\n"),
        ("Use this:\n\ndef f(x):\n    return x\n\nIt returns x.", "def f(x):\n    return x\n"),
        ("Here:\n```python\ndef f(x):\n    return 1\n", "def f(x):\n    return 1\n"),
        ("def f(x):\n    return 1\n```\n", "def f(x):\n    return 1\n"),
        ("\ufeffdef f(x):\r\n    return 1\r\n", "def f(x):\n    return 1\n"),
        ("import os\nprint(os)", "import os\nprint(os)\n"),
    ],
)
def test_rules(answer: str, program: str) -> None:
    assert build_program(answer) == program


@pytest.mark.parametrize(
    "answer", ["", "   \n", "I cannot do that.", "Hello", "'''text'''", "```\n\n```", "x", "```python\n```"]
)
def test_no_code(answer: str) -> None:
    assert build_program(answer) is None


def test_continuation_of_a_prompt() -> None:
    body = "    return sum(x)\n\n\nThe end: it sums."
    assert build_program(body, prompt=PROMPT, entry_point="f") == PROMPT + "    return sum(x)\n"


def test_whole_function_gets_the_prompts_imports_and_helpers() -> None:
    answer = "```python\ndef f(x: List[int]):\n    return helper(x)\n```"
    program = build_program(answer, prompt=PROMPT, entry_point="f")
    assert program is not None
    assert program.startswith("from typing import List\n\n\ndef helper")
    assert program.count("def f(") == 1


def test_fenced_body_continues_the_prompt() -> None:
    program = build_program("```python\n    return 3\n```", prompt=PROMPT, entry_point="f")
    assert program == PROMPT + "    return 3\n"


def test_prose_prompts_add_nothing() -> None:
    assert build_program("def f(x): return x", prompt="Write f.", entry_point="f") == "def f(x): return x\n"


@given(st.text(alphabet="ab(:\n =)#`'\"\t0def", max_size=200))
def test_a_span_parses_and_stands_in_the_text(text: str) -> None:
    span = longest_parsable_span(text)
    if span is not None:
        ast.parse(span)
        assert span.rstrip() in text


@given(st.text(max_size=300), st.text(max_size=60))
def test_hostile_text_never_raises(text: str, prompt: str) -> None:
    for answer in (text, f"```\n{text}\n```", prompt + text):
        program = build_program(answer, prompt=prompt, entry_point="f")
        assert program is None or program.strip()


@pytest.mark.parametrize(
    "text",
    [
        "(" * 60_000,
        "x = " + "-" * 60_000 + "1",
        "a\n" * 40_000,
        "def f():\n" * 20_000,
        "[" * 100 + "]" * 100,
        "\0" * 100,
        "```" * 50_000,
        "x" + "." * 60_000,
        "f(" * 5_000 + ")" * 5_000,
        "if 1:\n" + " if 1:\n" * 20_000,
    ],
)
def test_bombs_end(text: str) -> None:
    assert build_program(text) is None or isinstance(build_program(text), str)


def test_fences_of_other_languages_hold_no_program() -> None:
    assert python_blocks("```bash\nls\n```\n") == []


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("```python\na = 1\n```python\nb = 2\n```\n", "b = 2\n"),
        ("```markdown\n# T\n```python\nb = 2\n```\n", "b = 2\n"),
        ("```python\na = 1\n```\n```python\nb = 2\n", "a = 1\n"),
        ("  ``` Python title=x\na = 1\n\t```  ", "a = 1\n"),
        ("```python `x`\na = 1\n```\nb = 2\n```", "b = 2\n"),
        ("```python\na = 1\x0b\n```", "a = 1\x0b\n"),
    ],
)
def test_fences(text: str, body: str) -> None:
    assert build_program(text) == body


GOOD = "```python\nprint(1)\n```"


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>First:\n```python\nx = 0\nno, wait.\n</think>\n\n{GOOD}",
        f"First:\n```python\nx = 0\n```\nno.\n</think>\n{GOOD}",
        f"<think>One.</think>```python\nx = 0\n```\n<think>Two.</think>\n{GOOD}",
        f"\ufeff<think>a</think>{GOOD}",
        f"analysisWe need to print.\n```python\nx = 0\nassistantfinal{GOOD}",
        f"analysisIt may say assistantfinalLater.assistantcommentaryHm.assistantfinal{GOOD}",
    ],
)
def test_thoughts_are_not_the_answer(answer: str) -> None:
    assert build_program(answer) == "print(1)\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n{GOOD}",
        f"Well.\n <think>\n{GOOD}",
        f"{GOOD}</think>",
        "<think>",
        f"<think>One.</think>Not yet:\n{GOOD}\n<think>Two.\n{GOOD}",
        f"analysisWe need to print.\n{GOOD}\nHm",
        f"analysisWe say </think>\n{GOOD}",
        f'analysis"print" it:\n{GOOD}\nassistantcommentary to=python {GOOD}',
        "analysis```python\nprint(1)\n```",
    ],
)
def test_thoughts_without_an_answer_hold_no_program(answer: str) -> None:
    assert build_program(answer) is None
    assert build_program(answer, prompt=PROMPT, entry_point="f") is None


def test_a_thought_that_the_prompt_began_is_no_answer_until_it_ends() -> None:
    draft = f"First:\n{GOOD}"
    assert build_program(draft) == "print(1)\n"
    assert build_program(draft, thinking=True) is None
    assert build_program(f"Hm.\n</think>\n{GOOD}", thinking=True) == "print(1)\n"


@pytest.mark.parametrize(
    "text", ["analysis = 1\n", "x = '<think>'\n", "print('assistantfinal')\n", "analysis: none", "analysis_of(1)\n"]
)
def test_other_answers_are_whole(text: str) -> None:
    assert final_answer(text) == text


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ("```" + "a" * 200_000, ""),
        ("```" + "a" * 200_000 + "`\n```", ""),
        ("```python\n" * 50_000, ""),
        ("```\n" * 50_001, ""),
        ("``` " * 50_000, ""),
        ("    try:\n" + "        x = 1\n" * 40_000, PROMPT),
        ("    x = 1\n" * 60_000 + "    try:\n" + "        x = 1\n" * 60_000, PROMPT),
        ("class A:\n def f(self):\n  try:\n" + "   x = [1, 2, 3]\n" * 4_000, ""),
    ],
)
def test_time_is_linear(answer: str, prompt: str) -> None:
    started = time.process_time()
    build_program(answer, prompt=prompt, entry_point="f" if prompt else "")
    assert time.process_time() - started < 10  # it was from 14 seconds to hours
