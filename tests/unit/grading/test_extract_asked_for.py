"""The block that defines what is asked for is the program, whatever stands around it; what is only told is none."""

import time
from typing import Any

import pytest

from ssd_plugin.grading.extract import build_program

PY, END = "```python\n", "\n```\n"
F = "def f(x):\n    return 2 * x"
WRONG = "def f(x):\n    return None"
CODE_PROMPT = (
    'import math\nfrom typing import List\n\n\ndef g(x):\n    return x\n\n\ndef f(x: int) -> int:\n    """Twice x."""\n'
)
STDIO = "n = int(input())\nprint(2 * n)"


def returned(program: str | None) -> Any:
    assert program is not None
    names: dict[str, Any] = {}
    exec(compile(program, "<program>", "exec", dont_inherit=True), names)
    return names["f"](21)


def indented(text: str, margin: str) -> str:
    return "".join(margin + line + "\n" if line else "\n" for line in text.split("\n"))


AROUND = {
    "a usage example": f"{PY}{F}{END}Use it:\n{PY}print(f(4)){END}",
    "an untagged usage example": f"{PY}{F}{END}Use it:\n```\nprint(f(4))\n```",
    "a usage example that imports it": f"{PY}{F}{END}{PY}from solution import f\n\nprint(f(4)){END}",
    "a usage example that keeps results": f"{PY}{F}{END}{PY}x = 3\nresult = f(x)\nprint(result){END}",
    "a unit test": f"{PY}{F}{END}{PY}import unittest\n\nclass TestF(unittest.TestCase):\n    def test(self):\n        f(1){END}",
    "a shell command": f"{PY}{F}{END}Run it:\n```bash\npython f.py\n```\n",
    "an untagged shell command": f"{PY}{F}{END}Run it:\n```\npython f.py\n```\n",
    "its output": f"{PY}{F}{END}Output:\n```\n8\n```\n",
    "a prompt session": f"{PY}{F}{END}```\n>>> f(4)\n8\n```\n",
    "output right after it": f"{PY}{F}\n```output\n8\n```\n",
    "another language": f"{PY}{F}{END}In C:\n```c\nint f(int x) {{ return 0; }}\n```\n",
    "an install command before": f"```bash\npip install x\n```\n{PY}{F}{END}",
    "the signature before": f"{PY}def f(x):\n    ...{END}{PY}{F}{END}",
    "the signature after": f'{PY}{F}{END}{PY}def f(x):\n    """Twice."""\n    pass{END}',
    "what it corrects before": f"{PY}{WRONG}{END}That is wrong. Corrected:\n{PY}{F}{END}",
    "a broken draft before": f"{PY}def f(x:\n    retur{END}Again:\n{PY}{F}{END}",
    "a block that was cut off after": f"{PY}{F}{END}Or:\n{PY}def f(x):\n    return [",
    "examples in the block": f"{PY}{F}\n\nassert f(1) == 3\nprint(f(1) / 0){END}",
    "a main part in the block": f'{PY}{F}\n\nif __name__ == "__main__":\n    print(f(input())){END}',
    "input for an example in the block": f"{PY}{F}\n\nx = int(input())\nprint(f(x)){END}",
    "a helper in a block": f"{PY}def h(x):\n    return x + x{END}{PY}def f(x):\n    return h(x){END}",
    "a helper after": f"{PY}def f(x):\n    return h(x){END}with\n{PY}def h(x):\n    return x + x{END}",
    "helpers of helpers": f"{PY}TWO = 2{END}{PY}def h(x):\n    return TWO * x{END}{PY}def f(x):\n    return h(x){END}",
    "an import in a block": f"{PY}import math{END}{PY}def f(x):\n    return x * math.gcd(2, 4){END}",
    "a class as a helper": f"{PY}class H:\n    two = 2{END}{PY}def f(x):\n    return x * H.two{END}",
    "a helper with its example": f"{PY}def h(x):\n    return x + x\n\nprint(h(1) / 0){END}{PY}def f(x):\n    return h(x){END}",
    "a draft that has the helper": f"{PY}def h(x):\n    return x + x\n\n{WRONG}{END}{PY}def f(x):\n    return h(x){END}",
    "an assignment": f"{PY}f = lambda x: 2 * x{END}{PY}f(3){END}",
    "a decorated function": f"{PY}import functools\n\n@functools.cache\n{F}{END}",
    "set-up that it needs": f"{PY}memo = {{}}\nfor i in range(99):\n    memo[i] = 2 * i\n\ndef f(x):\n    return memo[x]{END}",
    "a new value for it": f"{PY}{WRONG}\n\ng = f\nf = lambda x: 2 * x{END}",
    "a list item": f"1. It:\n\n   {indented(PY + F, '   ').strip()}\n   ```\n",
    "a bullet's own line": f"- ```python\n{indented(F, '  ')}  ```\n",
    "a numbered item's own line": f"1. ```python\n{indented(F, '   ')}   ```\n2. Done\n",
    "a list item with tabs": f"1. It:\n\n{indented(PY + F, chr(9))}\t```\n",
    "a deep list item": f"* a\n    * b\n{indented(PY + F, '        ')}        ```\n",
    "a body deeper than its fence": f"{PY}{indented(F, '    ')}{END}",
    "a quotation": f"> ```python\n{indented(F, '> ')}> ```\n",
    "a fence glued to the code": f"{PY}{F}```\nDone.",
    "a fence glued to a sentence": f"Here it is:```python\n{F}{END}",
    "an untagged fence glued to a sentence": f"Here it is: ```\n{F}{END}",
    "a sentence glued to the fence": f"{PY}{F}\n``` This is it.\n",
    "tildes": f"~~~python\n{F}\n~~~\n",
    "tildes with ticks in a docstring": '~~~\ndef f(x):\n    """\n```\n8\n```\n"""\n    return 2 * x\n~~~\n',
    "four ticks": f"````python\n{F}\n````\n",
    "a fence in a docstring": f'{PY}def f(x):\n    """Twice.\n\n    ```\n    f(1)\n    ```\n    """\n    return 2 * x{END}',
    "Markdown in Markdown": f"````markdown\n# It\n{PY}{F}{END}````\n",
    "a fence that never ends": f"Here:\n{PY}{F}\n",
    "a fence that never ends, then prose": f"Here:\n{PY}{F}\n\nIt doubles what it gets.\n",
    "a whole block, then one that never ends": f"```\n8\n```\n{PY}{F}\n",
    "a title": f"```python title=f.py\n{F}{END}",
    "braces": f"```{{.python}}\n{F}{END}",
    "capitals": f"```Python\n{F}{END}",
    "line ends of Windows": f"{PY}{F}{END}".replace("\n", "\r\n"),
    "HTML": f'<pre><code class="language-python">{F.replace("x)", "x)")}</code></pre>',
    "HTML with entities": "<pre><code>def f(x):\n    return 2 * x if x &gt; 0 else 0\n</code></pre>",
    "tags of Code Llama": f"[PYTHON]\n{F}\n[/PYTHON]\n[TESTS]\nassert f(1) == 3\n[/TESTS]",
    "a thought": f"<think>\n{PY}{WRONG}{END}</think>\n{PY}{F}{END}",
    "a thought by another name": f"<thinking>\n{PY}{WRONG}{END}</thinking>\n{PY}{F}{END}",
    "no fence and a word": f"Solution\n\n{F}\n",
    "no fence and words that parse": f"Solution in Python\n\n{F}\n\nDone\n",
    "no fence and an annotation": f"Language: Python\n{F}\n",
    "no fence and a heading": f"# Solution\n\nHere you are.\n\n{F}\n\nIt doubles.\n",
    "no fence and many lines of prose": "It is so.\n" * 400 + F,
    "no fence and code that is longer": f"Here:\n\n{F}\n\nThen so:\n\nfor i in range(9):\n    f(i)\n    f(i)\n    f(i)\n",
    "no fence and a helper apart": "A helper:\n\ndef h(x):\n    return x + x\n\nThe function:\n\ndef f(x):\n    return h(x)\n",
    "code by its margin": f"Here:\n\n{indented(F, '    ')}\nDone.\n",
    "code outside, its example in a fence": f"{F}\n\nUse it:\n\n{PY}print(f(3)){END}",
    "imports from the future in the middle": f"{PY}import math\nfrom __future__ import annotations\n{F}{END}",
}


@pytest.mark.parametrize("answer", AROUND.values(), ids=AROUND.keys())
@pytest.mark.parametrize("prompt", ["Write f(x): twice x.", CODE_PROMPT], ids=["prose", "code"])
def test_what_defines_the_function_is_the_program(answer: str, prompt: str) -> None:
    assert returned(build_program(answer, prompt=prompt, entry_point="f")) == 42


REST = {
    "as it is": "    return 2 * x\n",
    "and prose": "    return 2 * x\n\nIt doubles x.\n",
    "and a word": "    return 2 * x\n\nDone\n",
    "and an example": "    return 2 * x\n\nprint(f(3) / 0)\n",
    "and a fence that was never opened": "    return 2 * x\n```\n\nIt doubles.\n",
    "and a fenced example": "    return 2 * x\n\nUse it:\n```python\nprint(f(3))\n```\n",
    "and another function": "    return 2 * x\n\n\ndef main():\n    print(f(1))\n\n\nmain()\n",
    "of several lines": "    y = x\n    for _ in range(1):\n        y += x\n    return y\n",
    "without its first margin": "y = x\n    y += x\n    return y\n",
    "without its margin": "y = x\ny += x\nreturn y\n",
    "after its docstring": '    """More."""\n    return 2 * x\n',
    "in a fence": f"{PY}    return 2 * x{END}",
    "in a fence without its margin": f"The rest:\n{PY}y = x\nfor _ in range(1):\n    y += x\nreturn y{END}",
    "in a fence without its first margin": f"{PY}y = x\n    y += x\n    return y{END}",
    "in a fence, its example in another": f"{PY}    return 2 * x{END}{PY}print(f(3)){END}",
    "the whole again": f"{CODE_PROMPT}    return 2 * x\n",
    "the whole with a future import": f"{PY}from __future__ import annotations\n\n{F}{END}",
    "the whole after its docstring and a future import": f'{PY}"""F."""\nfrom __future__ import annotations, division\n{F}{END}',
}


@pytest.mark.parametrize("answer", REST.values(), ids=REST.keys())
def test_a_completion_goes_on_from_a_code_prompt(answer: str) -> None:
    assert returned(build_program(answer, prompt=CODE_PROMPT, entry_point="f")) == 42


@pytest.mark.parametrize(
    "answer",
    [
        "The function is `def f(x): return 2 * x`.",
        "Use ```def f(x): return 2 * x``` here.",
        f"<think>\n{PY}{F}{END}",
        f"<thinking>\n{F}\n",
        f"```text\n{F}\n```\n",
        f"```js\n{F}\n```\n",
        "Solution\n\nDone\n",
        f"{PY}print(3){END}",
        f"{PY}def g(x):\n    return 2 * x{END}",
    ],
)
@pytest.mark.parametrize("prompt", ["Write f(x): twice x.", CODE_PROMPT], ids=["prose", "code"])
def test_what_is_only_told_or_thought_defines_nothing(answer: str, prompt: str) -> None:
    program = build_program(answer, prompt=prompt, entry_point="f")
    names: dict[str, Any] = {}
    exec(program or "", names)
    assert "f" not in names


def test_the_last_definition_counts_right_or_wrong() -> None:
    """The choice is by place alone: nothing is run to find out which one is right."""
    answer = f"{PY}{F}{END}Better:\n{PY}{WRONG}{END}"
    assert returned(build_program(answer, entry_point="f")) is None


@pytest.mark.parametrize("line", ["import os\n\nos.remove(f(1))", "eval(f(1))", "x = open('a')\nf(x)"])
def test_what_a_scanner_must_see_stays(line: str) -> None:
    program = build_program(f"{PY}{F}\n\n{line}{END}", entry_point="f")
    assert program is not None
    assert line.splitlines()[-1] in program or line.splitlines()[0] in program


PROGRAMS = {
    "alone": f"{PY}{STDIO}{END}",
    "and its input": f"{PY}{STDIO}{END}Input:\n```\n21\n```\nOutput:\n```\n42\n```\n",
    "and a call of a function": f"{PY}{STDIO}{END}{PY}print(solve(3)){END}",
    "and a shell command": f"{PY}{STDIO}{END}```\npython main.py\n```\n",
    "that is corrected": f"{PY}n = input()\nprint(n){END}No:\n{PY}{STDIO}{END}",
    "with its function apart": f"{PY}def d(n):\n    return 2 * n{END}{PY}n = int(input())\nprint(d(n)){END}",
    "that is called apart": f"{PY}def main():\n    print(2 * int(input())){END}Then:\n{PY}main(){END}",
    "after an idea": f"{PY}def d(n):\n    return 2 * n{END}In full:\n{PY}{STDIO}{END}",
    "without fences": f"Program\n\n{STDIO}\n\nIt doubles.\n",
}


@pytest.mark.parametrize("answer", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_whole_program_is_the_block_that_reads_its_input(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = build_program(answer)
    assert program is not None
    monkeypatch.setattr("builtins.input", lambda: "21")
    exec(compile(program, "<program>", "exec", dont_inherit=True), {})
    assert capsys.readouterr().out == "42\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"{PY}class Solution:\n    def f(self, x):\n        return 2 * x{END}{PY}print(Solution().f(3)){END}",
        f"{PY}{F}{END}{PY}print(f(3)){END}",
    ],
)
def test_a_method_is_defined_by_its_class_or_by_a_plain_function(answer: str) -> None:
    program = build_program(answer, entry_point="Solution.f")
    assert program is not None
    assert "2 * x" in program
    assert "print" not in program or "class" not in program


@pytest.mark.parametrize(
    "answer",
    [
        f"{PY}x = f(y){END}" * 20_000,
        "".join(f"{PY}def f{i}():\n    return f{i + 1}(){END}" for i in range(5_000)) + f"{PY}def f():\n    f0(){END}",
        f"{PY}{F}\n" + "x = f(1)\n" * 10_000 + END,
        f"{PY}{F}\n" + "".join(f"x{i} = x{i - 1}\n" for i in range(1, 8_000)) + f"assert x7999{END}",
        "<pre>" * 50_000,
        "<code" + " " * 200_000,
        "[PYTHON]" * 50_000,
        "- " * 100_000 + PY,
        "> " * 100_000 + PY,
        "a ```\n" * 50_000,
        ("  " * 500 + "x\n") * 500,
        "def f(\n" * 10_000,
        "<think>" * 50_000 + "</think>" * 50_000,
        "if x\n" * 10_000,
        "a.b[c] " * 30_000,
    ],
)
def test_hostile_answers_take_linear_time(answer: str) -> None:
    for prompt in ("", CODE_PROMPT):
        started = time.process_time()
        build_program(answer, prompt=prompt, entry_point="f")
        assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "after",
    [
        "x = add(5, 1)\nprint(x)\nresult = x * 2\nprint(result)\n",
        "def test_add():\n    assert add(1, 1) == 3\ntest_add()\n",
        "def show(a):\n    print(add(a, a))\ndef main():\n    show(int(input()))\nmain()\n",
    ],
)
def test_what_needs_an_example_goes_with_it(after: str) -> None:
    program = build_program(
        f"```python\ndef add(a, b):\n    return a + b\n{after}```", prompt="Add.", entry_point="add"
    )
    space: dict[str, Any] = {}
    exec(program or "", space)
    assert space["add"](1, 2) == 3


def test_an_example_that_something_else_needs_stays() -> None:
    code = "def add(a, b):\n    return a + b + zero\nzero = 0\nthree = add(1, 2)\ndef other():\n    return three\n"
    assert build_program(f"```python\n{code}```", prompt="Add.", entry_point="add") == code
    code = "def add(a, b):\n    return a + b if a < 9 else helper(a, b)\n"
    code += "def helper(a, b):\n    return add(0, b) + a\nhelper(9, 1)\n"
    assert "def helper" in (build_program(f"```python\n{code}```", prompt="Add.", entry_point="add") or "")
