"""The one tree of settings. Every default stands here once; `overrides.py` loads overrides into it.

No `from __future__ import annotations` here or in recipes: nemo-run reads these annotations at run time.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ssd_plugin.config.checks import parse_truncation, require, require_temperature, require_truncation
from ssd_plugin.config.comparisons import CONTROLS, CurveConfig
from ssd_plugin.config.methods import GrpoConfig, GuardConfig, RolloutConfig, SdftConfig, SdpoConfig, SrpoConfig

MAX_ROUNDS = 20


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The base model. `ref`: hub id, local directory, *.gguf file, or `pypi:DISTRIBUTION`. `reasoning_effort`: what a chat
    template that asks for one (gpt-oss) is told. `prompt_template`: how a task's statement becomes the user's turn, the same in
    training and in evaluation."""

    ref: str
    revision: str = ""
    system_message: str = ""
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"
    prompt_template: str = "{prompt}"

    def __post_init__(self) -> None:
        require(bool(self.ref.strip()), "ref", self.ref, "a hub id, a directory, a .gguf file or pypi:DISTRIBUTION")
        require("{prompt}" in self.prompt_template, "prompt_template", self.prompt_template, "text that holds {prompt}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where tasks come from. `source`: `bank:train|dev|heldout`, a .jsonl / .parquet file, `hub:ORG/NAME`,
    `humaneval`, `mbpp` or `livecodebench:RELEASE`. `columns` renames: "prompt=question,task_id=id"; `where` keeps the
    rows of one value: "is_passed=true"."""

    source: str
    revision: str = ""
    config: str = ""
    split: str = ""
    columns: str = ""
    where: str = ""
    deduplicate: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        require(
            bool(self.source.strip()), "source", self.source, "bank:SPLIT, a file, hub:ORG/NAME or a benchmark's name"
        )
        require(self.limit >= 0, "limit", self.limit, "0 (all) or a whole number above it")


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How to decode: temperature, then top-k, then top-p over the survivors (the paper's order)."""

    temperature: float
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        require_temperature(self.temperature)
        require_truncation(self.top_k, self.top_p)

    @property
    def label(self) -> str:
        """A name for folders: "T=0.7,k=20,p=0.8", what is off left out."""
        return (
            f"T={self.temperature:g}" + f",k={self.top_k}" * bool(self.top_k) + f",p={self.top_p:g}" * (self.top_p < 1)
        )


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The sampling engine, for every stage that samples. `max_rows`: sequences at a time (embedded engine,
    server; 0: as many as suit each);
    the parallel sizes and `max_model_len` (tokens, prompt and completion) are vLLM's, and so are `options`: any argument of its
    engine by the name that the installed version has for it."""

    name: Literal["embedded", "vllm", "server"] = "embedded"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    max_rows: int = 0
    tensor_parallel: int = 1
    data_parallel: int = 1
    max_model_len: int = 0
    server_url: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("tensor_parallel", "data_parallel"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number from 1")
        require(
            self.max_rows >= 0, "max_rows", self.max_rows, "0 (as many as suit the engine) or a whole number from 1"
        )
        require(self.name == "vllm" or not self.options, "options", self.options, "none unless name is vllm")
        require(self.max_model_len >= 0, "max_model_len", self.max_model_len, "0 (the model's own) or tokens")
        require((self.name == "server") == bool(self.server_url), "server_url", self.server_url,
                 "an OpenAI-compatible base URL when name is server, empty otherwise")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Step 1: one completion per prompt from the frozen base, at `T_train`. `max_new_tokens` counts completion tokens."""

    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int

    def __post_init__(self) -> None:
        require_temperature(self.temperature)
        require_truncation(self.top_k, self.top_p)
        require(self.temperature > 0, "temperature", self.temperature, "above 0: greedy samples teach nothing new")
        require(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "a whole number from 1")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Which samples are not trained on. None of these looks at correctness: that is the method."""

    drop_empty: bool = True
    drop_single_line_stubs: bool = True
    drop_shortest_fraction: float = 0.0
    drop_truncated: bool = False
    drop_loops: bool = False

    def __post_init__(self) -> None:
        require(0 <= self.drop_shortest_fraction < 1, "drop_shortest_fraction", self.drop_shortest_fraction,
                 "from 0 (off) to below 1")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Megatron's parallel sizes (GPUs) and recomputation. The embedded backend uses none of them."""

    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    sequence: bool = False
    recompute: Literal["none", "selective", "full"] = "none"

    def __post_init__(self) -> None:
        for name in ("tensor", "pipeline", "context", "expert"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number from 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Step 2: plain cross-entropy on the completion tokens. An iteration is one optimizer step over `global_batch_size`
    sequences (samples, or packed sequences of `seq_length` tokens: `batch_unit`); data is cycled in a new order each epoch.
    `megatron`: whatever else Megatron-Bridge's configuration has, by its own names ("checkpoint": {"async_save": true})."""

    backend: Literal["embedded", "megatron"] = "embedded"
    method: Literal["full", "lora"] = "full"
    lora_rank: int = 16
    lora_alpha: int = 32
    train_iters: int
    warmup_iters: int = 0
    save_interval: int
    max_lr: float
    min_lr: float
    global_batch_size: int = 32
    batch_unit: Literal["samples", "packs"] = "samples"
    seq_length: int
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    weight_decay: float = 0.1
    clip_grad: float = 1.0
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    megatron: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("train_iters", "save_interval", "global_batch_size", "seq_length", "lora_rank", "lora_alpha"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number from 1")
        require(self.backend == "embedded" or self.method == "full", "method", self.method,
                 "full with the megatron backend; lora needs backend = embedded")  # fmt: skip
        require(
            self.backend == "megatron" or not self.megatron,
            "megatron",
            self.megatron,
            "none unless backend is megatron",
        )
        require(0 <= self.warmup_iters < self.train_iters, "warmup_iters", self.warmup_iters, "0 to below train_iters")
        require(0 < self.max_lr < 1, "max_lr", self.max_lr, "above 0, below 1")
        require(0 <= self.min_lr <= self.max_lr, "min_lr", self.min_lr, "0 to max_lr")
        for name in ("adam_beta1", "adam_beta2"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "0 to below 1")
        for name in ("weight_decay", "clip_grad"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 (off) or above")


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Step 3a: `T_eval` (with top-k, top-p) chosen on the development split, for the candidate and for the base.

    `truncations`: more top-k / top-p pairs to try at each temperature, such as "20/0.8" or "none".
    """

    data: DataConfig
    temperatures: tuple[float, ...]
    top_k: int = 0
    top_p: float = 1.0
    truncations: tuple[str, ...] = ()
    samples_per_task: int = 1

    def __post_init__(self) -> None:
        require(len(self.temperatures) >= 1, "temperatures", self.temperatures, "at least one temperature")
        require(
            len(set(self.temperatures)) == len(self.temperatures), "temperatures", self.temperatures, "each one once"
        )
        for temperature in self.temperatures:
            require_temperature(temperature, "temperatures")
        pairs = [(self.top_k, self.top_p), *map(parse_truncation, self.truncations)]
        for pair in pairs:
            require_truncation(*pair)
        require(len(set(pairs)) == len(pairs), "truncations", self.truncations, "each one once, and not top_k / top_p")
        require(self.samples_per_task >= 1, "samples_per_task", self.samples_per_task, "a whole number from 1")

    def grid(self) -> tuple[DecodeConfig, ...]:
        """Every decode setting to try, truncation by truncation; greedy decoding once, since truncation cannot change it."""
        pairs = [(self.top_k, self.top_p), *map(parse_truncation, self.truncations)]
        return tuple(
            DecodeConfig(temperature=temperature, top_k=top_k, top_p=top_p)
            for top_k, top_p in pairs
            for temperature in self.temperatures
            if temperature > 0 or (top_k, top_p) == pairs[0]
        )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Step 3b: base and candidate on the held-out split, same prompts, seeds and engine. `base`: the base model's
    usual decode setting; its best one comes from the selection's sweep (the decode-only control)."""

    data: DataConfig
    base: DecodeConfig
    samples_per_task: int
    max_new_tokens: int

    def __post_init__(self) -> None:
        require(self.samples_per_task >= 1, "samples_per_task", self.samples_per_task, "a whole number from 1")
        require(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "a whole number from 1")


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """`policy`: a shipped policy's name or a TOML file. `origin`: generation 0 as a run directory or result file,
    empty when the base is generation 0. `benchmarks`: results of other harnesses for both sides, each as
    NAME=BASELINE,CANDIDATE. `sign_key`: a private key file that signs the verdict."""

    policy: str = "default"
    origin: str = ""
    benchmarks: tuple[str, ...] = ()
    sign_key: str = ""


@dataclass(frozen=True, kw_only=True)
class PromoteConfig:
    """`registry`: where a GO moves the model (directory or MLflow URI); empty: the pipeline stops at the verdict."""

    registry: str = ""
    name: str = "model"
    trust: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """`trackers`: where a finished run's figures and report also go: "tensorboard", "mlflow", "wandb", or an installed
    distribution that offers trackers."""

    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        fine = all(name and "," not in name for name in self.trackers) and len(set(self.trackers)) == len(self.trackers)
        require(fine, "trackers", self.trackers, "names, each one once")


@dataclass(frozen=True, kw_only=True)
class PythonConfig:
    """The interpreter that runs each kind of stage (vLLM's and Megatron's pins conflict); empty: this one."""

    sample: str = ""
    train: str = ""


@dataclass(frozen=True, kw_only=True)
class ContainerConfig:
    """The container image of each kind of stage on a cluster (the same conflict); empty: the executor's own."""

    sample: str = ""
    train: str = ""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run of the pipeline: `recipes/` returns these, `overrides.py` overrides them, `config.json` keeps them.

    `method`: how the candidate is made; SSD reads `sampling` and `filters`, the others `rollout`, `guard` and the section of
    their name. `rounds`: how often the pipeline is repeated at most, each time from the last round's candidate. `control`
    replaces how training samples are drawn by a setting of `CONTROLS`, and nothing else: what the method is compared with.
    """

    recipe: str
    method: Literal["ssd", "sdft", "sdpo", "grpo", "srpo"] = "ssd"
    seed: int = 0
    rounds: int = 1
    control: Literal["none", "fixed_point", "near_greedy"] = "none"
    model: ModelConfig
    engine: EngineConfig = field(default_factory=EngineConfig)
    prompts: DataConfig
    sampling: SamplingConfig
    filters: FilterConfig = field(default_factory=FilterConfig)
    train: TrainConfig
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    sdft: SdftConfig = field(default_factory=SdftConfig)
    sdpo: SdpoConfig = field(default_factory=SdpoConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    srpo: SrpoConfig = field(default_factory=SrpoConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    select: SelectConfig
    evaluate: EvaluateConfig
    curve: CurveConfig = field(default_factory=CurveConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    promote: PromoteConfig = field(default_factory=PromoteConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    python: PythonConfig = field(default_factory=PythonConfig)
    container: ContainerConfig = field(default_factory=ContainerConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**31, "seed", self.seed, "0 to 2147483647")
        require(1 <= self.rounds <= MAX_ROUNDS, "rounds", self.rounds, f"1 to {MAX_ROUNDS}")
        require(self.control in CONTROLS, "control", self.control, ", ".join(CONTROLS))
        object.__setattr__(self, "sampling", replace(self.sampling, **CONTROLS[self.control]))
        require(self.evaluate.data != self.select.data, "select.data", self.select.data.source,
                 "another split than evaluate.data: a setting tuned on the reported tasks flatters them")  # fmt: skip
