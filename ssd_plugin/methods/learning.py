"""SDFT, SDPO, GRPO and SRPO: one stage `learn` in the place of sample, filter and train. They differ in how rows are made of
rollouts, and in what their sections of the settings are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ssd_plugin.config.methods import DivergenceConfig, GrpoConfig, OnPolicyConfig, SdftConfig, SrpoConfig
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods import routes
from ssd_plugin.methods.base import Method, Stage
from ssd_plugin.methods.routes import Route

Routes = Callable[[RunConfig, Sequence[float], Sequence[bool]], list[Route]]
"""From a group's rewards, and whether there is feedback on each rollout, the route of each."""


@dataclass(frozen=True, kw_only=True)
class LearningMethod(Method):
    """A method that learns from rollouts. `graded`: it needs rewards, so its tasks need tests; otherwise they need
    demonstrations. `feedback`: it also learns from what was wrong. `per`: what weighs the same in its loss, all tokens of a batch
    or all its rollouts."""

    section: Callable[[RunConfig], OnPolicyConfig]
    routes: Routes
    graded: bool
    feedback: bool = False
    per: Literal["tokens", "rows"]

    def teacher(self, config: RunConfig) -> DivergenceConfig | None:
        """How it compares with a teacher; None: it has none."""
        section = self.section(config)
        return section if isinstance(section, DivergenceConfig) else None

    def policy(self, config: RunConfig) -> GrpoConfig | None:
        """How it follows rewards; None: it does not."""
        section = self.section(config)
        return section if isinstance(section, GrpoConfig) else None

    def skip_tokens(self, config: RunConfig) -> int:
        """How many of a completion's first tokens carry no loss."""
        section = self.section(config)
        return section.skip_tokens if isinstance(section, SdftConfig) else 0

    def entropy_weight(self, config: RunConfig) -> float:
        """How fast a teacher token's weight falls with the teacher's entropy; 0: not at all."""
        section = self.section(config)
        return section.entropy_weight if isinstance(section, SrpoConfig) else 0.0


def _method(
    name: str,
    routes_of: Routes,
    section: Callable[[RunConfig], OnPolicyConfig],
    *,
    graded: bool,
    feedback: bool = False,
    per: Literal["tokens", "rows"],
) -> LearningMethod:
    def check(config: RunConfig) -> None:
        _check_framework(config)
        if graded and section(config).rollouts_per_task < 2:
            raise ConfigError(
                f"{name}.rollouts_per_task = 1: a rollout is compared with others of its task; set it to 2 or more"
            )

    return LearningMethod(
        name=name,
        candidate=name.upper(),
        stages=(_learn(section),),
        trained_on=layout.ROLLOUTS,
        check=check,
        section=section,
        routes=routes_of,
        graded=graded,
        feedback=feedback,
        per=per,
    )


def _learn(section: Callable[[RunConfig], OnPolicyConfig]) -> Stage:
    return Stage(
        name="learn",
        reads=(layout.TRAIN_PROMPTS, layout.BASE_MODEL),
        writes=(layout.CANDIDATE_MODEL, layout.TRAINING_LOG, layout.ROLLOUTS),
        settings=lambda c: [c.seed, c.model, c.engine, c.rollout, section(c), c.train, c.guard],
        uses=("engine", "trainer"),
    )


def _check_framework(config: RunConfig) -> None:
    for setting, value, needed in (
        ("engine.name", config.engine.name, "embedded"),
        ("train.backend", config.train.backend, "embedded"),
        ("train.method", config.train.method, "full"),
    ):
        if value != needed:
            raise ConfigError(
                f"{setting} = {value!r} is not allowed with method = {config.method}; allowed: {needed} "
                "(rollouts and updates share one process and all weights are trained)"
            )


SDFT = _method(
    "sdft",
    lambda _, rewards, __: routes.demonstrated(len(rewards)),
    lambda config: config.sdft,
    graded=False,
    per="rows",
)
SDPO = _method(
    "sdpo",
    lambda config, rewards, told: routes.taught(rewards, told, success=config.sdpo.success_reward),
    lambda config: config.sdpo,
    graded=True,
    feedback=True,
    per="rows",
)
GRPO = _method(
    "grpo",
    lambda config, rewards, _: routes.rewarded(rewards, divide_by_std=config.grpo.divide_by_std),
    lambda config: config.grpo,
    graded=True,
    per="tokens",
)
SRPO = _method(
    "srpo",
    lambda config, rewards, _: routes.routed(
        rewards, success=config.srpo.success_reward, divide_by_std=config.srpo.divide_by_std
    ),
    lambda config: config.srpo,
    graded=True,
    per="tokens",
)
