"""SHA-256 of everything in a model directory, read so that no link or special file can slip another content in."""

import hashlib
import os
import re
import stat
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from ssd_plugin.core.files import is_mostly_holes
from ssd_plugin.core.jsonl import sha256_json
from ssd_plugin.errors import TrustError

_MAX_DEPTH = 32  # real model directories are one or two levels deep; a hostile one could exhaust the stack
_CHUNK = 1 << 20
_OPEN = 64  # files held open at once, waiting for a core


def read_sha256(descriptor: int) -> str:
    """Hex SHA-256 of an open file's bytes, read from its beginning."""
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_digests(directory: Path, digest: Callable[[int], str] = read_sha256) -> dict[str, str]:
    """Hex SHA-256 of every file under `directory`, by its path relative to it ("/" between parts), sorted by path.

    Files are streamed (memory is a chunk a core), as many at once as there are cores: a model of 60 GB comes in shards, and one
    core would take a minute for it. Weights, adapters, tokenizer, chat template, generation config: whatever
    is in the directory is in the answer, so nothing can be added to a model without a change here. `digest`: how the SHA-256
    of one open file is had.

    Raises:
        TrustError: not a directory, no file in it, a symbolic link (but a hub cache's to its own blobs), a device or
            pipe, a file that is nearly all holes, a name with control characters, more than 32 levels, or an unreadable file; the
            message names the path.
    """
    digests: dict[str, str] = {}
    waiting: deque[tuple[str, Future[str]]] = deque()

    def collect() -> None:
        relative, found = waiting.popleft()
        try:
            digests[relative] = found.result()
        except OSError as error:
            raise TrustError(f"{directory / relative}: cannot be read ({error.strerror})") from error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for relative, stream in open_files(directory):
            waiting.append((relative, pool.submit(_digest_and_close, digest, os.dup(stream.fileno()))))
            if len(waiting) == _OPEN:
                collect()
        while waiting:
            collect()
    return dict(sorted(digests.items()))


def _digest_and_close(digest: Callable[[int], str], descriptor: int) -> str:
    try:
        return digest(descriptor)
    finally:
        os.close(descriptor)


def model_identity(digests: Mapping[str, str]) -> str:
    """One hex SHA-256 for a whole model: that of its `{path: digest}` in canonical JSON; order does not matter."""
    return sha256_json(dict(digests))


def copy_model(source: Path, target: Path) -> None:
    """Copy every regular file of `source` to the new directory `target`, each flushed to disk; refuses what
    `model_digests` refuses. The caller digests the copy: only that says what was copied.

    Raises:
        TrustError: as `model_digests`.
        FileExistsError: `target` exists.
    """
    target.mkdir(parents=True)
    for relative, stream in open_files(source):
        path = target / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        copy_stream(stream, path)
    for folder in (target, *(p for p in target.rglob("*") if p.is_dir())):
        sync_directory(folder)


def copy_stream(stream: BinaryIO, target: Path) -> str:
    """Copy an open file to the new file `target`, flushed to disk; the hex SHA-256 of what was copied.

    Holes stay holes: a file that is large in name only must not fill the disk.
    """
    digest = hashlib.sha256()
    with target.open("xb") as copy:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if chunk.count(0) == len(chunk):
                copy.seek(len(chunk), os.SEEK_CUR)
            else:
                copy.write(chunk)
        copy.truncate()
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()


def sync_directory(directory: Path) -> None:
    """Flush a directory's entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def first_difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """The first file that is missing, changed or extra in `found`, in words; None when both are the same."""
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            return f"{path} is missing"
        if path not in expected:
            return f"{path} is not among the files that were judged"
        if expected[path] != found[path]:
            return f"{path} was changed (SHA-256 {found[path][:12]}..., judged {expected[path][:12]}...)"
    return None


def open_files(directory: Path, holder: int = 0) -> Iterator[tuple[str, BufferedReader]]:
    """Yield (relative path, open file) for every regular file below `directory`, in sorted order.

    Directories are walked by descriptor and files opened without following links, so that a path swapped for a link
    while we look cannot lead out of the directory. `holder`: the process whose open files the directory's links may lead to
    (`gating.held_model`); 0: none.

    Raises:
        TrustError: as `model_digests`.
    """
    if not directory.is_dir():
        raise TrustError(f"{directory}: not a directory; give the directory with the model's files")
    directory = (
        directory.resolve()
    )  # the directory itself may be given by a link (a registry's alias), nothing in it may
    empty = True
    try:
        for top, folders, names, descriptor in os.fwalk(directory, onerror=_refuse):
            folders.sort()
            here = Path(top).relative_to(directory)
            if len(here.parts) > _MAX_DEPTH:
                raise TrustError(f"{directory}: more than {_MAX_DEPTH} levels of folders")
            for folder in folders:
                _require_kind(directory, here / folder, os.stat(folder, dir_fd=descriptor, follow_symlinks=False))
            for name in sorted(names):
                empty = False
                yield from _open_one(directory, here / name, descriptor, holder)
    except OSError as error:
        raise TrustError(f"{error.filename or directory}: cannot be read ({error.strerror})") from error
    if empty:
        raise TrustError(f"{directory}: has no files; give the directory with the model's weights")


def _refuse(error: OSError) -> None:
    raise error  # the default skips a folder that cannot be listed, and its files with it


def _open_one(directory: Path, relative: Path, parent: int, holder: int) -> Iterator[tuple[str, BufferedReader]]:
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    status = os.stat(relative.name, dir_fd=parent, follow_symlinks=False)
    target = os.readlink(relative.name, dir_fd=parent) if stat.S_ISLNK(status.st_mode) else ""
    if holder and re.fullmatch(rf"/proc/{holder}/fd/\d+", target):
        descriptor = os.open(target, flags & ~os.O_NOFOLLOW)
    elif (blob := _hub_blob(directory, relative, target)) is not None:
        descriptor = _open_blob(directory, relative, parent, blob, flags)
    else:
        _require_kind(directory, relative, status)
        descriptor = os.open(relative.name, flags, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as stream:
        _require_kind(directory, relative, os.fstat(descriptor))
        if is_mostly_holes(descriptor):
            shown = ascii(relative.as_posix())[1:-1]
            raise TrustError(f"{directory}: {shown} is large in name only, nearly all of it holes; remove it")
        yield relative.as_posix(), stream


def _hub_blob(directory: Path, relative: Path, target: str) -> str | None:
    """The blob's name, if this is the one kind of link that is followed: a hub cache keeps MODEL/snapshots/COMMIT/FILE as
    a link into MODEL/blobs."""
    if directory.parent.name != "snapshots" or not target:
        return None
    path = Path(os.path.normpath((directory / relative).parent / target))
    return path.name if path.parent == directory.parent.parent / "blobs" else None


def _open_blob(directory: Path, relative: Path, parent: int, name: str, flags: int) -> int:
    """Open a hub cache's blob by its folder, which must be one: from an open folder, ".." follows no link."""
    shown = Path(*[".."] * (len(relative.parts) + 1), "blobs")
    try:
        blobs = os.open(shown, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        raise TrustError(
            f"{directory}: {ascii(str(relative))[1:-1]} is a symbolic link to a folder of blobs that is a link itself or "
            "cannot be opened; copy the model with its links resolved (cp -rL)"
        ) from error
    try:
        _require_kind(directory, relative, os.stat(name, dir_fd=blobs, follow_symlinks=False))
        return os.open(name, flags, dir_fd=blobs)
    finally:
        os.close(blobs)


def _require_kind(directory: Path, relative: Path, status: os.stat_result) -> None:
    shown = ascii(relative.as_posix())[1:-1]
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in str(relative)):
        raise TrustError(f"{directory}: the name {shown} has control characters or is not UTF-8; rename it")
    if stat.S_ISLNK(status.st_mode):
        raise TrustError(f"{directory}: {shown} is a symbolic link; copy the model with its links resolved (cp -rL)")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise TrustError(f"{directory}: {shown} is neither a file nor a folder; remove it")
