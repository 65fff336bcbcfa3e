"""The model directory itself: data only, no code, tokenizer and chat template those of the baseline or approved by digest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ssd_plugin.config.parsing import Matching
from ssd_plugin.gating.chat_template import named_templates, render_trouble, templates, templates_digest
from ssd_plugin.gating.gate import Gate, GateContext
from ssd_plugin.gating.model_files import inspect_directory, problem
from ssd_plugin.gating.paired import refuse
from ssd_plugin.gating.tokenizer_files import differences, tokenizer_facts
from ssd_plugin.gating.verdict import Finding, GateResult, GateStatus
from ssd_plugin.hooks.specs import hookimpl

Digest = Annotated[str, Matching("[0-9a-f]{64}", "a SHA-256 digest, 64 hex digits in lower case")]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`approved_templates`, `approved_tokenizers`: SHA-256 digests that are accepted besides the baseline's; the breach's message
    gives the digest to approve."""

    approved_templates: tuple[Digest, ...] = ()
    approved_tokenizers: tuple[Digest, ...] = ()


def _shown(names: Sequence[str]) -> str:
    """The first few names on one line; they come from the model."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(ascii(name)[1:-1][:80] for name in names[:5]) + more


def _compare_tokenizer(model: Path, baseline: Path, settings: Settings) -> list[Finding]:
    new, old = tokenizer_facts(model), tokenizer_facts(baseline)
    if not new.files:
        return [problem("no-tokenizer", "the directory has no tokenizer")]
    if new.tokens is not None and new.tokens < 2:
        return [problem("no-tokenizer", f"the tokenizer has {new.tokens} tokens: it cannot tell one text from another")]
    changed = differences(new, old)
    if not changed or new.digest() in settings.approved_tokenizers:
        return []
    message = f"{_shown(changed)} differ from the baseline's; to approve, list {new.digest()}"
    return [problem("tokenizer-changed", message)]


def _compare_templates(model: Path, baseline: Path, settings: Settings) -> list[Finding]:
    found = []
    for where, text in templates(model).items():
        trouble = render_trouble(text)
        found += [problem("template-unsafe", f"{where}: {trouble}")] if trouble else []
    new, old = named_templates(model), named_templates(baseline)
    # A baseline without a template and one with an empty template render the same.
    changed = sorted(name for name in new.keys() | old.keys() if new.get(name, "").strip() != old.get(name, "").strip())
    digest = templates_digest(new)
    if changed and digest not in settings.approved_templates:
        message = f"the chat template differs from the baseline's ({_shown(changed)}); to approve, list {digest}"
        found.append(problem("template-changed", message))
    return found


def check(context: GateContext, settings: Settings) -> GateResult:
    """BREACH on anything that must not be there or was changed; INSUFFICIENT without both directories."""
    if context.model is None:
        return refuse("artifact", GateStatus.INSUFFICIENT, "no model directory was given (--model)")
    findings = inspect_directory(context.model, context.holder)
    if not findings and context.baseline_model is None:
        why = "no baseline model was given (--baseline-model) to compare tokenizer and chat template with"
        return refuse("artifact", GateStatus.INSUFFICIENT, why)
    if not findings and context.baseline_model is not None:
        try:
            findings += _compare_tokenizer(context.model, context.baseline_model, settings)
            findings += _compare_templates(context.model, context.baseline_model, settings)
        except (ValueError, TypeError, AttributeError) as error:
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
