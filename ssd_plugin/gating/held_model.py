"""Holds a model as it was when it was digested: gates read copies of its small files and the opened large ones.

Whoever can write where the model is may exchange files while gates look and put them back. The copies are made of the bytes
that were digested. Weights are too large to copy: they stay open, gates reach them by links to the open files, and that
nobody wrote into them is known from their inodes' times, which only the kernel sets.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO

from ssd_plugin.core.digests import copy_stream, open_files
from ssd_plugin.errors import GateError, TrustError
from ssd_plugin.gating.verdict import Subject

_COPIED = 128 * 2**20  # bytes of one file, and 4 times that of all: no configuration or tokenizer is larger
# What may be larger: weights, in every framework's form (which of them a candidate may have is for the artifact gate to say).
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".onnx_data")
_Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class HeldModel:
    """`source`: where the model is. `directory`: what gates read, empty of anything that was not digested.
    `digests`: hex SHA-256 by relative path; `sizes` in bytes likewise."""

    source: Path
    directory: Path
    digests: dict[str, str]
    sizes: dict[str, int]
    _stamps: dict[str, _Stamp] = field(repr=False)
    _open: dict[str, BinaryIO] = field(repr=False)

    def changed(self) -> str | None:
        """The first file that is not the one that was digested, untouched since; None if every one is.

        Raises:
            TrustError: as `digests.open_files`.
        """
        now = {name: _stamp(stream) for name, stream in open_files(self.source)}
        now |= {name: _stamp(stream) for name, stream in self._open.items() if _stamp(stream) != self._stamps[name]}
        return next((n for n in sorted(now.keys() | self._stamps.keys()) if now.get(n) != self._stamps.get(n)), None)


def _stamp(stream: BinaryIO) -> _Stamp:
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hold(source: Path, directory: Path, stack: ExitStack, pool: ThreadPoolExecutor) -> HeldModel:
    """Digest the model in `source` and hold it in the new `directory`; its files stay open until `stack` closes.

    Raises:
        TrustError: as `digests.model_digests`; or a file was written while it was read, or is too large for what it is.
    """
    directory.mkdir(parents=True)
    stamps: dict[str, _Stamp] = {}
    streams: dict[str, BinaryIO] = {}
    digests: dict[str, str] = {}
    waiting: dict[str, Future[str]] = {}
    copied = 0
    try:
        for name, stream in open_files(source):
            stamps[name] = _stamp(stream)
            size, target = stamps[name][2], directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if size > _COPIED and not name.endswith(_WEIGHTS):
                shown = ascii(name)[1:-1]
                raise TrustError(
                    f"{source}: {shown} is larger than {_COPIED >> 20} MiB and holds no weights; remove it"
                )
            if not name.endswith(_WEIGHTS[:2]) and size <= _COPIED and copied + size <= 4 * _COPIED:
                copied += size
                digests[name] = copy_stream(stream, target)
                _require_still(source, [(name, stream)], stamps)
                continue
            kept = stack.enter_context(os.fdopen(os.dup(stream.fileno()), "rb"))
            target.symlink_to(f"/proc/{os.getpid()}/fd/{kept.fileno()}")
            streams[name] = kept
            waiting[name] = pool.submit(lambda file: file_digest(file, "sha256").hexdigest(), kept)
        digests |= {name: future.result() for name, future in waiting.items()}
    except OSError as error:
        raise TrustError(f"{error.filename or source}: cannot be read or held ({error.strerror})") from error
    _require_still(source, list(streams.items()), stamps)
    return HeldModel(
        source=source,
        directory=directory,
        digests=dict(sorted(digests.items())),
        sizes={name: stamp[2] for name, stamp in stamps.items()},
        _stamps=stamps,
        _open=streams,
    )


def _require_still(source: Path, streams: Sequence[tuple[str, BinaryIO]], stamps: dict[str, _Stamp]) -> None:
    for name, stream in streams:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode) or _stamp(stream) != stamps[name]:
            raise TrustError(
                f"{source / name}: was written to while it was read; leave it alone and run ssd gate again"
            )


def hold_all(models: Mapping[str, Path | None], directory: Path, stack: ExitStack) -> dict[str, HeldModel]:
    """The models that were given, by role, as they are now; below the new `directory` each in one of its own.

    Raises:
        TrustError: as `digests.model_digests`, or a file was written while it was read.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {
            role: _hold(source, directory / role, stack, pool) for role, source in models.items() if source is not None
        }


def model_subjects(models: Mapping[str, HeldModel]) -> list[Subject]:
    """What the verdict says was judged: each file with its digest and its size in bytes."""
    return [
        Subject(role=role, path=name, sha256=digest, size=held.sizes[name])
        for role, held in models.items()
        for name, digest in held.digests.items()
    ]


def require_untouched(models: Mapping[str, HeldModel]) -> None:
    """Raise GateError that names the first file that was changed since it was digested."""
    for role, held in models.items():
        if changed := held.changed():
            raise GateError(f"{role} {changed}: was changed while the gates ran; leave it alone and run ssd gate again")
