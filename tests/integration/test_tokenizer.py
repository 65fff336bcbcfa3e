"""Sampler and trainer must read a model's tokens alike: with a real tokenizer, and with pretended interpreters."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest

from ssd_plugin.errors import DependencyError
from ssd_plugin.sampling.tokenizer import read_tokenizer, require_agreement, require_same


def pretended(path: Path, answer: str) -> str:
    """An interpreter that gives one answer."""
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    path.chmod(0o755)
    return str(path)


def test_a_reading_is_the_tokenizers_own(tiny_llama: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_llama, tmp_path / "copy")
    assert read_tokenizer(copy) == read_tokenizer(tiny_llama)
    other = shutil.copytree(tiny_llama, tmp_path / "other")
    document = json.loads((other / "tokenizer.json").read_text())
    document["model"]["merges"] = document["model"]["merges"][:5]
    (other / "tokenizer.json").write_text(json.dumps(document))
    assert read_tokenizer(other).digest != read_tokenizer(tiny_llama).digest


def test_the_trainer_refuses_what_another_reading_sampled(tiny_llama: Path) -> None:
    own = dataclasses.asdict(read_tokenizer(tiny_llama))
    require_same(tiny_llama, own)
    with pytest.raises(DependencyError, match=r"the sampler: digest 000000000000 .* the trainer, "):
        require_same(tiny_llama, own | {"digest": "0" * 64})


def test_two_interpreters_are_asked(tiny_llama: Path, tmp_path: Path) -> None:
    own = dataclasses.asdict(read_tokenizer(tiny_llama))
    same = pretended(tmp_path / "same", json.dumps(own))
    other = pretended(tmp_path / "other", json.dumps(own | {"digest": "f" * 64, "transformers": "4.0"}))
    require_agreement(tiny_llama, sample="", train="")
    require_agreement(tiny_llama, sample=same, train="")  # this one is asked for real
    with pytest.raises(DependencyError) as caught:
        require_agreement(tiny_llama, sample=same, train=other)
    for part in (f"python.sample = {same}", f"python.train = {other}", own["digest"][:12], "f" * 12, "4.0"):
        assert part in str(caught.value)


def test_an_interpreter_that_cannot_load_it_is_named(tiny_llama: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named transformers' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(DependencyError, match=r"python\.train = .*broken cannot load the tokenizer .*No module named"):
        require_agreement(tiny_llama, sample=sys.executable, train=str(broken))


def test_an_interpreter_of_another_container_is_left_to_the_trainer(tiny_llama: Path, tmp_path: Path) -> None:
    require_agreement(tiny_llama, sample="", train=str(tmp_path / "not-here"))
