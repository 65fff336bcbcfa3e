"""An output directory that somebody else could write in first: nothing in it leads a writer elsewhere."""

import os
from pathlib import Path

from ssd_plugin.errors import DataError


def refuse_planted(root: Path) -> None:
    """Refuse a directory with a link that leads out of it, or a pipe, device or socket, at any level: what is written below it
    would replace or fill something of the host's, or wait for ever. Links within it are fine (trackers keep some); so is a
    `root` that is a link itself, which its user named.

    Raises:
        DataError: names the first one; or a folder cannot be listed.
    """
    inside, waiting = os.path.realpath(root), [str(root)]
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.is_symlink():
                if os.path.commonpath([inside, os.path.realpath(entry.path)]) != inside:
                    raise DataError(f"{entry.path}: is a link out of {root}, where output goes; delete it")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                raise DataError(f"{entry.path}: is a pipe, device or socket among the output; delete it")


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []  # a stage that is running has just removed it
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
