"""The filters, run by a small interpreter of classic BPF for both machines (the kernel runs only this one's)."""

import pytest

from ssd_plugin.sandbox import libc, seccomp, syscalls

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050000 | 38
MACHINES = {"x86_64": (0xC000003E, syscalls.X86_64), "aarch64": (0xC00000B7, syscalls.AARCH64)}


def decide(code: list[seccomp.Instruction], arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    data = {0: number, 4: arch}
    for index in range(6):
        value = arguments[index] if index < len(arguments) else 0
        data[16 + 8 * index], data[20 + 8 * index] = value & 0xFFFFFFFF, value >> 32
    register = at = 0
    while True:
        operation, yes, no, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                register = data[constant]
            case 0x54:
                register &= constant
            case 0x06:
                return constant
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: register == constant, 0x35: register >= constant, 0x45: bool(register & constant)}[
                    operation
                ]
                at += yes if holds else no
            case _:
                raise AssertionError(operation)


def both(machine: str, name_or_number: str | int, *arguments: int) -> int:
    """The stricter of the two filters' answers, as the kernel takes it."""
    arch, numbers = MACHINES[machine]
    number = numbers[name_or_number] if isinstance(name_or_number, str) else name_or_number
    found = [decide(code(machine), arch, number, arguments) for code in (seccomp.for_zygote, seccomp.for_program)]
    return next((answer for answer in found if answer != ALLOW), ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
def test_programs(machine: str) -> None:
    allowed = [
        ("read",),
        ("openat", 0, 0, 0o2),
        ("openat", 0, 0, 0o1001),
        ("clone", 0x3D0F00),
        ("fcntl", 3, 4),
        ("prctl", 15),
        ("socketpair", 1, 0o2000001),
        ("sendto", 3, 0, 1, 0, 0, 0),
        ("prlimit64", 0),
        ("ioctl", 0, 0x5401),
    ]
    refused = [
        ("openat", 0, 0, 0o1000),
        ("clone", 17),
        ("clone", 0x10000 | 0x10000000),
        ("fcntl", 3, 8),
        ("fcntl", 3, 10),
        ("prctl", 22),
        ("prctl", 1),
        ("socketpair", 1, 2),
        ("socketpair", 2, 1),
        ("sendto", 3, 0, 1, 0, 0x7F0000000000),
        ("prlimit64", 77),
        ("ioctl", 0, 0x5412),
        ("kill", 1, 9),
        ("setsid",),
        ("sendmsg",),
        ("recvmsg",),
        ("memfd_create",),
        ("pidfd_open",),
        ("landlock_restrict_self",),
        ("fchmodat",),
    ]
    for name, *arguments in allowed:
        assert both(machine, name, *arguments) == ALLOW, (name, arguments)  # type: ignore[arg-type]
    for name, *arguments in refused:
        assert both(machine, name, *arguments) == EPERM, (name, arguments)  # type: ignore[arg-type]
    assert both(machine, "clone3") == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_listed_is_refused(machine: str) -> None:
    _, numbers = MACHINES[machine]
    unlisted = sorted(set(range(600)) - set(numbers.values()))
    assert len(unlisted) > 300
    assert {both(machine, number) for number in unlisted} == {EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_and_x32_are_killed(machine: str) -> None:
    arch, numbers = MACHINES[machine]
    code = seccomp.for_zygote(machine)
    assert decide(code, 0x40000003, numbers["read"]) == KILL
    assert decide(code, arch, 0x40000000 | numbers["read"]) == KILL


@pytest.mark.parametrize(
    ("machine", "name", "number"),
    [
        ("x86_64", "execve", 59),
        ("x86_64", "socket", 41),
        ("x86_64", "ptrace", 101),
        ("x86_64", "fork", 57),
        ("x86_64", "openat2", 437),
        ("x86_64", "io_uring_setup", 425),
        ("x86_64", "bpf", 321),
        ("x86_64", "mount", 165),
        ("aarch64", "execve", 221),
        ("aarch64", "socket", 198),
        ("aarch64", "ptrace", 117),
        ("aarch64", "bpf", 280),
        ("aarch64", "mount", 40),
    ],
)
def test_dangerous_calls_by_number(machine: str, name: str, number: int) -> None:
    assert both(machine, number) == EPERM, name


def test_unknown_machine() -> None:
    with pytest.raises(OSError, match="no seccomp table for riscv64"):
        seccomp.for_zygote("riscv64")


@pytest.mark.parametrize("machine", ["riscv64", "armv7l", "i686", ""])
def test_an_unknown_machine_gets_no_tier(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "machine", lambda: machine)
    with pytest.raises(OSError, match=f"needs Linux on x86_64 or aarch64, this is linux on {machine}"):
        libc.fail_on_other_systems()
