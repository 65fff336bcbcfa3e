"""The private scratch directory: how full it is, and emptying it whatever a program left there."""

import os
from pathlib import Path

from ssd_plugin.sandbox.limits import MIB, Limits


def is_over(scratch: str, limits: Limits) -> bool:
    """Whether more lies below `scratch` than the limits allow (stops counting there).

    What cannot be counted is too much: a directory that nobody may read, or one so deep that no path names it.
    """
    room, files, waiting = limits.scratch_mib * MIB, limits.scratch_files, [scratch]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files -= 1
                    room -= _size(entry)
                    if files < 0 or room < 0:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it vanished meanwhile
        except OSError:
            return True
    return False


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:  # it vanished meanwhile; the others of its directory are still to be counted
        return 0


def empty(scratch: str) -> None:
    """Delete everything below `scratch`, however deep: nested directories are first moved up, so nothing recurses.

    They are moved to names that no program can have foreseen, and so cannot have made beforehand.

    Raises:
        OSError: something cannot be deleted.
    """
    while True:
        with os.scandir(scratch) as entries:
            found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        if not found:
            return
        for path, is_directory in found:
            if not is_directory:
                Path(path).unlink()
                continue
            Path(path).chmod(0o700)
            with os.scandir(path) as entries:
                for entry in list(entries):
                    if entry.is_dir(follow_symlinks=False):
                        Path(entry.path).chmod(0o700)
                        Path(entry.path).rename(f"{scratch}/.moved-{os.urandom(16).hex()}")
                    else:
                        Path(entry.path).unlink()
            Path(path).rmdir()
