"""What a method is: the settings it allows, the stages that make its candidate, and what the candidate is called.

The pipeline of a run is the method's stages between those that every method shares. All of this is data: what a stage does is
in `pipeline/stages/NAME.py`, found by the stage's name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout

Use = Literal["engine", "trainer"]
"""A part of the run that needs a framework: the sampling engine (`engine.name`) or the trainer (`train.backend`)."""

SAMPLING_TOOLS = ("torch", "transformers", "vllm")
TRAINING_TOOLS = ("torch", "transformers", "trl", "peft", "megatron-core", "megatron-bridge")
_TOOLS: dict[Use, tuple[str, ...]] = {"engine": SAMPLING_TOOLS, "trainer": TRAINING_TOOLS}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the pipeline: what it reads, what it writes, the settings it depends on and the frameworks it uses.
    `command`: it is a command of its own (`ssd NAME`), so a cluster runs it as a job of its own. `rewritten`: another command
    writes the same files anew. `other_tools`: whose versions its result depends on beside the frameworks'."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    settings: Callable[[RunConfig], Any]
    uses: tuple[Use, ...] = ()
    other_tools: tuple[str, ...] = ()
    command: bool = False
    rewritten: bool = False

    @property
    def tools(self) -> tuple[str, ...]:
        """The distributions whose versions the stage's result depends on."""
        return tuple(dict.fromkeys(tool for use in self.uses for tool in _TOOLS[use])) + self.other_tools

    def python(self, config: RunConfig) -> str:
        """The interpreter that runs it; empty: this one. A stage that samples and trains trains in the trainer's."""
        if "trainer" in self.uses:
            return config.python.train
        return config.python.sample if self.uses else ""

    def imports(self, config: RunConfig) -> tuple[str, ...]:
        """Modules that are slow to import there (for the embedded engine and trainer: vLLM and Megatron start processes of
        their own)."""
        embedded = {"engine": config.engine.name == "embedded", "trainer": config.train.backend == "embedded"}
        modules = {"engine": "ssd_plugin.sampling.embedded", "trainer": "ssd_plugin.training.embedded"}
        return tuple(modules[use] for use in self.uses if embedded[use])


@dataclass(frozen=True, kw_only=True)
class Method:
    """`name`: in settings and folders. `candidate`: what readers see. `stages`: those that make the candidate out of the
    training prompts and the base. `trained_on`: the file of texts it was trained on, for the gates. `told`: what else the
    report reads. `check` raises ConfigError for settings that cannot work with this method."""

    name: str
    candidate: str
    stages: tuple[Stage, ...]
    trained_on: str
    told: tuple[str, ...] = ()
    check: Callable[[RunConfig], None]

    @property
    def pipeline(self) -> tuple[Stage, ...]:
        """All stages of a run, in order."""
        gate = Stage(
            name="gate",
            reads=(
                layout.HELD_OUT_TASKS,
                layout.BASE_MODEL,
                layout.CANDIDATE_MODEL,
                self.trained_on,
                *layout.EVALUATED_RESULTS,
            ),
            writes=(layout.VERDICT,),
            settings=lambda c: [c.gate],
            other_tools=("ruff", "bandit", "scipy"),
            command=True,
        )
        report = Stage(
            name="report",
            reads=(layout.VERDICT, layout.EVALUATION, layout.CHOICE, layout.TRAINING_LOG, *self.told, layout.PROMOTION),
            writes=(layout.REPORT_HTML, layout.REPORT_MARKDOWN),
            settings=lambda _: [],
            rewritten=True,
        )
        return (PROMPTS, *self.stages, SELECT, EVALUATE, gate, PROMOTE, report)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The names of all stages of a run, in order."""
        return tuple(stage.name for stage in self.pipeline)


PROMPTS = Stage(
    name="prompts",
    reads=(),
    writes=(layout.TRAIN_PROMPTS, layout.DEV_TASKS, layout.HELD_OUT_TASKS, layout.BASE_MODEL),
    settings=lambda c: [c.model, c.prompts, c.select.data, c.evaluate.data, c.python],
    command=True,
)
SELECT = Stage(
    name="select",
    reads=(layout.DEV_TASKS, layout.BASE_MODEL, layout.CANDIDATE_MODEL),
    writes=(layout.CHOICE,),
    settings=lambda c: [c.seed, c.model, c.engine, c.select, c.evaluate.max_new_tokens, c.container.sample],
    uses=("engine",),
)
EVALUATE = Stage(
    name="evaluate",
    reads=(layout.HELD_OUT_TASKS, layout.BASE_MODEL, layout.CANDIDATE_MODEL, layout.CHOICE),
    writes=(*layout.EVALUATED_RESULTS, layout.EVALUATION),
    settings=lambda c: [c.seed, c.model, c.engine, c.evaluate, c.container.sample],
    uses=("engine",),
    command=True,
)
PROMOTE = Stage(
    name="promote",
    reads=(layout.VERDICT, layout.CANDIDATE_MODEL),
    writes=(layout.PROMOTION,),
    settings=lambda c: [c.promote],
)
