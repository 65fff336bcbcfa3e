"""What is found out about one program: its status, why, how many cases it passed, and what its model may be told."""

import signal
from dataclasses import dataclass

from ssd_plugin.grading.feedback import Feedback, FeedbackKind, PublicCase
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import End, Report
from ssd_plugin.tasks.schema import Status


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Status and reason; `again` asks for another try, alone; `cpu` is the seconds of the slowest process. `passed` of `cases`
    gave what is expected; unless all were asked for, those after the first that did not were not looked at. `detail` may hold
    what a hidden test holds, `feedback` does not."""

    status: Status
    detail: str = ""
    again: bool = False
    cpu: float = 0.0
    passed: int = 0
    cases: int = 0
    feedback: Feedback | None = None

    @property
    def share(self) -> float:
        """The share of cases that were right, 0 to 1; 1 only for a program that passes."""
        if self.status is Status.PASS:
            return 1.0
        return min(self.passed, self.cases - 1) / self.cases if self.cases else 0.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a judgement beside its status: how `every_case` went, and feedback that may `quote` (the caller's word
    that all the cases are public)."""

    every_case: bool = False
    quote: bool = False


def failed(detail: str, feedback: Feedback, cpu: float = 0.0) -> Judgement:
    return Judgement(status=Status.FAIL, detail=one_line(detail), cpu=cpu, feedback=feedback)


def out_of_time(end: End, limits: Limits) -> bool:
    # Ended by the kernel, whose limit is the second after ours; its clock ticks can run ahead of the time it reports.
    return end.code in (-signal.SIGKILL, -signal.SIGXCPU) and end.cpu >= 0.7 * limits.cpu_seconds


def cut_short(report: Report, end: End, limits: Limits, where: str, case: PublicCase | None = None) -> Judgement:
    """What it means that the answer is incomplete."""
    if report.reason == "output":
        feedback = Feedback(kind=FeedbackKind.OUTPUT, case=case)
        return failed(f"before {where}: its output is larger than any right answer", feedback, end.cpu)
    if report.reason in ("cpu", "wall") or out_of_time(end, limits):
        limit = f"{limits.wall_seconds:g} s" if report.reason == "wall" else f"{limits.cpu_seconds:g} s of CPU"
        detail, feedback = f"before {where}: {limit} used up", Feedback(kind=FeedbackKind.TIMEOUT, case=case)
        return Judgement(status=Status.TIMEOUT, detail=detail, again=True, cpu=end.cpu, feedback=feedback)
    feedback = Feedback(kind=FeedbackKind.CRASH, case=case)
    how, out_of_memory = _end_of(report, end, limits)
    cpu = 0.0 if report.reason == "scratch" else end.cpu
    return Judgement(
        status=Status.CRASH, detail=f"before {where}: {how}", again=out_of_memory, cpu=cpu, feedback=feedback
    )


def _end_of(report: Report, end: End, limits: Limits) -> tuple[str, bool]:
    """How a process ended that used up no time, and whether it was for lack of memory."""
    if report.reason == "scratch":
        return f"wrote more than {limits.scratch_mib} MiB", False
    if end.killed:
        return "left without an answer", False
    if end.code == -signal.SIGKILL:
        return "killed (out of memory)", True
    if end.code < 0:
        return f"ended with signal {-end.code} ({signal.strsignal(-end.code)})", False
    return f"ended with exit status {end.code}", False


def one_line(text: object, length: int = 300) -> str:
    """Hostile text made harmless for a terminal and a log: printable, one line, bounded."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text)[:length]).strip()
