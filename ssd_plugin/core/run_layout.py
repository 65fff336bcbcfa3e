"""The layout of a run directory: every file and folder in it, relative to its root. No other module spells one.

It stands in the lowest layer because every layer above reads or writes some of these files. A file that only its own writer
reads back (a checkpoint, a sidecar) is named by its writer.
"""

# In each of several folders, under one name.
SAMPLES_NAME, RESULTS_NAME = "samples.jsonl", "results.jsonl"
TRAINING_LOG_NAME, VERDICT_NAME = "log.jsonl", "verdict.json"

CONFIG, MANIFEST = "config.json", "manifest.json"
STAGE_REPORT = ".stage.json"  # how the process of a stage hands its report over

TRAIN_PROMPTS, DEV_TASKS, HELD_OUT_TASKS = "prompts/train.jsonl", "prompts/dev.jsonl", "prompts/heldout.jsonl"
BASE_MODEL = "prompts/model.json"  # its reference and digest, not its weights

COMPLETIONS, TOKENIZER = "sample/completions.jsonl", "sample/tokenizer.json"

EXAMPLES, FILTER_REPORT = "filter/kept.jsonl", "filter/report.json"

TRAIN = "train"
ROLLOUTS_NAME = "rollouts.jsonl"
CANDIDATE_MODEL, TRAINING_LOG = f"{TRAIN}/model", f"{TRAIN}/{TRAINING_LOG_NAME}"
ROLLOUTS = f"{TRAIN}/{ROLLOUTS_NAME}"  # what a method that learns from rollouts was trained on

CHOICE = "select/choice.json"

EVALUATION = "evaluate/summary.json"

GATE = "gate"
VERDICT = f"{GATE}/{VERDICT_NAME}"

PROMOTION = "promote/result.json"

REPORT_HTML, REPORT_MARKDOWN = "report/index.html", "report/summary.md"

FORKS = "analysis/forks.json"
CURVE, CURVE_PICTURE = "analysis/curve.json", "analysis/curve.svg"
CHOSEN_IN_SWEEP = "analysis/sweep.json"  # a copy of the sweep's document, in the cell that it chose

CHAIN = "chain.json"  # of a run of several rounds

# The directory of a sweep.
SWEEP, SWEEP_GRID = "sweep.json", "grid.json"
SWEEP_HTML, SWEEP_MARKDOWN = "sweep.html", "sweep.md"
CELLS = "cells"  # a run directory per cell


def selected(side: str) -> str:
    """The folder of one side ("base" or the method's name) in the stage `select`: a folder of graded samples per decoding
    config."""
    return f"select/{side}"


def selected_results(side: str, decoding: str) -> str:
    """The graded samples of one side under the decoding config with that label."""
    return f"{selected(side)}/{decoding}/{RESULTS_NAME}"


def evaluated(side: str) -> str:
    """The folder of one side's graded held-out samples ("base", "base_best" or "candidate")."""
    return f"evaluate/{side}"


def evaluated_results(side: str) -> str:
    """One side's graded held-out samples."""
    return f"{evaluated(side)}/{RESULTS_NAME}"


EVALUATED = ("base", "base_best", "candidate")
"""The sides of the held-out evaluation, by the names of their folders: the base at its usual decode and at its best one."""

EVALUATED_RESULTS = tuple(map(evaluated_results, EVALUATED))


def curve_point(arm: str, decoding: str) -> str:
    """The folder of one arm's graded samples at one point of the temperature curve, by the label of its decoding config."""
    return f"analysis/curve/{arm}/{decoding}"


def round_folder(number: int) -> str:
    """The run directory of a round, which counts from 1; the first is the run directory itself."""
    return "." if number == 1 else f"rounds/{number}"


def tracker_folder(tracker: str) -> str:
    """What an experiment tracker keeps for itself."""
    return f"tracking/{tracker}"


def tracker_record(tracker: str) -> str:
    """What was last sent to an experiment tracker."""
    return f"{tracker_folder(tracker)}.json"
