"""A sampling engine for `Replicas` that answers by the request alone and dies where the model directory's files say so."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ssd_plugin.errors import EngineDied
from ssd_plugin.sampling import vllm
from ssd_plugin.sampling.protocol import Completion, Request
from ssd_plugin.sampling.replicas import _serve


class Engine:
    """Completes a request with its own tokens. `dies.N` in the model directory: the engine of device N dies that many times."""

    def __init__(self, model_dir: Path, engine: Any) -> None:
        self._file = model_dir / f"dies.{os.environ['CUDA_VISIBLE_DEVICES']}"

    def drain(self, take: Callable[[int, bool], list[Request]], params: Any) -> Iterator[Completion]:
        """See `vllm.Engine.drain`."""
        done = 0
        while taken := take(1, True):
            (request,) = taken
            self._maybe_die(done)
            done += 1
            yield Completion(
                request_id=request.request_id, text=str(request.seed), token_ids=(request.seed,), finish_reason="stop"
            )

    def _maybe_die(self, done: int) -> None:
        if done < 2 or not self._file.exists():
            return
        how, times = self._file.read_text().split()
        if int(times):
            self._file.write_text(f"{how} {int(times) - 1}")
            if how == "raised":
                raise EngineDied("vLLM failed: EngineDeadError: EngineCore encountered an issue")
            os._exit(9)

    def close(self) -> None:
        """Nothing to free."""


def serve(*arguments: Any) -> None:
    """`replicas._serve` with this engine."""
    vllm.Engine = Engine  # type: ignore[assignment, misc]
    _serve(*arguments)
