"""CycloneDX 1.6 ML-BOM: the candidate and every file and tool behind its verdict, by digest, with a model card."""

import json
import uuid
from collections.abc import Iterable
from datetime import datetime

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion

from ssd_plugin.core.digests import model_identity
from ssd_plugin.core.jsonl import JsonObject, sha256_json
from ssd_plugin.core.text import visible
from ssd_plugin.gating.verdict import Measurement, Subject, Tool, Verdict


def mlbom(verdict: Verdict) -> JsonObject:
    """The document, the same for the same verdict. The model's version is the digest of its files' digests."""
    candidate = _model("candidate", [s for s in verdict.subjects if s.role == "model"], verdict)
    components = [_file(s, ComponentType.DATA) for s in verdict.subjects if s.role not in ("model", "baseline_model")]
    if baseline := [s for s in verdict.subjects if s.role == "baseline_model"]:
        components.append(_model("baseline", baseline, None))
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, sha256_json(_stable(verdict))),
        components=components,
        metadata=BomMetaData(
            component=candidate,
            timestamp=datetime.fromisoformat(verdict.created),
            tools=ToolRepository(components=map(_tool, verdict.tools)),
        ),
    )
    bom.register_dependency(candidate, components)
    document: JsonObject = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    # The library has no model cards (11.12); the schema's own are plain enough to add here.
    document["metadata"]["component"]["modelCard"] = _card(verdict, components)
    return document


def _stable(verdict: Verdict) -> list[str]:
    return [verdict.created, verdict.policy.sha256, *(f"{s.role} {s.path!a} {s.sha256}" for s in verdict.subjects)]


def _model(name: str, files: list[Subject], verdict: Verdict | None) -> Component:
    judged = {"ssd:outcome": verdict.outcome.value, "ssd:policy": verdict.policy.sha256} if verdict else {}
    return Component(
        name=name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        version=model_identity({s.path: s.sha256 for s in files}) if files else None,
        components=[_file(s, ComponentType.FILE) for s in files],
        properties=[Property(name=key, value=value) for key, value in judged.items()],
        bom_ref=name,
    )


def _file(subject: Subject, kind: ComponentType) -> Component:
    return Component(
        name=visible(subject.path) or subject.role,
        type=kind,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=subject.sha256)],
        properties=[
            Property(name="ssd:role", value=visible(subject.role)),
            Property(name="ssd:bytes", value=str(subject.size)),
        ],
        bom_ref=f"{visible(subject.role)}: {visible(subject.path)}",
    )


def _tool(tool: Tool) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=tool.sha256)] if tool.sha256 else []
    return Component(
        name=visible(tool.name), version=visible(tool.version), type=ComponentType.APPLICATION, hashes=hashes
    )


def _card(verdict: Verdict, components: Iterable[Component]) -> JsonObject:
    figures = [(gate.result.gate, figure) for gate in verdict.gates for figure in gate.result.measurements]
    metrics = [metric for gate, figure in figures for metric in _metrics(visible(gate), figure)]
    data = [{"ref": str(c.bom_ref)} for c in components if c.type is ComponentType.DATA]
    return {"modelParameters": {"datasets": data}, "quantitativeAnalysis": {"performanceMetrics": metrics}}


def _metrics(gate: str, figure: Measurement) -> list[JsonObject]:
    name = f"{gate}: {visible(figure.name)} ({visible(figure.unit)})"
    metrics: list[JsonObject] = []
    if figure.candidate is not None:
        metrics.append({"type": name, "value": f"{figure.candidate:.6g}"})
    if figure.delta is not None:
        delta: JsonObject = {"type": f"{name}, change from the baseline", "value": f"{figure.delta:.6g}"}
        if figure.low is not None and figure.high is not None:
            delta["confidenceInterval"] = {"lowerBound": f"{figure.low:.6g}", "upperBound": f"{figure.high:.6g}"}
        metrics.append(delta)
    return metrics
