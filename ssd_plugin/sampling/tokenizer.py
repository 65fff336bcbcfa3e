"""Do sampler and trainer read a model's tokens alike? What is sampled is token ids, which mean nothing to another tokenizer.

The files are the same (the run's digest of the base model holds them), but two interpreters or containers may bring libraries
that make something else of them. `python -m ssd_plugin.sampling.tokenizer MODEL_DIR` prints what one of them makes.
"""

import dataclasses
import importlib.metadata
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.core.jsonl import sha256_json
from ssd_plugin.errors import DependencyError

PATIENCE = 600  # seconds for an interpreter to import transformers on a busy machine
PROBES = (
    "def f(x):\n    return x + 1  # naïve — 你好\n",
    "```python\n\tfor i in range(1_000):\r\n        print(i, 'a' * 3)   \n```\n\n",
    "<|im_start|>user\n<think>2 + 2 = 4</think><|im_end|>\n",
)


@dataclass(frozen=True, kw_only=True)
class TokenizerReading:
    """What an interpreter makes of a model's tokenizer: `digest` over the tokens of the probes, the tokens that end a turn and
    the vocabulary's size. `transformers`: that library's version there."""

    digest: str
    transformers: str

    def __str__(self) -> str:
        return f"digest {self.digest[:12]} with transformers {self.transformers}"


def read_tokenizer(model_dir: Path) -> TokenizerReading:
    """This interpreter's reading.

    Raises:
        ModelError: no token ends a turn.
    """
    from ssd_plugin.sampling.prompting import end_token_ids, open_tokenizer

    tokenizer = open_tokenizer(model_dir)
    tokens = [[int(i) for i in tokenizer(probe, add_special_tokens=False)["input_ids"]] for probe in PROBES]
    facts = [tokens, sorted(end_token_ids(model_dir, tokenizer)), len(tokenizer)]
    return TokenizerReading(digest=sha256_json(facts), transformers=importlib.metadata.version("transformers"))


def _ask(setting: str, python: str, model_dir: Path) -> TokenizerReading:
    """Another interpreter's reading.

    Raises:
        DependencyError: it cannot load the tokenizer.
    """
    command = [python, "-P", "-m", "ssd_plugin.sampling.tokenizer", str(model_dir)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603 - the user's
        return TokenizerReading(**json.loads(done.stdout.splitlines()[-1]))
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    except (ValueError, TypeError, IndexError):
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
    raise DependencyError(f"{setting} = {python} cannot load the tokenizer of {model_dir}: {reason}")


def require_agreement(model_dir: Path, *, sample: str, train: str) -> None:
    """Refuse two interpreters ("" is this one) that read the model's tokens differently.

    One that is not on this machine, but in another stage's container, is left to `require_same`, before it trains.

    Raises:
        DependencyError: they differ, or one cannot load the tokenizer.
    """
    pythons = {"python.sample": sample or sys.executable, "python.train": train or sys.executable}
    if len(set(pythons.values())) == 1 or not all(map(shutil.which, pythons.values())):
        return
    readings = {f"{setting} = {python}": _ask(setting, python, model_dir) for setting, python in pythons.items()}
    _require_equal(readings, model_dir)


def require_same(model_dir: Path, sampled: dict[str, str]) -> None:
    """Refuse to train on tokens of another reading than this interpreter's. `sampled`: the sampler's, as it was written down.

    Raises:
        DependencyError: they differ.
    """
    readings = {"the sampler": TokenizerReading(**sampled), f"the trainer, {sys.executable}": read_tokenizer(model_dir)}
    _require_equal(readings, model_dir)


def _require_equal(readings: dict[str, TokenizerReading], model_dir: Path) -> None:
    if len({reading.digest for reading in readings.values()}) > 1:
        both = "; ".join(f"{who}: {reading}" for who, reading in readings.items())
        raise DependencyError(
            f"sampler and trainer do not read the tokens of {model_dir} alike ({both}): install the same transformers and "
            "tokenizers for both"
        )


if __name__ == "__main__":
    print("\n" + json.dumps(dataclasses.asdict(read_tokenizer(Path(sys.argv[1])))))
