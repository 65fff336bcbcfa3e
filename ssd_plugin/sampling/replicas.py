"""Data parallelism: one vLLM engine a process, each with GPUs of its own, fed from one stream of requests."""

import dataclasses
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ssd_plugin import errors
from ssd_plugin.config import EngineConfig
from ssd_plugin.errors import SamplingError, SsdError
from ssd_plugin.sampling.protocol import Completion, Request, SamplingParams

AHEAD = 512
"""Requests handed to a replica beyond those it is known to have finished: twice vLLM's smaller default batch, to keep it full."""
PATIENCE = 5.0  # seconds between looks at whether the replicas still live
DEVICES = "CUDA_VISIBLE_DEVICES"


def devices_of(replica: int, tensor_parallel: int, visible: str | None) -> str:
    """The GPUs of one replica, out of those that this process may use (`visible`: CUDA_VISIBLE_DEVICES, None if unset)."""
    first = replica * tensor_parallel
    names = visible.split(",") if visible else [str(i) for i in range(first + tensor_parallel)]
    if len(names) < first + tensor_parallel:
        raise SamplingError(
            f"engine.data_parallel x engine.tensor_parallel needs {first + tensor_parallel} GPUs or more, "
            f"{DEVICES} names {len(names)}"
        )
    return ",".join(names[first : first + tensor_parallel])


class _Inbox:
    """What the parent has handed over so far; None in the queue is the end."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._ended = False

    def take(self, room: int, idle: bool) -> list[Request]:
        """Up to `room` requests; waits for one only when the engine is idle."""
        taken: list[Request] = []
        while len(taken) < room and not self._ended:
            try:
                request = self._source.get(block=idle and not taken)
            except queue.Empty:
                break
            if request is None:
                self._ended = True
            else:
                taken.append(request)
        return taken


def _serve(model_dir: Path, engine: EngineConfig, devices: str, inbox: Any, outbox: Any) -> None:
    """A replica's process: requests in, completions out, until None comes in. A failure goes out as its name and message."""
    os.environ[DEVICES] = devices
    from ssd_plugin.sampling.vllm import Engine

    try:
        sampler = Engine(model_dir, engine)
        outbox.put("ready")
        params = inbox.get()
        while params is not None:
            for completion in sampler.drain(_Inbox(inbox).take, params):
                outbox.put(completion)
            outbox.put("done")
            params = inbox.get()
        sampler.close()
    except SsdError as error:
        outbox.put((type(error).__name__, str(error)))


class Replicas:
    """`data_parallel` engines as one sampler."""

    def __init__(self, model_dir: Path, engine: EngineConfig) -> None:
        context = multiprocessing.get_context("spawn")
        alone = dataclasses.replace(engine, data_parallel=1)
        self._outbox: Any = context.Queue()
        self._inboxes: list[Any] = []
        self._processes: list[BaseProcess] = []
        for replica in range(engine.data_parallel):
            inbox: Any = context.Queue()
            devices = devices_of(replica, engine.tensor_parallel, os.environ.get(DEVICES))
            arguments = (model_dir, alone, devices, inbox, self._outbox)
            process = context.Process(target=_serve, args=arguments)  # not daemonic: vLLM has children of its own
            process.start()
            self._inboxes.append(inbox)
            self._processes.append(process)
        for _ in self._processes:
            self._next()

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """See `Sampler.sample`: every replica gets the next request when it has finished one."""
        source = iter(requests)
        owner: dict[str, int] = {}
        for inbox in self._inboxes:
            inbox.put(params)

        def hand_out(replica: int) -> bool:
            request = next(source, None)
            self._inboxes[replica].put(request)
            if request is not None:
                owner[request.request_id] = replica
            return request is not None

        try:
            yield from self._exchange(hand_out, owner)
        finally:
            if owner:  # left before the end: the replicas are busy with what nobody waits for
                self.close()

    def _exchange(self, hand_out: Callable[[int], bool], owner: dict[str, int]) -> Iterator[Completion]:
        hungry = set(range(len(self._inboxes)))
        for _ in range(AHEAD):
            hungry = {replica for replica in hungry if hand_out(replica)}
        running = len(self._inboxes)
        while running:
            message = self._next()
            if message == "done":
                running -= 1
                continue
            replica = owner.pop(message.request_id)
            yield message
            if replica in hungry and not hand_out(replica):
                hungry.discard(replica)

    def _next(self) -> Any:
        """The next message of any replica; a failure, also a silent death, is raised.

        Raises:
            SamplingError, ResourceError, ModelError: as the replica had it.
        """
        while True:
            try:
                message = self._outbox.get(timeout=PATIENCE)
            except queue.Empty:
                if not all(process.is_alive() for process in self._processes):
                    self.close()
                    raise SamplingError("a vLLM replica died; run the same command again to continue") from None
                continue
            if isinstance(message, tuple):
                self.close()
                raise getattr(errors, message[0])(message[1])
            return message

    def close(self) -> None:
        """Stop the replicas; one that does not stop by itself is killed."""
        for inbox in self._inboxes:
            inbox.put(None)
        for process in self._processes:
            process.join(timeout=PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
