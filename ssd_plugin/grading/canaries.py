"""The grader attacks itself before every grading run: known-good, known-bad, cheats, escapes, greedy programs.

One misjudged canary and nothing is graded. Nothing is cached between runs.
"""

import contextlib
import os
import random
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ssd_plugin.core.workplace import SANDBOX, Workplace
from ssd_plugin.errors import SandboxError
from ssd_plugin.grading.canary_cheats import FUNCTION_CHEATS, OWN_SUITE_CHEATS, SOURCES, STDIO_CHEATS, SUITE_CHEATS
from ssd_plugin.grading.canary_escapes import ENDLESS, ESCAPES, GREEDY, SLEEPING
from ssd_plugin.grading.judge import Judgement, judge
from ssd_plugin.sandbox import namespaces
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.pool import Pool
from ssd_plugin.sandbox.tiers import SandboxTier
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, Status, StdioCheck, Task

_LIMITS = Limits(cpu_seconds=2.0, wall_seconds=8.0)
_LITTLE_TIME = replace(_LIMITS, wall_seconds=0.2, busy_share=2.0)
_LITTLE_CPU = replace(_LIMITS, cpu_seconds=0.05, wall_seconds=30.0)
_NARROW = replace(_LIMITS, memory_mib=128)
_NOT_PASS = frozenset(Status) - {Status.PASS, Status.INFRA}
_RIGHT = frozenset({Status.PASS})


@dataclass(frozen=True, kw_only=True)
class Canary:
    """One program, its task, the statuses that are right for it, and what the judgement must say."""

    name: str
    check: Check
    program: str
    allowed: frozenset[Status]
    limits: Limits = _LIMITS
    detail: str = ""

    def run(self, worker: Worker) -> Judgement:
        """Grade it as any program is graded."""
        return judge(worker, Task(task_id=self.name, prompt="", check=self.check), self.program, self.limits)


@dataclass(frozen=True, kw_only=True)
class _Targets:
    """Real things outside that escapes reach for, so that a shut door is not just a missing one."""

    folder: Path
    secret: Path
    port: int
    unix_socket: Path

    def arguments(self) -> tuple[object, ...]:
        mounts = sorted({path for path, _ in namespaces.mounts()} - set(namespaces.SINKS))
        return str(self.secret), str(self.folder), self.port, str(self.unix_socket), os.getpid(), mounts


@contextmanager
def _targets() -> Iterator[tuple[_Targets, Callable[[], str]]]:
    """The targets, and a check that says what was done to them (empty: nothing)."""
    with contextlib.ExitStack() as stack:
        place = Workplace(SANDBOX)
        stack.callback(place.remove)
        folder = place.path / "targets"
        folder.mkdir()
        folder.chmod(0o777)
        secret, unix_path, text = folder / "secret", folder / "socket", secrets.token_hex(16)
        secret.write_text(text)
        secret.chmod(0o666)
        tcp, unix = (stack.enter_context(socket.socket(family)) for family in (socket.AF_INET, socket.AF_UNIX))
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(unix_path))
        unix_path.chmod(0o777)
        for listener in (tcp, unix):
            listener.listen()
            listener.setblocking(False)

        def damage() -> str:
            for listener in (tcp, unix):
                with contextlib.suppress(BlockingIOError):
                    listener.accept()
                    return "a program connected to a socket outside"
            if sorted(path.name for path in folder.iterdir()) != ["secret", "socket"] or secret.read_text() != text:
                return "a program changed files outside"
            return ""

        yield _Targets(folder=folder, secret=secret, port=tcp.getsockname()[1], unix_socket=unix_path), damage


def canaries(tier: SandboxTier, targets: _Targets) -> list[Canary]:
    """The set for a tier; the endless ones come first, so that they run beside the others."""
    found = [*_endless(), *_honest(), *_cheats(), *_sources()]
    programs = (ESCAPES | GREEDY) if tier.can_earn_go else {}
    for name, program in programs.items():
        check = FunctionCheck(entry_point="f", inputs=(targets.arguments(),), expected=("blocked",))
        allowed = _RIGHT | {Status.CRASH} if name == "floods the scratch" else _RIGHT
        limits = _NARROW if name in GREEDY else _LIMITS
        found.append(Canary(name=f"escape: {name}", check=check, program=program, allowed=allowed, limits=limits))
    return found


def _unknowable() -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    inputs = tuple((secrets.randbelow(10**9),) for _ in range(2))
    return inputs, tuple(1000 + secrets.randbelow(10**12) for _ in inputs)


def _cheats() -> Iterator[Canary]:
    inputs, expected = _unknowable()
    for name, program in FUNCTION_CHEATS.items():
        check: Check = FunctionCheck(entry_point="f", inputs=inputs, expected=expected)
        yield Canary(name=f"cheat: {name}", check=check, program=program, allowed=_NOT_PASS)
    # A loop, so that the suite runs as code, in its own process.
    pairs = [(x, y) for (x,), y in zip(inputs, expected, strict=True)]
    suite = f"def check(candidate):\n    for x, y in {pairs}:\n        assert candidate(x) == y\n"
    for name, program in SUITE_CHEATS.items():
        check = AssertCheck(entry_point="f", test=suite)
        yield Canary(name=f"cheat in a suite: {name}", check=check, program=program, allowed=_NOT_PASS)
    for name, (test, program) in OWN_SUITE_CHEATS.items():
        check = AssertCheck(entry_point="f", test=test)
        yield Canary(name=f"cheat in a suite: {name}", check=check, program=program, allowed=_NOT_PASS)
    halves = FunctionCheck(entry_point="f", inputs=((1,),), expected=("\U0001f600",))
    program = "def f(x): return '\\ud83d\\ude00'\n"
    yield Canary(name="cheat: two surrogates for one character", check=halves, program=program, allowed=_NOT_PASS)
    for name, program in STDIO_CHEATS.items():
        check = StdioCheck(inputs=("3\n",), expected=(f"{expected[0]}\n",))
        yield Canary(name=f"cheat on stdout: {name}", check=check, program=program, allowed=_NOT_PASS)


def _honest() -> Iterator[Canary]:
    x = random.randrange(10**6)  # noqa: S311 - any number will do
    y = 3 * x + 1
    call = FunctionCheck(entry_point="f", inputs=((x,),), expected=(y,))
    listed = AssertCheck(entry_point="f", test=f"def check(c):\n    assert c({x}) == {y}\n")
    suite = AssertCheck(entry_point="f", test=f"def check(c):\n    found = c({x})\n    assert found == {y}\n")
    stdout = StdioCheck(inputs=(f"{x}\n",), expected=(f"{y}\n",))
    function = "def f(x): return {} * x + 1\n"
    checks: tuple[tuple[str, Check, str], ...] = (
        ("call", call, function),
        ("suite", suite, function),
        ("suite of literals", listed, function),
        ("stdout", stdout, "print({} * int(input()) + 1)\n"),
        ("with BOM", call, "\ufeff" + function),
    )
    for name, check, program in checks:
        yield Canary(name=f"known-good: {name}", check=check, program=program.format(3), allowed=_RIGHT)
        wrong = frozenset({Status.FAIL})
        yield Canary(name=f"known-bad: {name}", check=check, program=program.format(2), allowed=wrong)


def _sources() -> Iterator[Canary]:
    for name, (program, allowed) in SOURCES.items():
        check = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))
        yield Canary(name=f"source: {name}", check=check, program=program, allowed=frozenset(map(Status, allowed)))


def _endless() -> Iterator[Canary]:
    check = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))
    allowed = frozenset({Status.TIMEOUT})
    for names, limits, detail in (
        (ENDLESS, _LITTLE_CPU, "0.05 s of CPU used up"),
        (SLEEPING, _LITTLE_TIME, "0.2 s used"),
    ):
        for name, program in names.items():
            yield Canary(
                name=f"endless: {name}", check=check, program=program, allowed=allowed, limits=limits, detail=detail
            )


def run_canaries(pool: Pool, tier: SandboxTier) -> int:
    """Grade all canaries; returns how many there are.

    Raises:
        SandboxError: one was misjudged, or something outside was reached (says which).
    """
    with _targets() as (targets, damage):
        chosen = canaries(tier, targets)
        for canary, judgement in pool.run((canary, canary.run) for canary in chosen):
            if judgement.status not in canary.allowed or canary.detail not in judgement.detail:
                wanted = " or ".join(sorted(canary.allowed)) if len(canary.allowed) < 3 else "anything but pass"
                found = f"{judgement.status} ({judgement.detail})" if judgement.detail else judgement.status.value
                raise SandboxError(
                    f"canary '{canary.name}' was judged {found}, must be {wanted}: no grade can be trusted"
                )
        if found := damage():
            raise SandboxError(f"a canary got out of the sandbox: {found}")
    return len(chosen)
