"""What a model's configuration may make a loader fetch or run: nothing. Anything unknown that names a place is refused.

Loaders take code and weights from where a configuration says: `auto_map`, kernels of the hub by the name of an attention
implementation, parts of a model by their repository. New keys of that kind come with every release of a loader. So values are
looked at, not only names of keys: one that is a path, a URL or ORG/NAME is refused unless no loader follows its key.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_RUN = re.compile(
    r"auto_map|trust_remote_code|custom_.*|use_kernels|kernel_config|.*dynamic_module.*|use_pretrained.*|use_timm.*",
    re.IGNORECASE,
)
_IMPLEMENTATION = re.compile(r".*(_|^)impl(ementation)?(_internal|_autoset)?", re.IGNORECASE)
_IMPLEMENTATIONS = {
    "", "auto", "eager", "sdpa", "sdpa_paged", "eager_paged", "flex_attention", "flash_attention_2", "flash_attention_3",
    "flash_attention_4", "paged|eager", "paged|sdpa", "paged|flash_attention_2", "paged|flash_attention_3", "flash",
    "torch", "triton", "xformers", "grouped_mm", "batched_mm",
}  # fmt: skip
_QUANTIZERS = {
    "awq", "gptq", "fp8", "mxfp4", "fbgemm_fp8", "compressed-tensors", "bitsandbytes", "bitsandbytes_4bit",
    "bitsandbytes_8bit", "modelopt", "nvfp4", "eetq", "hqq", "quanto", "torchao", "auto-round", "bitnet", "higgs",
}  # fmt: skip
# Token texts, which are compared with the baseline's, and labels: whatever is in them, no loader follows it.
_TEXTS = {
    "added_tokens_decoder", "additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens",
    "chat_template", "id2label", "label2id", "vocab", "merges", "added_tokens", "stop_strings",
}  # fmt: skip
# Where a saver had it from. Loaders put their own path in the place of the first two and do not read the last.
_ORIGINS = {"_name_or_path", "name_or_path", "special_tokens_map_file"}
# A path or ORG/NAME; REPOSITORY--module.Class; a URL, and a path from the root, a home or the working directory, with any spaces.
_PLACE = re.compile(r"[^\s<>]*[/\\][^\s<>]*|[^\s<>]*--[\w.]+\.\w+|(\w+://|/|~|\.{1,2}(/|$)).*", re.DOTALL)
_UNREAD = re.compile(r"(.*/)?(vocab|special_tokens_map|added_tokens)\.json|(.*/)?tokenizer\.json|.*\.index\.json")


def remote_parts(value: Any, name: str) -> Iterator[str]:
    """What in the JSON file `name` makes a loader fetch or run something, in words that name the key.

    Files that hold token texts or shard names have no key that loaders follow, except those that say `auto_map`.
    """
    yield from _walk(value, name, top=True, texts=_UNREAD.fullmatch(name) is not None)


def _walk(value: Any, where: str, *, top: bool = False, texts: bool = False) -> Iterator[str]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _value(inner, f"{where}[{index}]", texts=texts)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(str(key), inner, where, top=top, texts=texts)


def _entry(key: str, value: Any, where: str, *, top: bool, texts: bool) -> Iterator[str]:
    here = f"{where}.{key}"
    if key in _TEXTS or key.endswith("_token"):
        yield from _value(value, here, texts=True)
    elif value and not (texts and isinstance(value, int)) and _RUN.fullmatch(key):
        yield f"{here} asks for code to be imported"
    elif not texts and _IMPLEMENTATION.fullmatch(key):
        yield from _implementations(value, here)
    elif not texts and key == "quant_method" and value is not None and value not in sorted(_QUANTIZERS):
        yield f"{here} names a quantizer that is not known to load data only ({value!r:.60})"
    elif not texts and key.endswith("_file") and key not in _ORIGINS and isinstance(value, str) and value:
        yield f"{here} names a file to load from ({value!r:.80}), which older loaders open wherever it is; remove it"
    elif not (top and key in _ORIGINS and isinstance(value, str)):
        yield from _value(value, here, texts=texts)


def _implementations(value: Any, where: str) -> Iterator[str]:
    """An implementation by name, or one for each part of the model."""
    if isinstance(value, Mapping):
        for part, inner in value.items():
            yield from _implementations(inner, f"{where}.{part}")
    elif value is not None and not isinstance(value, bool) and value not in sorted(_IMPLEMENTATIONS):
        yield f"{where} names an implementation that is not a loader's own ({value!r:.60}): its code would be fetched"


def _value(value: Any, where: str, *, texts: bool) -> Iterator[str]:
    if not isinstance(value, str):
        yield from _walk(value, where, texts=texts)
    elif not texts and _PLACE.fullmatch(value.strip()):
        yield f"{where} names a place to load from ({value!r:.80}); remove it"
