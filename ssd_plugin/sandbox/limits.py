"""What one graded program may use."""

import math
import resource
from dataclasses import asdict, dataclass

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on one program. Seconds of CPU are what counts; the wall limit is for programs that sleep.

    A program that computed for at least `busy_share` of `wall_seconds` gets as much again (it waits for a processor, not
    for nothing), so that a loaded machine gives the same statuses as an idle one.
    """

    cpu_seconds: float = 2.0
    wall_seconds: float = 12.0
    busy_share: float = 0.02
    memory_mib: int = 1024
    file_mib: int = 16
    scratch_mib: int = 64
    scratch_files: int = 2048
    open_files: int = 64
    threads: int = 64

    @property
    def longest_wall(self) -> float:
        """Seconds after which any program is over, however loaded the machine: two processes, all extensions."""
        return self.wall_seconds + 2 * math.ceil(self.cpu_seconds + 1) / self.busy_share

    def to_json(self) -> dict[str, float]:
        """The limits as they stand in a result file's sidecar."""
        return asdict(self)


def apply(limits: Limits, *, threads: int) -> None:
    """Set this process's limits, for good.

    `threads` is the most tasks the user id may have (not only this process: that is how Linux counts).
    """
    # The zygote ends a program at its limit; the kernel, which knows whole seconds, ends what the zygote is late for.
    cpu = math.ceil(limits.cpu_seconds) + 1
    for kind, value in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, limits.memory_mib * MIB),
        (resource.RLIMIT_FSIZE, limits.file_mib * MIB),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, threads),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (value, value))
