"""Hostile model directories: whatever is planted in a sound one, the artifact gate refuses it and says which file."""

import hashlib
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssd_plugin.errors import TrustError
from ssd_plugin.gates import artifact
from ssd_plugin.gates.artifact import Settings
from ssd_plugin.gating.chat_template import render_trouble
from ssd_plugin.gating.model_files import inspect_directory
from ssd_plugin.gating.safetensors_files import inspect_safetensors
from ssd_plugin.gating.verdict import GateResult, GateStatus

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def sound_model(directory: Path) -> Path:
    """A small model directory as exporters write it."""
    directory.mkdir()
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16)}, directory / "model.safetensors")
    documents = {
        "config.json": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        "generation_config.json": {"do_sample": True},
        "tokenizer.json": {"model": {"vocab": {"a": 0, "b": 1}, "merges": []}, "truncation": None, "padding": None},
        "tokenizer_config.json": {"eos_token": "</s>", "chat_template": TEMPLATE},
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document))
    (directory / "README.md").write_text("A model.")
    return directory


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """(candidate, baseline), equal."""
    baseline = sound_model(tmp_path / "baseline")
    return Path(shutil.copytree(baseline, tmp_path / "candidate")), baseline


@pytest.fixture
def judge(world: Any, models: tuple[Path, Path]) -> Callable[..., GateResult]:
    def run(**settings: Any) -> GateResult:
        context = replace(world.context([], []), model=models[0], baseline_model=models[1])
        return artifact.check(context, Settings(**settings))

    return run


def test_a_sound_model_passes(judge: Callable[..., GateResult]) -> None:
    assert judge().status is GateStatus.PASS


def edit_json(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], Any]:
    return lambda model: (model / name).write_text(json.dumps(change(json.loads((model / name).read_text()))))


def broken_header(header: dict[str, Any], body: int) -> Callable[[Path], Any]:
    text = json.dumps(header).encode()
    return lambda model: (model / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(body))


def tensor(**changes: Any) -> dict[str, Any]:
    return {"t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda m: (m / "pytorch_model.bin").write_bytes(pickle.dumps([1])), "pytorch_model.bin: not a file"),
        (lambda m: (m / "modeling_evil.py").write_text("import os"), "modeling_evil.py: not a file"),
        (lambda m: (m / "lib.so").write_bytes(b"\x7fELF"), "lib.so: not a file"),
        (lambda m: (m / "x.safetensors.pkl").write_bytes(b"x"), "x.safetensors.pkl: not a file"),
        (lambda m: (m / "model.safetensors").unlink(), "no .safetensors or .gguf"),
        (lambda m: (m / "w.gguf").write_bytes(b"\x80\x04pickle"), "w.gguf: not a GGUF file"),
        (edit_json("config.json", lambda d: d | {"auto_map": {"AutoModel": "m.M"}}), "config.json.auto_map"),
        (edit_json("config.json", lambda d: d | {"sub": [{"auto_map": {"AutoModel": "x/y--m.M"}}]}), "sub[0].auto_map"),
        (edit_json("tokenizer_config.json", lambda d: d | {"auto_map": {"AutoTokenizer": ["t.T", None]}}), "auto_map"),
        (lambda m: (m / "config.json").write_text("[" * 100_000), "config.json: nested too deeply"),
        (lambda m: (m / "config.json").write_bytes(b"\xff\xfe{"), "config.json"),
        (lambda m: (m / "config.json").write_text('{"auto_map": {"a": "b"}, "auto_map": null}'), "is there twice"),
        (
            lambda m: (m / "config.json").write_bytes('{"auto_map": {"a": "b"}}'.encode("utf-16")),
            "config.json: 'utf-8' codec can't decode",
        ),
        (lambda m: (m / "config.json").unlink(), "the directory has no config.json"),
        (lambda m: (m / "config.json").write_text("[]"), "names neither model_type nor architectures"),
        (lambda m: (m / "config.json").write_text("{}"), "names neither model_type nor architectures"),
        (lambda m: (m / "config.json").rename(m / "params.json"), "the directory has no config.json"),
        (
            lambda m: (m / "sub").mkdir() or (m / "model.safetensors").rename(m / "sub/model.safetensors"),
            "no .safetensors or .gguf",
        ),
        (
            lambda m: (m / "config.json").write_bytes(b"\xef\xbb\xbf" + (m / "config.json").read_bytes()),
            "Unexpected UTF-8 BOM",
        ),
        (edit_json("config.json", lambda d: d | {"use_pretrained_backbone": True}), "use_pretrained_backbone"),
        (edit_json("config.json", lambda d: d | {"attn_implementation": "evil/kernel"}), "attn_implementation"),
        (broken_header(tensor(data_offsets=[0, 800]), 8), "model.safetensors: its header is malformed"),
        (broken_header(tensor(shape=[-2]), 8), "sizes must be whole numbers"),
        (broken_header(tensor(dtype="EVIL"), 8), "8 bytes for shape"),
        (broken_header(tensor() | {"u": tensor()["t"]}, 8), "overlap or leave gaps"),
        (broken_header(tensor(), 16), "do not fill the file"),
        (broken_header({}, 0), "do not fill the file"),
        (lambda m: (m / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}"), "does not fit the file"),
        (lambda m: (m / "model.safetensors").write_bytes(b""), "does not fit the file"),
        (edit_json("tokenizer.json", lambda d: d | {"model": {"vocab": {"a": 1, "b": 0}}}), "tokenizer.json differ"),
        (edit_json("tokenizer_config.json", lambda d: d | {"eos_token": "a"}), "eos_token differ"),
        (lambda m: (m / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda m: (m / "tokenizer.json").write_text("[]"), "malformed"),
        (
            edit_json("tokenizer_config.json", lambda d: d | {"chat_template": TEMPLATE + "{# trigger #}"}),
            "template differs",
        ),
        (edit_json("tokenizer_config.json", lambda d: d | {"chat_template": 7}), "neither text nor a list"),
        (lambda m: (m / "chat_template.jinja").write_text(TEMPLATE.replace("assistant", "system")), "template differs"),
        (lambda m: (m / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}"), "chat_template.jinja"),
        (lambda m: (m / "chat_template.jinja").write_text("{% if"), "cannot be rendered"),
    ],
)
def test_planted_files_are_refused(
    judge: Callable[..., GateResult], models: tuple[Path, Path], plant: Callable[[Path], Any], said: str
) -> None:
    plant(models[0])
    result = judge()
    assert result.status is GateStatus.BREACH
    assert said in result.reason


@pytest.mark.parametrize(
    "plant",
    [
        lambda m: (m / "config.json").unlink() or (m / "config.json").symlink_to("/etc/hostname"),
        lambda m: os.mkfifo(m / "vocab.json"),
        lambda m: (m / "more").symlink_to(m),
    ],
)
def test_links_and_pipes_are_refused(models: tuple[Path, Path], plant: Callable[[Path], Any]) -> None:
    plant(models[0])
    with pytest.raises(TrustError, match=r"symbolic link|neither a file nor a folder"):
        inspect_directory(models[0])


@pytest.mark.parametrize(
    ("vocabulary", "added"), [({"a": 0}, []), ({}, []), ([["a", 0.0]], []), ({"a": 0}, [{"id": 0, "content": "a"}])]
)
def test_a_tokenizer_of_one_token_is_refused_though_the_baseline_has_it(
    judge: Callable[..., GateResult], models: tuple[Path, Path], vocabulary: Any, added: Any
) -> None:
    for model in models:
        (model / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": added}))
    refused = judge()
    assert refused.status is GateStatus.BREACH
    assert "cannot tell one text from another" in refused.reason


def test_weights_that_are_no_numbers_are_refused(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    save_file({"a": np.array([1, np.nan], np.float32)}, models[0] / "model.safetensors")
    assert "'a' holds values that are no finite numbers" in judge().reason


def test_changes_can_be_approved_by_digest(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    edit_json("tokenizer_config.json", lambda d: d | {"chat_template": TEMPLATE + " ", "eos_token": "b"})(models[0])
    refused = judge()
    assert refused.status is GateStatus.BREACH
    digest = refused.reason.split("to approve, list ")[1][:64]
    assert judge(approved_tokenizers=(digest,)).status is GateStatus.PASS
    edit_json("tokenizer_config.json", lambda d: d | {"chat_template": TEMPLATE + "{# new #}"})(models[0])
    digest = judge(approved_tokenizers=(digest,)).reason.split("to approve, list ")[1][:64]
    assert judge(approved_templates=(digest,)).status is GateStatus.BREACH, "the tokenizer is still another one"


def test_savers_may_reset_padding_and_layout(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    path = models[0] / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding": {"strategy": "x"}}, indent=4))
    assert judge().status is GateStatus.PASS


def other_template(text: str = TEMPLATE) -> str:
    return text + "{# trigger #}"


def named(**texts: str) -> dict[str, Any]:
    return {"chat_template": [{"name": name, "template": text} for name, text in texts.items()]}


def put(name: str, content: Any) -> Callable[[Path], None]:
    """Write a file, JSON unless it is text."""

    def write(model: Path) -> None:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(content if isinstance(content, str) else json.dumps(content))

    return write


def set_config(**values: Any) -> Callable[[Path], Any]:
    return edit_json("tokenizer_config.json", lambda d: {k: v for k, v in (d | values).items() if v is not None})


def refused_after(
    judge: Callable[..., GateResult],
    models: tuple[Path, Path],
    before: Callable[[Path], Any],
    after: Callable[[Path], Any],
) -> GateResult:
    """The breach that `after`, done to the candidate alone, is where both models had `before` done to them."""
    for model in models:
        before(model)
    assert judge().status is GateStatus.PASS
    after(models[0])
    refused = judge()
    assert refused.status is GateStatus.BREACH
    return refused


@pytest.mark.parametrize(
    ("before", "after", "which"),
    [
        (set_config(**named(default=TEMPLATE)), set_config(**named(default=other_template())), "default"),
        (set_config(**named(default=TEMPLATE)), set_config(**named(default=TEMPLATE, tool_use=TEMPLATE)), "tool_use"),
        (set_config(**named(default=TEMPLATE, rag=TEMPLATE)), set_config(**named(default=TEMPLATE)), "rag"),
        (set_config(), put("additional_chat_templates/tool_use.jinja", TEMPLATE), "tool_use"),
        (set_config(), put("chat_template.json", {"chat_template": other_template()}), "processor"),
        (set_config(), put("processor_config.json", {"chat_template": other_template()}), "processor"),
        (
            put("additional_chat_templates/rag.jinja", TEMPLATE),
            put("additional_chat_templates/rag.jinja", other_template()),
            "rag",
        ),
        (  # the text that newer loaders take is the baseline's; older ones read the other
            put("chat_template.jinja", TEMPLATE),
            set_config(chat_template=other_template()),
            "tokenizer_config.json",
        ),
    ],
)
def test_every_template_is_compared(
    judge: Callable[..., GateResult],
    models: tuple[Path, Path],
    before: Callable[[Path], Any],
    after: Callable[[Path], Any],
    which: str,
) -> None:
    refused = refused_after(judge, models, before, after)
    assert f"template differs from the baseline's ({which})" in refused.reason
    digest = refused.reason.split("to approve, list ")[1][:64]
    assert judge(approved_templates=(digest,)).status is GateStatus.PASS
    set_config(chat_template=other_template() + " ")(models[0])
    assert judge(approved_templates=(digest,)).status is GateStatus.BREACH, "approved for these texts only"


def test_a_template_is_approved_by_its_own_digest(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    set_config(chat_template=other_template())(models[0])
    assert judge(approved_templates=(hashlib.sha256(other_template().encode()).hexdigest(),)).status is GateStatus.PASS


def test_a_template_may_move_to_a_file_of_its_own(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    set_config(chat_template=None)(models[0])
    put("chat_template.jinja", TEMPLATE + "\n")(models[0])
    assert judge().status is GateStatus.PASS


@pytest.mark.parametrize(
    "broken",
    [
        [{"name": "default"}],
        [{"name": "default", "template": TEMPLATE}, {"name": "default", "template": other_template()}],
    ],
)
def test_malformed_lists_of_templates_are_refused(
    judge: Callable[..., GateResult], models: tuple[Path, Path], broken: Any
) -> None:
    set_config(chat_template=broken)(models[0])
    assert "malformed" in judge().reason


def slow_only(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    put("vocab.json", {"a": 0, "b": 1})(model)
    put("merges.txt", "#version: 0.2\n")(model)


FAST = {"model": {"vocab": {"a": 1, "b": 0}, "merges": []}}
ADDED = {"2": {"content": "<x>", "special": True}}


def in_table(**flags: Any) -> Callable[[Path], Any]:
    return set_config(added_tokens_decoder={"2": {"content": "<x>"} | flags})


def with_class(name: Any) -> Callable[[Path], Any]:
    return set_config(tokenizer_class=name)


def slow_with_class(model: Path) -> None:
    slow_only(model)
    with_class("GPT2Tokenizer")(model)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (slow_only, put("tokenizer.json", FAST), "tokenizer.json differ"),
        (slow_only, lambda m: (m / "merges.txt").unlink(), "merges.txt differ"),
        (slow_only, put("added_tokens.json", {"<x>": 2}), "added tokens differ"),
        (slow_only, set_config(added_tokens_decoder=ADDED), "special tokens, added tokens differ"),
        (set_config(), put("tokenizer.model", "another tokenizer"), "tokenizer.model differ"),
        (set_config(), set_config(eos_token=None), "eos_token differ"),
        (set_config(), set_config(pad_token="a"), "pad_token differ"),
        (set_config(), set_config(add_bos_token=True), "add_bos_token differ"),
        (set_config(), put("special_tokens_map.json", {"eos_token": {"content": "a"}}), "eos_token differ"),
        (set_config(), put("special_tokens_map.json", {"eos_token": 7}), "eos_token differ"),
        (set_config(), put("special_tokens_map.json", {"eos_token": {"lstrip": True}}), "malformed"),
        (set_config(), put("special_tokens_map.json", []), "malformed"),
        (set_config(), set_config(extra_special_tokens={"image_token": "b"}), "image_token differ"),
        (set_config(), set_config(additional_special_tokens=["b"]), "special tokens differ"),
        (set_config(), set_config(added_tokens_decoder={"2": {"content": "<x>"}}), "added tokens differ"),
        (set_config(), set_config(**{f"{n}\n_token": "b" for n in range(9)}), "0\\n_token, 1\\n_token"),
        (
            set_config(added_tokens_decoder=ADDED),
            set_config(added_tokens_decoder={"2": {"content": "<y>", "special": True}}),
            "special tokens, added tokens differ",
        ),
        *(
            (in_table(), in_table(**{flag: True}), "the flags of <x> differ")
            for flag in ("lstrip", "rstrip", "single_word")
        ),
        (in_table(), in_table(normalized=False), "the flags of <x> differ"),
        (in_table(special=True), in_table(special=True, normalized=True), "the flags of <x> differ"),
        (in_table(), in_table(special=True), "special tokens, the flags of <x> differ"),
        (  # the table overrules what is the same on both sides
            edit_json("tokenizer.json", lambda d: d | {"added_tokens": [{"id": 2, "content": "<x>"}]}),
            in_table(lstrip=True),
            "the flags of <x> differ",
        ),
        (set_config(), set_config(eos_token={"content": "</s>", "lstrip": True}), "the flags of </s> differ"),
        (put("added_tokens.json", {"<x>": 2}), in_table(rstrip=True), "the flags of <x> differ"),
        (with_class("Qwen2TokenizerFast"), with_class("LlamaTokenizerFast"), "tokenizer_class differ"),
        (with_class("TokenizersBackend"), with_class("BertTokenizer"), "tokenizer_class differ"),
        (with_class("Qwen2Tokenizer"), with_class(None), "tokenizer_class differ"),
        (slow_with_class, with_class("TokenizersBackend"), "tokenizer_class differ"),
        (
            edit_json("config.json", lambda d: d | {"tokenizer_class": "Qwen2Tokenizer"}),
            edit_json("config.json", lambda d: d | {"tokenizer_class": "BertTokenizer"}),
            "tokenizer_class differ",
        ),
        (set_config(), with_class(7), "malformed"),
        *(
            (set_config(), set_config(**{switch: True}), f"{switch} differ")
            for switch in ("add_prefix_space", "fix_mistral_regex", "split_special_tokens")
        ),
    ],
)
def test_a_tokenizer_that_reads_otherwise_is_refused(
    judge: Callable[..., GateResult],
    models: tuple[Path, Path],
    before: Callable[[Path], Any],
    after: Callable[[Path], Any],
    said: str,
) -> None:
    refused = refused_after(judge, models, before, after)
    assert said in refused.reason
    if said != "malformed":
        digest = refused.reason.split("to approve, list ")[1][:64]
        assert judge(approved_tokenizers=(digest,)).status is GateStatus.PASS


def test_a_switch_that_is_written_as_off_is_no_change(
    judge: Callable[..., GateResult], models: tuple[Path, Path]
) -> None:
    set_config(split_special_tokens=False, add_prefix_space=None)(models[0])
    assert judge().status is GateStatus.PASS


def test_a_tokenizer_that_names_another_file_is_refused(
    judge: Callable[..., GateResult], models: tuple[Path, Path]
) -> None:
    for model in models:
        set_config(fast_tokenizer_files=["tokenizer.4.0.json.txt"])(model)
        put("tokenizer.4.0.json.txt", "{}")(model)
    refused = judge()
    assert refused.status is GateStatus.BREACH
    assert "fast_tokenizer_files has loaders read another file; remove the key" in refused.reason


def test_the_same_tokenizer_saved_anew_passes(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    """As transformers 5 saves it: the special tokens elsewhere, no redundant files, switches and tables left out."""
    added = [{"id": 2, "content": "<x>", "special": True}]
    for model in models:
        edit_json("tokenizer.json", lambda d: d | {"added_tokens": added})(model)
    put("vocab.json", {"a": 0, "b": 1})(models[1])
    set_config(add_bos_token=False, added_tokens_decoder=ADDED, additional_special_tokens=["<x>"])(models[1])
    put("special_tokens_map.json", {"eos_token": {"content": "</s>", "lstrip": False}})(models[0])
    with_class("Qwen2TokenizerFast")(models[1])
    for name in ("Qwen2Tokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"):
        with_class(name)(models[0])
        assert judge().status is GateStatus.PASS, name


def test_flags_may_be_written_in_full(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    in_table(special=True)(models[1])
    in_table(special=True, lstrip=False, rstrip=False, single_word=False, normalized=False)(models[0])
    assert judge().status is GateStatus.PASS
    named = {"content": "<x>", "lstrip": True}  # that loaders leave unread, since the table has the token
    put("special_tokens_map.json", {"additional_special_tokens": [named]})(models[0])
    assert judge().status is GateStatus.PASS


def test_the_lines_own_export_passes(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    from ssd_plugin.training.export import carry_over

    model, baseline = models
    slow_only(baseline)
    put("special_tokens_map.json", {"eos_token": "</s>", "additional_special_tokens": ["<x>"]})(baseline)
    put("added_tokens.json", {"<x>": 2})(baseline)
    with_class("GPT2Tokenizer")(baseline)
    put("chat_template.jinja", other_template())(baseline)
    shutil.rmtree(model)
    model.mkdir()
    shutil.copy(baseline / "model.safetensors", model)
    carry_over(baseline, model)
    assert judge().status is GateStatus.PASS


def index(**weights: Any) -> Callable[[Path], None]:
    return put("model.safetensors.index.json", {"weight_map": weights})


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (index(a="/tmp/evil.safetensors"), "names '/tmp/evil.safetensors', which is no .safetensors file beside it"),
        (index(a="model.safetensors", b="../../x.safetensors"), "names '../../x.safetensors'"),
        (index(a="model.safetensors", b="./model.safetensors"), "names './model.safetensors'"),
        (index(a="config.json"), "names 'config.json'"),
        (index(a=7), "its weight_map is no table"),
        (put("model.safetensors.index.json", []), "its weight_map is no table"),
        (index(), "does not name model.safetensors"),
        (put("adapter_config.json", {"base_model_name_or_path": "evil/model"}), "merge the adapter and remove it"),
        (put("README.py", "import os"), "README.py: not a file"),
        (put("LICENSE.pkl", "x"), "LICENSE.pkl: not a file"),
        (put("README_x/m.py", "import os"), "README_x/m.py: not a file"),
        (put("docs/notes.md", "x"), "docs/notes.md: not a file"),
        (put("w.gguf", "GGUF"), "w.gguf: holds a tokenizer and a chat template of its own"),
    ],
)
def test_weights_and_texts_are_those_of_the_directory(
    judge: Callable[..., GateResult], models: tuple[Path, Path], plant: Callable[[Path], Any], said: str
) -> None:
    plant(models[0])
    result = judge()
    assert result.status is GateStatus.BREACH
    assert said in result.reason


def test_an_index_of_exactly_the_shards_and_usual_texts_pass(
    judge: Callable[..., GateResult], models: tuple[Path, Path]
) -> None:
    save_file({"c": np.zeros(2, np.float32)}, models[0] / "more.safetensors")
    index(a="model.safetensors", b="model.safetensors", c="more.safetensors")(models[0])
    for name in ("LICENSE", "LICENSE-2.0.txt", "NOTICE.rst", "README_zh-CN.md", ".gitattributes", "USE_POLICY.md"):
        put(name, "text")(models[0])
    assert judge().status is GateStatus.PASS


def test_a_gguf_alone_is_inspected_as_before(tmp_path: Path) -> None:
    put("w.gguf", "GGUF")(tmp_path)
    put("README.md", "text")(tmp_path)
    assert inspect_directory(tmp_path) == []


def test_without_directories_it_cannot_say(world: Any, models: tuple[Path, Path]) -> None:
    context = world.context([], [])
    assert artifact.check(context, Settings()).status is GateStatus.INSUFFICIENT
    alone = replace(context, model=models[0])
    assert artifact.check(alone, Settings()).status is GateStatus.INSUFFICIENT
    (models[0] / "evil.py").write_text("")
    assert artifact.check(alone, Settings()).status is GateStatus.BREACH


@pytest.mark.parametrize(
    ("template", "trouble"),
    [
        (TEMPLATE, ""),
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}", ""),
        ("{{ ''.__class__.__base__.__subclasses__() }}", "sandbox forbids"),
        ("{{ messages.append(1) }}{{ messages[0].content }}", "sandbox forbids"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "exactly once"),
        ("hello", "exactly once"),
        ("{{ messages[0].content }}{% for i in range(99999999) %}x{% endfor %}", "cannot be rendered"),
        ("{% for i in range(9999) %}{{ messages[0].content * 99 }}{% endfor %}", "more than 1 MB"),
        ("{{ raise_exception('no') }}", "cannot be rendered"),
        ("x" * (2**20 + 1), "larger than 1 MB"),
    ],
)
def test_templates_are_rendered_in_a_sandbox(template: str, trouble: str) -> None:
    found = render_trouble(template)
    assert trouble in found
    assert bool(found) is bool(trouble)


def test_real_files_have_sound_headers(tmp_path: Path) -> None:
    save_file(
        {"x": np.zeros((0, 4), np.int64), "y": np.zeros((), np.bool_)}, tmp_path / "x.safetensors", {"format": "pt"}
    )
    assert inspect_safetensors(tmp_path / "x.safetensors") == ""
