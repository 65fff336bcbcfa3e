"""The pipeline repeated on its own output: the candidate of one round is the base of the next.

Round 1 is the run directory itself, round i lies in `rounds/i`; each is an ordinary run. The gates compare a round's
candidate with the round's base (the generation before) and, as origin, with generation 0. Whether to go on is decided by the
verdict and by the development split; the held-out figures of the chain are for the reader, not for the decision.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_json, write_json
from ssd_plugin.errors import ConfigError
from ssd_plugin.gating.policy import load_policy
from ssd_plugin.gating.verdict import Outcome, read_verdict
from ssd_plugin.grading.result_files import offer
from ssd_plugin.metrics.inference import paired_t, share_interval
from ssd_plugin.metrics.summary import tally
from ssd_plugin.pipeline.runner import run_pipeline
from ssd_plugin.tasks.schema import read_tasks

SCHEMA = "ssd-chain/1"
ORIGIN_GATE = "generation_zero"
Rates = list[float]  # one per task, in task order


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A model of the chain and its per-task pass rates at its selected decode setting, on both splits."""

    number: int
    folder: str
    outcome: str
    reason: str
    decode: DecodeConfig
    development: Rates
    held_out: Rates


def run_rounds(config: RunConfig, run_dir: Path, after_round: Callable[[Path], object]) -> tuple[int, list[Path]]:
    """Run the pipeline `config.rounds` times, or fewer by the rule of `stop_reason`; the last round's exit status, and the run
    directories of all that ran. With one round it is `run_pipeline`; with more, each round writes chain.json and then calls
    `after_round` with the chain's run directory.

    Raises:
        ConfigError: the policy has no gate against generation 0.
        SsdError: what a stage met; everything that was finished is kept.
    """
    if config.rounds == 1:
        return run_pipeline(config, run_dir), [run_dir]
    if ORIGIN_GATE not in load_policy(config.gate.policy).gates:
        raise ConfigError(
            f"rounds = {config.rounds} needs a policy with the gate {ORIGIN_GATE}: small losses of every round add up; "
            f"add it to {config.gate.policy!r}, or set rounds=1"
        )
    generations: list[Generation] = []
    for number in range(1, config.rounds + 1):
        folder = run_dir / layout.round_folder(number)
        print(f"round {number} of {config.rounds} at most: {folder}", flush=True)
        if number > 1:
            _share(config.method, run_dir / layout.round_folder(number - 1), folder)
        status = run_pipeline(_round_config(config, run_dir, number), folder)
        generations += [_origin(folder)] * (number == 1) + [_candidate(config.method, folder, number)]
        stopped = stop_reason(generations)
        write_json(run_dir / layout.CHAIN, chain_document(generations, asked=config.rounds, stopped=stopped))
        after_round(run_dir)
        if stopped:
            print(f"stopped after round {number}: {stopped}", flush=True)
            break
    return status, [run_dir / layout.round_folder(done) for done in range(1, number + 1)]


def _round_config(config: RunConfig, run_dir: Path, number: int) -> RunConfig:
    """Round 1: as asked. Later ones: the base is the candidate before, decoded as was chosen for it; the origin stays."""
    if number == 1:
        return config
    before = run_dir / layout.round_folder(number - 1)
    decode = DecodeConfig(**read_json(before / layout.CHOICE)["candidate"])
    return replace(
        config,
        rounds=1,
        model=replace(config.model, ref=str(before / layout.CANDIDATE_MODEL), revision=""),
        evaluate=replace(config.evaluate, base=decode),
        gate=replace(config.gate, origin=config.gate.origin or str(run_dir / layout.evaluated_results("base_best"))),
    )


def _share(method: str, before: Path, folder: Path) -> None:
    """The last round's candidate is this round's base: its graded samples are offered to the stages."""
    for source in sorted((before / layout.selected(method)).iterdir()):
        offer(source, folder / layout.selected("base") / source.name)
    offer(before / layout.evaluated("candidate"), folder / layout.evaluated("base"))


def _origin(folder: Path) -> Generation:
    choice = DecodeConfig(**read_json(folder / layout.CHOICE)["base"])
    development, held_out = _rates(
        folder, layout.selected_results("base", choice.label), layout.evaluated_results("base_best")
    )
    return Generation(number=0, folder="", outcome="", reason="the base model", decode=choice, development=development,
                      held_out=held_out)  # fmt: skip


def _candidate(method: str, folder: Path, number: int) -> Generation:
    choice = DecodeConfig(**read_json(folder / layout.CHOICE)["candidate"])
    development, held_out = _rates(
        folder, layout.selected_results(method, choice.label), layout.evaluated_results("candidate")
    )
    verdict = read_verdict(folder / layout.VERDICT)
    place = layout.round_folder(number)
    return Generation(number=number, folder=place, outcome=verdict.outcome.value, reason=verdict.reason, decode=choice,
                      development=development, held_out=held_out)  # fmt: skip


def _rates(folder: Path, development: str, held_out: str) -> tuple[Rates, Rates]:
    """Per-task pass rates of a development and of a held-out result file."""

    def rates(split: str, results: str) -> Rates:
        tasks = {task.task_id: task for task in read_tasks(folder / split)}
        return [passed / n for n, passed in tally(folder / results, tasks).tasks.values()]

    return rates(layout.DEV_TASKS, development), rates(layout.HELD_OUT_TASKS, held_out)


def stop_reason(generations: Sequence[Generation]) -> str:
    """Why the chain ends after its last generation, or nothing.

    It ends when the verdict is NO-GO or ERROR, when the development pass@1 lies below the best generation's before it with a
    paired 95 % interval wholly below zero, or when it lies below that for the second time in a row: the trend has turned.
    """
    last = generations[-1]
    if last.outcome in (Outcome.NO_GO, Outcome.ERROR):
        return f"the verdict on generation {last.number} is {last.outcome}, so it may not be a base"
    best, delta = _against_best(generations)
    if delta >= 0:
        return ""
    changes = [after - before for before, after in zip(best.development, last.development, strict=True)]
    fall = f"development pass@1 is {-100 * delta:.1f} points below generation {best.number}'s"
    if paired_t(changes).high < 0:
        return f"{fall}, more than chance explains"
    if len(generations) > 2 and _against_best(generations[:-1])[1] < 0:
        return f"{fall}, the second generation in a row below the best before it"
    return ""


def _mean(rates: Rates) -> float:
    return sum(rates) / len(rates)


def _against_best(generations: Sequence[Generation]) -> tuple[Generation, float]:
    """The best generation before the last one on the development split, and the last one's pass@1 minus its."""
    best = max(generations[:-1], key=lambda one: _mean(one.development))
    return best, _mean(generations[-1].development) - _mean(best.development)


def chain_document(generations: Sequence[Generation], *, asked: int, stopped: str) -> JsonObject:
    """The document of chain.json: figures of each generation, with its change from the one before and from generation 0."""
    rows = []
    for one in generations:
        row: JsonObject = {
            "generation": one.number, "folder": one.folder, "outcome": one.outcome, "reason": one.reason,
            "decode": asdict(one.decode), "development": asdict(share_interval(one.development)),
            "held_out": asdict(share_interval(one.held_out)),
        }  # fmt: skip
        if one.number:
            for name, other in (("since_last", generations[one.number - 1]), ("since_origin", generations[0])):
                changes = [after - before for before, after in zip(other.held_out, one.held_out, strict=True)]
                row[name] = asdict(paired_t(changes))
        rows.append(row)
    return {"schema": SCHEMA, "asked": asked, "stopped": stopped, "generations": rows}
