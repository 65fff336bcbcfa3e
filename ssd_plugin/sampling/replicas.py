"""Data parallelism: one vLLM engine a process, each with GPUs of its own, fed from one stream of requests."""

import dataclasses
import multiprocessing
import os
import queue
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ssd_plugin import errors
from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import EngineDied, SamplingError, SsdError
from ssd_plugin.sampling.protocol import Completion, Request, SamplingParams

AHEAD = 2048
"""Requests handed to a replica beyond those it is known to have finished: twice vLLM's default batch of 1,024 on such GPUs, to
keep it full."""
RESTARTS = 1  # of each replica: a second death has a cause that another start does not take away
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


def _serve(model_dir: Path, engine: EngineConfig, devices: str, inbox: Any, out: Connection) -> None:
    """A replica's process: requests in, completions out, until None comes in. A failure goes out as its name and message."""
    os.environ[DEVICES] = devices
    from ssd_plugin.sampling.vllm import Engine

    try:
        sampler = Engine(model_dir, engine)
        out.send("ready")
        params = inbox.get()
        while params is not None:
            for completion in sampler.drain(_Inbox(inbox).take, params):
                out.send(completion)
            out.send("done")
            params = inbox.get()
        sampler.close()
    except EngineDied as error:
        print(f"{error}", flush=True)
        os._exit(1)  # what is left of the engine may not let a process end
    except SsdError as error:
        out.send((type(error).__name__, str(error)))


class _Replica:
    """One engine's process, the ways to and from it, and the requests that it has not answered. Nothing is shared with other
    replicas: a process that is killed may hold a queue's lock for ever."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments, self.restarts = arguments, 0
        self.owned: dict[str, Request] = {}
        self.params: SamplingParams | None = None  # of the sampling that it is busy with
        self.told_the_end = False
        self.begin()

    def begin(self) -> None:
        """A new process."""
        context = multiprocessing.get_context("spawn")
        self.inbox: Any = context.Queue()
        self.out, sender = context.Pipe(duplex=False)
        # Not daemonic: vLLM has children of its own.
        self.process: BaseProcess = context.Process(target=_serve, args=(*self._arguments, self.inbox, sender))
        self.process.start()
        sender.close()  # so that the replica's end is the end of what comes from it

    def again(self) -> None:
        """Start it anew and ask for what it owed."""
        self.process.kill()
        self.process.join()
        self.restarts += 1
        self.begin()
        if self.params is not None:
            for message in (self.params, *self.owned.values()):
                self.inbox.put(message)
            if self.told_the_end:
                self.inbox.put(None)


class Replicas:
    """`data_parallel` engines as one sampler. One that dies is started again, once, with the requests it had not answered: a
    completion depends on nothing but its own request."""

    def __init__(self, model_dir: Path, engine: EngineConfig) -> None:
        alone = dataclasses.replace(engine, data_parallel=1)
        visible = os.environ.get(DEVICES)
        self._replicas = [
            _Replica(model_dir, alone, devices_of(number, engine.tensor_parallel, visible))
            for number in range(engine.data_parallel)
        ]
        waiting = set(range(engine.data_parallel))
        while waiting:
            waiting.discard(self._next()[0])

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """See `Sampler.sample`: every replica gets the next request when it has finished one."""
        source = iter(requests)
        for replica in self._replicas:
            replica.params, replica.told_the_end = params, False
            replica.inbox.put(params)
        try:
            yield from self._exchange(source)
        finally:
            if any(replica.owned for replica in self._replicas):  # left before the end: busy with what nobody waits for
                self.close()

    @staticmethod
    def _hand_out(replica: _Replica, source: Iterator[Request]) -> None:
        """Give it the next request, or the end."""
        if replica.told_the_end:
            return
        request = next(source, None)
        if request is None:
            replica.told_the_end = True
        else:
            replica.owned[request.request_id] = request
        replica.inbox.put(request)

    def _exchange(self, source: Iterator[Request]) -> Iterator[Completion]:
        for _ in range(AHEAD):
            for replica in self._replicas:
                self._hand_out(replica, source)
        running = set(range(len(self._replicas)))
        while running:
            number, message = self._next()
            replica = self._replicas[number]
            if message == "done":
                replica.params = None
                running.discard(number)
            elif message != "ready":  # of one that was started again
                del replica.owned[message.request_id]
                yield message
                self._hand_out(replica, source)

    def _next(self) -> tuple[int, Any]:
        """The next message of any replica, and whose it is; a failure is raised, and so is a second death.

        Raises:
            SamplingError, ResourceError, ModelError: as the replica had it.
        """
        while True:
            heard = wait([replica.out for replica in self._replicas], timeout=PATIENCE)
            for number, replica in enumerate(self._replicas):
                if replica.out not in heard:
                    continue
                try:
                    message = replica.out.recv()
                except EOFError:
                    self._revive(number)
                    return self._next()
                if isinstance(message, tuple):
                    self.close()
                    raise getattr(errors, message[0])(message[1])
                return number, message
            for number, replica in enumerate(self._replicas):  # a child of its own may keep a dead one's pipe open
                if not replica.process.is_alive() and not replica.out.poll():
                    self._revive(number)
                    return self._next()

    def _revive(self, number: int) -> None:
        replica = self._replicas[number]
        if replica.restarts == RESTARTS:
            self.close()
            raise SamplingError(
                f"vLLM replica {number} died twice; its reason stands in the log above; the same command again continues"
            )
        print(f"vLLM replica {number} died: it starts again with the {len(replica.owned)} requests it owed", flush=True)
        replica.again()

    def close(self) -> None:
        """Stop the replicas; one that does not stop by itself is killed."""
        for replica in self._replicas:
            replica.inbox.put(None)
        for replica in self._replicas:
            replica.process.join(timeout=PATIENCE)
            if replica.process.is_alive():
                replica.process.kill()
                replica.process.join()
