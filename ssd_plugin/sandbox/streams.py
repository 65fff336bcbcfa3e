"""The standard streams of a graded script: names for them, and what the interpreter writes to them at its end."""

import builtins
import contextlib
import functools
import gc
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from ssd_plugin.sandbox import libc

# There is no /proc inside, to which these would be links.
_NAMES = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2} | {
    f"{place}/{number}": number for place in ("/dev/fd", "/proc/self/fd") for number in range(3)
}
_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def _by_name(path: object) -> int | None:
    """The descriptor that a path names, None for every other path."""
    if isinstance(path, str | bytes | os.PathLike):
        return _NAMES.get(os.fsdecode(path))
    return None


def give_names() -> None:
    """From now on `open("/dev/stdin")` and its like open a copy of this process's own descriptor."""

    def naming(function: Callable[..., Any], opens: bool) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(file: Any, *arguments: Any, **keywords: Any) -> Any:
            number = _by_name(file)
            if number is None:
                return function(file, *arguments, **keywords)
            return function(os.dup(number), *arguments, **keywords) if opens else os.dup(number)

        return call

    builtins.open = io.open = naming(io.open, opens=True)
    os.open = naming(os.open, opens=False)


def flush_at_exit(script: str) -> None:
    """Write what is still buffered, as the interpreter does when the module `script` has come to its end.

    First the standard streams, whatever the script put there, then every other stream; then the script's objects end,
    and may write once more; last the streams of C.

    Raises:
        Exception: a standard stream cannot be written (whatever the script's own object raises).
    """
    if sys.stdout is not None and not getattr(sys.stdout, "closed", False):
        sys.stdout.flush()
    sys.stdout, sys.stderr, sys.stdin = sys.__stdout__, sys.__stderr__, sys.__stdin__
    _flush_all()  # before the collection: that of a cycle may close a file before the buffer over it is written
    sys.modules.pop(script, None)
    gc.collect()
    _flush_all()
    libc.flush_c_streams()


def _flush_all() -> None:
    for thing in gc.get_objects():
        if type(thing) in _WRITERS:
            with contextlib.suppress(OSError, ValueError):
                thing.flush()
