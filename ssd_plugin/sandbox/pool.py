"""Several workers side by side: jobs in as they are asked for, results out as they are done, a bounded few in flight.

Any number of threads may run jobs on one pool at a time: each gets the results of its own.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from ssd_plugin.errors import SandboxError
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker

Key = TypeVar("Key")
Result = TypeVar("Result")
Job = Callable[[Worker], Result]
_Done = SimpleQueue[tuple[Any, Any, BaseException | None]]


@dataclass(frozen=True, kw_only=True)
class _Order:
    """A job on its way to a worker, and where its result goes. `alone`: no other job is under way beside it."""

    key: Any
    job: Job[Any]
    done: _Done
    alone: bool


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
        self._closing, self._gate = False, threading.Lock()
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._turns = _Turns()

    def __enter__(self) -> Self:
        started: _Done = SimpleQueue()
        for number in range(self._count):
            thread = threading.Thread(target=self._serve, args=(started,), name=f"sandbox-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in self._threads:
            _, _, error = started.get()
            if error:
                self._close()
                raise error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        with self._gate:  # nothing is put in line any more
            self._closing = True
        for worker in list(self._workers):
            worker.interrupt()
        for _ in self._threads:
            self._orders.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():  # it may be the one that drops the last reference
                thread.join()
        while not self._orders.empty():  # what another thread still waits for
            if order := self._orders.get():
                order.done.put((order.key, None, _closed()))

    def forget(self) -> None:
        """Leave the workers to the process that started them: for the child of a fork, which has none of the threads."""
        for worker in self._workers:
            worker.forget()

    def run(self, jobs: Iterable[tuple[Key, Job[Result]]]) -> Iterator[tuple[Key, Result]]:
        """Yield (key, result) in the order in which jobs end; `jobs` is read only as fast as they are done.

        Raises:
            SandboxError: a job failed twice for the sandbox's own reasons, or the pool was closed.
        """
        done: _Done = SimpleQueue()
        flying = 0
        for key, job in jobs:
            self._put(_Order(key=key, job=job, done=done, alone=False))
            flying += 1
            if flying >= 2 * self._count:
                yield _landed(done)
                flying -= 1
        for _ in range(flying):
            yield _landed(done)

    def alone(self, job: Job[Result]) -> Result:
        """Run one job while no other is under way.

        Raises:
            SandboxError: as `run`.
        """
        done: _Done = SimpleQueue()
        self._put(_Order(key=None, job=job, done=done, alone=True))
        result: Result = _landed(done)[1]
        return result

    def _put(self, order: _Order) -> None:
        with self._gate:
            if self._closing:
                raise _closed()
            self._orders.put(order)

    def _serve(self, started: _Done) -> None:
        """A thread's life: start its worker, say so, then job after job."""
        try:
            worker = Worker(self._tier, self._limits, imports=self._imports, modules=self._modules)
        except SandboxError as error:
            started.put((None, None, error))
            return
        with worker:
            self._workers.append(worker)
            started.put((None, None, None))
            while not self._closing and (order := self._orders.get()):
                try:
                    with self._turns.alone() if order.alone else self._turns.beside():
                        result = self._do(worker, order.job)
                    order.done.put((order.key, result, None))
                except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for the result
                    order.done.put((order.key, None, error))

    def _do(self, worker: Worker, job: Job[Result]) -> Result:
        try:
            return job(worker)
        except SandboxError:
            if self._closing:
                raise
            # Once more in a fresh sandbox: what a program did to the machine must not stop the others.
            worker.restart()
            return job(worker)


class _Turns:
    """Jobs beside each other, or one alone, which waits for those under way and lets no other begin."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running, self._alone = 0, False

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._running)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


def _landed(done: _Done) -> tuple[Any, Any]:
    key, result, error = done.get()
    if error:
        raise error
    return key, result


def _closed() -> SandboxError:
    return SandboxError("the sandboxes were closed while programs were graded")
