"""The system calls that graded code may make: an allow-list as classic BPF programs, everything else is EPERM.

An allow-list, because a call that the kernel gains tomorrow must be refused today. The list is what CPython's
standard library needs to compute, use its scratch files, threads and an asyncio loop. Arguments are checked where
a harmless call has a harmful form; pointers cannot be checked by a filter, so calls that take their flags in memory
(`clone3`, `openat2`) are refused.

Installing a long filter costs more than running a program, so it is done once, by the zygote (`for_zygote`), with the
few calls that the zygote itself needs; each child adds a short filter that refuses exactly those (`for_program`). A
call must pass both, so what a program may do is the allow-list without them.
"""

import ctypes
import struct
from dataclasses import dataclass

from ssd_plugin.sandbox import libc
from ssd_plugin.sandbox.syscalls import AARCH64, X86_64

_ARCHITECTURES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050000 | 38
_NOTHING_DONE = 0x00050000  # the call is skipped and returns 0
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_CLONE_THREAD, _NAMESPACES = 0x00010000, 0x7E020000
_O_TRUNC, _ACCESS_MODE = 0o1000, 3
_FILTER = 2

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


@dataclass(frozen=True, kw_only=True)
class _OneOf:
    """Allowed only when `argument & mask` is one of `values` (32 bits, or both halves zero for `wide`)."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False


# What the zygote does and no program may: fork, wait on and end children, lock them, receive descriptors, tidy scratch.
_ZYGOTE_ONLY = [
    "chmod",
    "fchmodat",
    "kill",
    "landlock_restrict_self",
    "memfd_create",
    "pidfd_open",
    "pidfd_send_signal",
    "recvmsg",
    "sendmsg",
    "setsid",
]
_SECCOMP_PRCTL = 22

# F_SETOWN, F_SETSIG and their kin would aim a signal at another process.
_FCNTL = _OneOf(argument=1, values=(0, 1, 2, 3, 4, 5, 1030))
_F_SETLK, _F_SETLKW = 6, 7
# TIOCSTI types into a terminal.
_CHECKED: dict[str, tuple[_OneOf, ...]] = {
    "ioctl": (_OneOf(argument=1, values=(0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),),
    "prctl": (_OneOf(argument=0, values=(15, 16)),),
    "prlimit64": (_OneOf(argument=0, values=(0,)),),
    "socketpair": (_OneOf(argument=0, values=(1,)), _OneOf(argument=1, values=(1,), mask=0xF)),
    "sendto": (_OneOf(argument=4, values=(0,), wide=True),),
}


def _argument(index: int, high: bool = False) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index + (4 if high else 0))


def _verdict(value: int) -> Instruction:
    return (_RETURN, 0, 0, value)


def _require(rule: _OneOf) -> list[Instruction]:
    code = [_argument(rule.argument)]
    if rule.mask != 0xFFFFFFFF:
        code.append((_AND, 0, 0, rule.mask))
    count = len(rule.values)
    code += [(_EQUAL, count - index, 0, value) for index, value in enumerate(rule.values)]
    code.append(_verdict(_EPERM))
    if rule.wide:
        code += [_argument(rule.argument, high=True), (_EQUAL, 1, 0, 0), _verdict(_EPERM)]
    return code


def _no_truncation_by_reading(argument: int) -> list[Instruction]:
    # open(O_RDONLY | O_TRUNC) empties a file without the right to write; Landlock sees it only from ABI 3 on.
    return [
        _argument(argument),
        (_ANY_BIT, 0, 3, _O_TRUNC),
        (_ANY_BIT, 0, 1, _ACCESS_MODE),
        _verdict(_ALLOW),
        _verdict(_EPERM),
        _verdict(_ALLOW),
    ]


def _no_namespaces() -> list[Instruction]:
    return [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _verdict(_EPERM), _verdict(_ALLOW)]


def _threads_only() -> list[Instruction]:
    return [
        _argument(0),
        (_ANY_BIT, 1, 0, _NAMESPACES),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        _verdict(_EPERM),
        _verdict(_ALLOW),
    ]


def _body(name: str, program: bool) -> list[Instruction]:
    """What follows once the call's number has matched; always ends in a verdict."""
    match name:
        case "clone" if not program:
            return _no_namespaces()
        case "prctl" if not program:
            return [*_require(_OneOf(argument=0, values=(libc.PDEATHSIG, 15, 16, _SECCOMP_PRCTL))), _verdict(_ALLOW)]
        case "clone3":  # its flags are in memory; ENOSYS makes the C library fall back to clone
            return [_verdict(_ENOSYS)]
        case "clone":
            return _threads_only()
        case "flock":  # done, as far as the program can tell: its files are its own, the others are not to be locked
            return [_verdict(_NOTHING_DONE)]
        case "fcntl":
            locks = [_argument(1), (_EQUAL, 1, 0, _F_SETLK), (_EQUAL, 0, 1, _F_SETLKW), _verdict(_NOTHING_DONE)]
            return [*locks, *_require(_FCNTL), _verdict(_ALLOW)]
        case "open":
            return _no_truncation_by_reading(1)
        case "openat":
            return _no_truncation_by_reading(2)
        case _:
            checks = [_require(rule) for rule in _CHECKED.get(name, ())]
            return [*(step for check in checks for step in check), _verdict(_ALLOW)]


def for_zygote(machine: str) -> list[Instruction]:
    """The allow-list with the zygote's own calls, for a machine (`x86_64` or `aarch64`).

    Raises:
        OSError: there is no table for the machine.
    """
    start, numbers = _start(machine)
    return [*start, *_steps(numbers, program=False), _verdict(_EPERM)]


def for_program(machine: str) -> list[Instruction]:
    """What is taken away from that list before a program starts.

    Raises:
        OSError: there is no table for the machine.
    """
    start, numbers = _start(machine)
    checked = {name: numbers[name] for name in ("clone", "prctl")}
    refused = [numbers[name] for name in _ZYGOTE_ONLY if name in numbers]
    code = [*start, *_steps(checked, program=True)]
    for number in refused:
        code += [(_EQUAL, 0, 1, number), _verdict(_EPERM)]
    return [*code, _verdict(_ALLOW)]


def _start(machine: str) -> tuple[list[Instruction], dict[str, int]]:
    """The steps that refuse another machine's calls, and the table of this one."""
    if machine not in _ARCHITECTURES:
        raise OSError(f"no seccomp table for {machine}; there are tables for {', '.join(_ARCHITECTURES)}")
    audit, numbers = _ARCHITECTURES[machine]
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, audit), _verdict(_KILL), (_LOAD, 0, 0, _NUMBER)]
    return [*code, (_AT_LEAST, 0, 1, _X32_BIT), _verdict(_KILL)], numbers


def _steps(numbers: dict[str, int], *, program: bool) -> list[Instruction]:
    code: list[Instruction] = []
    for name, number in numbers.items():
        body = _body(name, program)
        code += [(_EQUAL, 0, len(body), number), *body]
    return code


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


class Filter:
    """A filter, assembled once and installed by whoever calls `install`."""

    def __init__(self, code: list[Instruction]) -> None:
        raw = b"".join(struct.pack("HBBI", *step) for step in code)
        self._code = ctypes.create_string_buffer(raw, len(raw))
        self._program = _Program(len(raw) // 8, ctypes.cast(self._code, ctypes.c_char_p))

    def install(self) -> None:
        """Confine this process for good; needs no-new-privileges.

        Raises:
            OSError: the kernel has no seccomp filters or refused.
        """
        libc.prctl(_SECCOMP_PRCTL, ctypes.c_ulong(_FILTER), ctypes.byref(self._program))
