"""The secret by which this user's grader knows its own rows again when it goes on after a kill."""

import os
import secrets
import stat
import tempfile
from pathlib import Path

import click

from ssd_plugin.core.user_state import state_file

SIZE = 32


def key_file() -> Path:
    """Where the key lies, in this user's state directory."""
    return state_file("grading.key")


def grading_key() -> bytes:
    """32 bytes, made on first use in a file that this user alone may read. Where that cannot be, a key for this run alone,
    so that nothing of an earlier run is continued; one line on stderr says so."""
    try:
        path = key_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.path.lexists(path):
            _make(path)
        return _read(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
        reason = " ".join(str(error).split())
        click.echo(f"ssd: note: a grading run that is cut off cannot be continued ({reason})", err=True)
        return secrets.token_bytes(SIZE)


def _make(path: Path) -> None:
    """Whole or absent, and the first of several processes wins."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".grading.key.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(SIZE))
            stream.flush()
            os.fsync(stream.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if not stat.S_ISREG(found.st_mode) or not private or found.st_size != SIZE:
            raise PermissionError(f"{path}: is not a key that you alone may read; delete it")
        return stream.read(SIZE)
