"""Several workers side by side: jobs in as they are asked for, results out as they are done, a bounded few in flight."""

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar

from ssd_plugin.errors import SandboxError
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker

Key = TypeVar("Key")
Result = TypeVar("Result")


class Pool:
    """`count` workers of one tier, each with one thread that waits for it. Use as a context manager.

    Raises:
        SandboxError: (on entering) a worker cannot be started.
    """

    def __init__(self, tier: str, count: int, limits: Limits, imports: Sequence[str] = ()) -> None:
        self._tier, self._count, self._limits, self._imports = str(tier), max(1, count), limits, tuple(imports)
        self._workers: list[Worker] = []
        self._closing = False
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="sandbox")
        started = [
            self._threads.submit(Worker, self._tier, self._limits, imports=self._imports) for _ in range(self._count)
        ]
        wait(started)
        self._workers = [future.result() for future in started if not future.exception()]
        for future in started:
            if error := future.exception():
                self.__exit__(type(error), error, None)
                raise error
        for worker in self._workers:
            self._idle.put(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for worker in self._workers:
            worker.interrupt()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def run(self, jobs: Iterable[tuple[Key, Callable[[Worker], Result]]]) -> Iterator[tuple[Key, Result]]:
        """Yield (key, result) in the order in which jobs end; `jobs` is read only as fast as they are done.

        Raises:
            SandboxError: a job failed twice for the sandbox's own reasons.
        """
        flying: dict[Future[Result], Key] = {}
        for key, job in jobs:
            flying[self._threads.submit(self._do, job)] = key
            if len(flying) >= 2 * self._count:
                yield from self._landed(flying)
        while flying:
            yield from self._landed(flying)

    @staticmethod
    def _landed(flying: dict[Future[Result], Key]) -> Iterator[tuple[Key, Result]]:
        for future in wait(flying, return_when=FIRST_COMPLETED).done:
            yield flying.pop(future), future.result()

    def alone(self, job: Callable[[Worker], Result]) -> Result:
        """Run one job while no other is under way (the caller has no `run` open).

        Raises:
            SandboxError: as `run`.
        """
        return self._threads.submit(self._do, job).result()

    def _do(self, job: Callable[[Worker], Result]) -> Result:
        worker = self._idle.get()
        try:
            try:
                return job(worker)
            except SandboxError:
                if self._closing:
                    raise
                # Once more in a fresh sandbox: what a program did to the machine must not stop the others.
                worker.restart()
                return job(worker)
        finally:
            self._idle.put(worker)
