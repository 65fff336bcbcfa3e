"""The secret by which this user's grader knows what it wrote: rows when it goes on after a kill, and whole result files."""

import functools
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ssd_plugin.core.jsonl import dumps
from ssd_plugin.core.user_state import state_file

SIZE = 32


def key_file() -> Path:
    """Where the key lies, in this user's state directory."""
    return state_file("grading.key")


def grading_key() -> bytes:
    """32 bytes, made on first use in a file that this user alone may read. Where that cannot be, a key for this process alone,
    so that nothing of an earlier one is known again; one line on stderr says so."""
    try:
        path = key_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.path.lexists(path):
            _make(path)
        return _read(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
        return _for_this_process(" ".join(str(error).split()))


def authentication(meta: Mapping[str, Any]) -> str:
    """What only this user's grader can say of a result file: a keyed digest of its sidecar, which has the digest of its rows."""
    return hmac.digest(grading_key(), b"sidecar\n" + dumps(dict(meta)).encode(), hashlib.sha256).hex()


@functools.cache
def _for_this_process(reason: str) -> bytes:
    click.echo(f"ssd: note: what is graded now will have to be graded again by the next command ({reason})", err=True)
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
