"""Several workers side by side: jobs in as they are asked for, results out as they are done, a bounded few in flight."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from ssd_plugin.errors import SandboxError
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker

Key = TypeVar("Key")
Result = TypeVar("Result")
Job = Callable[[Worker], Result]


class Pool:
    """`count` workers of one tier, each with a thread of its own that waits for it. Use as a context manager. `imports` and
    `modules` as a `Worker` takes them.

    Raises:
        SandboxError: (on entering) a worker cannot be started.
    """

    def __init__(
        self, tier: str, count: int, limits: Limits, imports: Sequence[str] = (), modules: Sequence[str] = ()
    ) -> None:
        self._tier, self._count, self._limits = str(tier), max(1, count), limits
        self._imports, self._modules = tuple(imports), tuple(modules)
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._jobs: SimpleQueue[tuple[Any, Job[Any]] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Any, Any, BaseException | None]] = SimpleQueue()

    def __enter__(self) -> Self:
        for number in range(self._count):
            thread = threading.Thread(target=self._serve, name=f"sandbox-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in self._threads:
            _, _, error = self._done.get()
            if error:
                self._close()
                raise error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._closing = True
        for worker in list(self._workers):
            worker.interrupt()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def run(self, jobs: Iterable[tuple[Key, Job[Result]]]) -> Iterator[tuple[Key, Result]]:
        """Yield (key, result) in the order in which jobs end; `jobs` is read only as fast as they are done.

        Raises:
            SandboxError: a job failed twice for the sandbox's own reasons.
        """
        flying = 0
        for item in jobs:
            self._jobs.put(item)
            flying += 1
            if flying >= 2 * self._count:
                yield self._landed()
                flying -= 1
        for _ in range(flying):
            yield self._landed()

    def alone(self, job: Job[Result]) -> Result:
        """Run one job while no other is under way (the caller has no `run` open).

        Raises:
            SandboxError: as `run`.
        """
        return next(result for _, result in self.run([(None, job)]))

    def _landed(self) -> tuple[Any, Any]:
        key, result, error = self._done.get()
        if error:
            raise error
        return key, result

    def _serve(self) -> None:
        """A thread's life: start its worker, say so, then job after job."""
        try:
            worker = Worker(self._tier, self._limits, imports=self._imports, modules=self._modules)
        except SandboxError as error:
            self._done.put((None, None, error))
            return
        with worker:
            self._workers.append(worker)
            self._done.put((None, None, None))
            while not self._closing and (item := self._jobs.get()):
                key, job = item
                try:
                    self._done.put((key, self._do(worker, job), None))
                except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for the result
                    self._done.put((key, None, error))

    def _do(self, worker: Worker, job: Job[Result]) -> Result:
        try:
            return job(worker)
        except SandboxError:
            if self._closing:
                raise
            # Once more in a fresh sandbox: what a program did to the machine must not stop the others.
            worker.restart()
            return job(worker)
