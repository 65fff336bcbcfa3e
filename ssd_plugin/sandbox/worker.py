"""The supervisor's side of one zygote: start it, hand it jobs, read what the programs report."""

import contextlib
import functools
import json
import marshal
import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ssd_plugin.core.workplace import SANDBOX, Workplace
from ssd_plugin.errors import SandboxError
from ssd_plugin.sandbox import boot, libc, library
from ssd_plugin.sandbox.limits import Limits

_CANCEL = b"cancel"
_START_SECONDS, _GRACE_SECONDS = 60.0, 30.0
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class End:
    """How one process of a job ended: `wait` status, seconds of CPU, peak memory in KiB, and whether the zygote had to
    end it."""

    status: int
    cpu: float
    memory_kib: int
    killed: bool

    @property
    def code(self) -> int:
        """Exit status, or minus the signal's number."""
        return os.waitstatus_to_exitcode(self.status)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came out of one job. `report` and `output` are hostile bytes, cut at the size asked for.

    `reason`: empty when the reporting process ended by itself, else `cpu`, `wall`, `scratch` or `output` (a limit).
    """

    report: bytes
    output: bytes
    ends: tuple[End, ...]
    reason: str


class Worker:
    """One zygote; runs one job at a time. Use as a context manager. `imports` are loaded in it; `modules`: what programs may
    import beside the standard library, where it is installed.

    Raises:
        SandboxError: (from the constructor) the tier does not work here.
    """

    def __init__(self, tier: str, limits: Limits, *, imports: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        self._tier, self._limits, self._imports, self._modules = tier, limits, tuple(imports), tuple(modules)
        self.notes: tuple[str, ...] = ()
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        try:
            self._workplace = Workplace(SANDBOX)
        except OSError as error:
            raise SandboxError(f"no temporary directory for the sandbox ({error}); set TMPDIR") from error
        self._place = self._workplace.path
        if self._tier == "rlimits":  # programs may run as our own user: none reads the expected values here
            with contextlib.suppress(OSError):
                libc.prctl(libc.DUMPABLE, 0)
        try:
            setup = library.prepare(self._place, self._tier, self._limits, self._imports, self._modules)
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, (self._place / "log").open("wb") as log:
                command = [getattr(sys, "_base_executable", sys.executable), "-S", "-s", "-P", "-B", boot.__file__]
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                    [*command, str(theirs.fileno())], env=library.ENVIRONMENT, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=log, pass_fds=[theirs.fileno()], start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            self._workplace.remove()
            raise SandboxError(f"the sandbox's process cannot be started ({error})") from error
        self._handshake(setup)

    def _handshake(self, setup: dict[str, Any]) -> None:
        answer: dict[str, Any] = {}
        with contextlib.suppress(OSError):
            self._control.settimeout(_START_SECONDS)
            self._control.send(json.dumps(setup).encode())
            answer = json.loads(self._control.recv(_CHUNK) or b"{}")
        if not answer.get("ready"):
            log = (self._place / "log").read_text(errors="replace").strip().splitlines()[-1:]
            self.close()
            raise SandboxError(str(answer.get("error") or " ".join(log) or "the sandbox's process ended at once"))
        self.notes = tuple(answer["notes"])

    def interrupt(self) -> None:
        """Make a job that is under way in another thread fail at once (SandboxError there); then `close`."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Let go of the zygote without a word to it: it is the parent's of this forked process, as is its directory."""
        self._control.close()

    def close(self) -> None:
        """End the zygote and remove its directory."""
        self._control.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._workplace.remove()

    def restart(self) -> None:
        """A fresh zygote in place of one that died.

        Raises:
            SandboxError: it cannot be started.
        """
        self.close()
        self._start()

    def run(
        self, kind: str, payloads: Sequence[dict[str, Any]], limits: Limits, *, report_bytes: int, output_bytes: int = 0
    ) -> Report:
        """Run one job: `kind` is `function`, `stdio` (one payload each) or `assert` (program, then suite).

        Raises:
            SandboxError: the sandbox failed, so nothing can be said about the program.
        """
        caps = {"report": report_bytes} | ({"output": output_bytes} if kind == "stdio" else {})
        sent: list[int] = []
        readers: dict[int, str] = {}
        try:
            sent = [_memory_file(payload) for payload in payloads]
            for name in caps:
                reader, writer = os.pipe()
                readers[reader] = name
                sent.append(writer)
            try:
                socket.send_fds(self._control, [_message(kind, limits)], sent)
            except OSError as error:
                raise SandboxError(f"the sandbox's process is gone ({error})") from error
            finally:
                for descriptor in sent:
                    os.close(descriptor)
            return self._collect(readers, caps, limits.longest_wall + _GRACE_SECONDS)
        finally:
            for reader in readers:
                os.close(reader)

    def _collect(self, readers: dict[int, str], caps: dict[str, int], seconds: float) -> Report:
        """Read the pipes until the zygote says that the job is over, then what is left in them."""
        data = {name: bytearray() for name in caps}
        control = self._control.fileno()
        poll = select.poll()
        for descriptor in (control, *readers):
            poll.register(descriptor, select.POLLIN)
        cancelled = False
        while True:
            ready = [descriptor for descriptor, _ in poll.poll(seconds * 1000)]
            if not ready:
                raise SandboxError("the sandbox's process does not answer")
            for descriptor in ready:
                if descriptor in readers and not _take(
                    descriptor, data[readers[descriptor]], caps[readers[descriptor]]
                ):
                    poll.unregister(descriptor)
            over = any(len(data[name]) > cap for name, cap in caps.items())
            if over and not cancelled:
                with contextlib.suppress(ConnectionError):  # its end of the socket says the same just below
                    self._control.send(_CANCEL)
                cancelled = True
            if control in ready:
                break
        answer = self._answer()
        if answer["reason"] == "unlocked":
            raise SandboxError("a child of the sandbox's process could not be confined")
        for descriptor, name in readers.items():
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while _take(descriptor, data[name], caps[name]):
                    pass
        ends = tuple(End(**end) for end in answer["ends"])
        over = any(len(data[name]) > cap for name, cap in caps.items())
        reason = "output" if over else answer["reason"]
        return Report(report=bytes(data["report"]), output=bytes(data.get("output", b"")), ends=ends, reason=reason)

    def _answer(self) -> dict[str, Any]:
        """What the zygote says of the job; a socket that it left is at its end, or reset where it left our message unread."""
        message = b""
        with contextlib.suppress(ConnectionError):
            message = self._control.recv(_CHUNK)
        if not message:
            raise SandboxError("the sandbox's process ended in the middle of a job")
        answer: dict[str, Any] = json.loads(message)
        return answer


def _take(descriptor: int, data: bytearray, cap: int) -> bool:
    """Read once; what exceeds the cap by more than a byte is thrown away. False at the end of the stream."""
    chunk = os.read(descriptor, _CHUNK)
    data += chunk[: cap + 1 - len(data)]
    return bool(chunk)


@functools.lru_cache(maxsize=64)
def _message(kind: str, limits: Limits) -> bytes:
    return json.dumps({"kind": kind, "limits": limits.to_json()}).encode()


def _memory_file(payload: dict[str, Any]) -> int:
    descriptor = os.memfd_create("payload")
    data = marshal.dumps(payload)
    while data:
        data = data[os.write(descriptor, data) :]
    return descriptor
