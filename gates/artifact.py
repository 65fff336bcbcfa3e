"""The model directory itself: data only, no code, tokenizer and chat template those of the baseline or approved by digest."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.gating.chat_template import active_template, render_trouble, templates
from ssd_plugin.gating.gate import Gate, GateContext
from ssd_plugin.gating.model_files import inspect_directory, problem, read_bounded
from ssd_plugin.gating.paired import refuse
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.jsonl import sha256_json
from ssd_plugin.verdict import Finding, GateResult, GateStatus

_VOCABULARY = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt")
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token", "add_bos_token", "add_eos_token")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`approved_templates`, `approved_tokenizers`: SHA-256 digests that are accepted besides the baseline's; the breach's message
    gives the digest to approve."""

    approved_templates: tuple[str, ...] = ()
    approved_tokenizers: tuple[str, ...] = ()


def _vocabulary(directory: Path) -> dict[str, str]:
    """Digests of what turns text into tokens. Of tokenizer.json, truncation and padding are left out: savers reset them."""
    found = {}
    for name in _VOCABULARY:
        path = directory / name
        if not path.is_file():
            continue
        if name == "tokenizer.json":
            value = read_bounded(path)
            kept = {key: part for key, part in value.items() if key not in ("truncation", "padding")}
            found[name] = sha256_json(kept)
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _special_tokens(directory: Path) -> dict[str, object]:
    path = directory / "tokenizer_config.json"
    value = read_bounded(path) if path.is_file() else {}
    tokens = {name: value.get(name) for name in _SPECIAL if value.get(name) is not None}
    return {name: token.get("content") if isinstance(token, dict) else token for name, token in tokens.items()}


def _compare_tokenizer(model: Path, baseline: Path, settings: Settings) -> list[Finding]:
    new, old = _vocabulary(model), _vocabulary(baseline)
    if not new:
        return [problem("no-tokenizer", "the directory has no tokenizer")]
    digest = sha256_json({"vocabulary": new, "special": _special_tokens(model)})
    if digest in settings.approved_tokenizers:
        return []
    # One side may lack a redundant file; what both have must agree, and tokenizer.json or a vocabulary must be common.
    common = new.keys() & old.keys()
    changed = sorted(name for name in common if new[name] != old[name]) or ([] if common else sorted(new))
    tokens_new, tokens_old = _special_tokens(model), _special_tokens(baseline)
    changed += [name for name in sorted(tokens_new.keys() & tokens_old.keys()) if tokens_new[name] != tokens_old[name]]
    if not changed:
        return []
    return [problem("tokenizer-changed", f"{', '.join(changed)} differ from the baseline's; to approve, list {digest}")]


def _compare_template(model: Path, baseline: Path, settings: Settings) -> list[Finding]:
    found = []
    for where, text in templates(model).items():
        trouble = render_trouble(text)
        found += [problem("template-unsafe", f"{where}: {trouble}")] if trouble else []
    new, old = active_template(model), active_template(baseline)
    digest = hashlib.sha256(new.encode("utf-8", "replace")).hexdigest()
    if new.strip() != old.strip() and digest not in settings.approved_templates:
        found.append(
            problem("template-changed", f"the chat template differs from the baseline's; to approve, list {digest}")
        )
    return found


def check(context: GateContext, settings: Settings) -> GateResult:
    """BREACH on anything that must not be there or was changed; INSUFFICIENT without both directories."""
    if context.model is None:
        return refuse("artifact", GateStatus.INSUFFICIENT, "no model directory was given (--model)")
    findings = inspect_directory(context.model)
    if not findings and context.baseline_model is None:
        why = "no baseline model was given (--baseline-model) to compare tokenizer and chat template with"
        return refuse("artifact", GateStatus.INSUFFICIENT, why)
    if not findings and context.baseline_model is not None:
        try:
            findings += _compare_tokenizer(context.model, context.baseline_model, settings)
            findings += _compare_template(context.model, context.baseline_model, settings)
        except (ValueError, AttributeError) as error:
            findings.append(problem("malformed", f"tokenizer or template files are malformed: {error}"))
    if findings:
        return refuse("artifact", GateStatus.BREACH, "; ".join(one.message for one in findings[:5]), findings)
    reason = "only data files, sound headers, no remote code; tokenizer and chat template as the baseline's or approved"
    return GateResult(gate="artifact", status=GateStatus.PASS, reason=reason)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "model directory holds data only; tokenizer and chat template unchanged or approved"
    needs = "model directory, baseline model directory"
    return [Gate(name="artifact", summary=summary, needs=needs, settings=Settings, check=check, paired=False)]
