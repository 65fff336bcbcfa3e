"""Task text to prompt tokens through the model's own chat template, and the tokens that end a completion."""

import datetime
import functools
import json
import re
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from ssd_plugin.errors import ModelError
from ssd_plugin.sampling.protocol import THOUGHT, THOUGHT_ENDS

TEMPLATE_DATE = datetime.date(2024, 7, 26)
"""Templates that print today's date (Llama 3.1, gpt-oss) get this one, Llama's default: prompts must not change overnight."""

BOUNDARY_PROBES = ("Here is", "def f(x):", "```python\n", "1", "<think>")


@functools.lru_cache(maxsize=2)
def open_tokenizer(model_dir: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory. Its readers share it, so none may change it; base's and candidate's are kept."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    return tokenizer


class PromptEncoder:
    """Renders a task as the user's turn, after the system message if there is one. `reasoning_effort`: for templates that have
    a place for it; "default" leaves it to the template. `opens_thought`: the template ends its prompts inside a thought,
    and a completion's text shows where that ends (it would not if the tag were a special token).

    Raises:
        ModelError: no chat template, the template refuses the turns, or the prompt's last token would merge with a
            completion's first characters (the model would then be sampled and trained on a seam it never saw).
    """

    def __init__(self, model_dir: Path, system_message: str = "", reasoning_effort: str = "default") -> None:
        self._tokenizer = open_tokenizer(model_dir)
        if not self._tokenizer.chat_template:
            raise ModelError(
                f"{model_dir}: its tokenizer has no chat template; use an instruct model, or add a chat_template.jinja"
            )
        self._template = _on_fixed_date(self._tokenizer.chat_template)
        self._model_dir = model_dir
        self._system_message = system_message
        added = self._tokenizer.added_tokens_decoder
        self._control_ids = frozenset(token for token, known in added.items() if known.special)
        self._variables: dict[str, Any] = {"date_string": TEMPLATE_DATE.strftime("%d %b %Y")}
        if reasoning_effort != "default":
            self._variables["reasoning_effort"] = reasoning_effort
        self._check_boundary()

    def render(self, prompt: str) -> str:
        """The text the model reads, up to where its own turn begins."""
        system = [{"role": "system", "content": self._system_message}] if self._system_message else []
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [*system, {"role": "user", "content": prompt}],
                    tokenize=False,
                    add_generation_prompt=True,
                    chat_template=self._template,
                    **self._variables,
                )
            )
        except TemplateError as error:
            raise ModelError(
                f"{self._model_dir}: the chat template failed ({error}); check model.system_message"
            ) from error

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Token ids of `render(prompt)`; the template already holds the special tokens."""
        return tuple(self._ids(self.render(prompt)))

    def spells_control(self, text: str) -> bool:
        """Whether a text holds the name of a control token, such as the one that ends a turn: what follows it would not be the
        user's any more."""
        return not self._control_ids.isdisjoint(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _check_boundary(self) -> None:
        rendered = self.render("Write a function.")
        shown = self._tokenizer.decode(self._ids(THOUGHT_ENDS), skip_special_tokens=True)
        self.opens_thought = rendered.rstrip().endswith(THOUGHT) and THOUGHT_ENDS in shown
        alone = self._ids(rendered)
        for probe in BOUNDARY_PROBES:
            if self._ids(rendered + probe)[: len(alone)] != alone:
                raise ModelError(
                    f"{self._model_dir}: the chat template ends inside a token ({rendered[-20:]!r} merges with {probe!r}); "
                    "end its generation prompt with a special token or a line break"
                )


def _on_fixed_date(template: str) -> str:
    """The template with a macro in the place of `strftime_now`, the only way to it: transformers passes plain data alone."""
    forms = set(re.findall(r"strftime_now\(\s*['\"]([^'\"]*)['\"]", template))
    if not forms:
        return template
    dates = json.dumps({form: TEMPLATE_DATE.strftime(form) for form in sorted(forms)})
    return "{%- macro strftime_now(form) -%}{{ " + dates + "[form] }}{%- endmacro -%}" + template


def end_token_ids(model_dir: Path, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end a turn: those of the generation config and the tokenizer's own.

    Raises:
        ModelError: there is none, so no completion could ever end.
    """
    found: set[int] = set() if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id)}
    if (model_dir / "generation_config.json").is_file():
        declared = GenerationConfig.from_pretrained(model_dir, local_files_only=True).eos_token_id
        found |= {declared} if isinstance(declared, int) else set(declared or ())
    if not found:
        raise ModelError(
            f"{model_dir}: neither generation_config.json nor the tokenizer names an end-of-turn token (eos_token_id)"
        )
    return frozenset(found)
