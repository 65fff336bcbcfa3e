"""Wheel and sdist of the last commit into dist/, the same bytes every time, with their SHA256SUMS: `make wheel`."""

import gzip
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

BUILD = "import sys; from setuptools import build_meta as b; out = sys.argv[1]; b.build_wheel(out); b.build_sdist(out)"


def git(*arguments: str) -> bytes:
    """What git prints about the checkout that this file is in."""
    return subprocess.run(
        ["git", "-C", str(Path(__file__).parents[1]), *arguments], check=True, stdout=subprocess.PIPE
    ).stdout


def repack(sdist: Path, epoch: int) -> None:
    """Take what depends on the hour and the user out of an sdist: times, owners, order."""
    with tarfile.open(sdist) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        contents = [archive.extractfile(member) if member.isfile() else None for member in members]
        with (
            sdist.with_suffix(".new").open("wb") as raw,
            gzip.GzipFile("", "wb", mtime=epoch, fileobj=raw) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for member, content in zip(members, contents, strict=True):
                member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                member.pax_headers = {}
                new.addfile(member, content)
    sdist.with_suffix(".new").replace(sdist)


def build(out: Path) -> list[Path]:
    """Build both from the committed files alone, dated by the commit; the paths of wheel, sdist and SHA256SUMS."""
    epoch = int(git("log", "-1", "--format=%ct"))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source, built = Path(scratch, "source"), Path(scratch, "built")
        source.mkdir()
        built.mkdir()
        tree = Path(scratch, "tree.tar")
        tree.write_bytes(git("archive", "--format=tar", "HEAD"))
        with tarfile.open(tree) as archive:
            archive.extractall(source, filter="data")
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
        subprocess.run(
            [sys.executable, "-c", BUILD, str(built)],
            cwd=source,
            env=environment,
            umask=0o022,  # modes of the files are part of a wheel
            check=True,
            stdout=subprocess.DEVNULL,
        )
        repack(next(built.glob("*.tar.gz")), epoch)
        files = [out / path.name for path in sorted(built.iterdir())]
        for path in files:
            path.write_bytes((built / path.name).read_bytes())
    sums = out / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files))
    return [*files, sums]


if __name__ == "__main__":
    print("\n".join(map(str, build(Path(sys.argv[1])))))
