"""User, mount, pid, network, ipc and uts namespaces with a root that holds nothing but Python's library.

Plain system calls: no helper program, no set-uid binary. Works for an ordinary user where user namespaces are
allowed, for root, and for root inside a container that forbids user namespaces but grants CAP_SYS_ADMIN.
"""

import contextlib
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL

from ssd_plugin.sandbox import libc

NOBODY = 65534
SINKS = ("/dev/null", "/dev/zero", "/dev/full")  # devices that keep nothing of what is written to them
DEVICES = (*SINKS, "/dev/urandom", "/dev/random")
_OCTAL = re.compile(r"\\([0-7]{3})")  # how mountinfo writes blanks and the like
_SPACES = libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWNET | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS
# What the host mounted with must be kept when a bind is made read-only.
_KEPT = {
    "noexec": libc.MS_NOEXEC,
    "nodev": libc.MS_NODEV,
    "noatime": libc.MS_NOATIME,
    "nodiratime": libc.MS_NODIRATIME,
    "relatime": libc.MS_RELATIME,
}


def enter(
    *, root: str, readable: Sequence[str], binds: dict[str, str], scratch: str, size_mib: int, files: int
) -> None:
    """Move this process into fresh namespaces; on return it is pid 1 of them and user `NOBODY` without capabilities.

    `root` is an empty directory to build the new root on, `binds` maps a path inside to a directory outside,
    `scratch` (the only writable place) is a memory file system of `size_mib` and `files` entries.
    The caller's own process stays outside and waits.

    Raises:
        OSError: namespaces are not permitted here (says which step failed).
    """
    was_root = os.geteuid() == 0
    _separate(was_root)
    _become_first_process()
    libc.mount("", "/", "", libc.MS_REC | libc.MS_PRIVATE)
    libc.mount("none", root, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "size=4m,mode=755")
    for path in readable:
        _show(path, root + path)
    for inside, outside in binds.items():
        _show(outside, root + inside)
    for device in DEVICES:
        _show(device, root + device)
    _make_read_only(root)
    Path(root + scratch).mkdir(parents=True, exist_ok=True)
    libc.mount("none", root + scratch, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, f"size={size_mib}m,nr_inodes={files}")
    Path(root + scratch).chmod(0o1777)
    sites = {str(Path(path).parent) for path in binds}  # Python lists these to find the packages in them
    _hide_names(root, [*readable, *sites, scratch])
    Path(root, ".old").mkdir()
    libc.pivot_root(root, root + "/.old")
    libc.mount("", "/", "", libc.MS_REMOUNT | libc.MS_BIND | libc.MS_RDONLY | libc.MS_NOSUID | libc.MS_NODEV)
    socket.sethostname("sandbox")
    if was_root:
        become_nobody()
    libc.drop_capabilities()
    libc.prctl(libc.PDEATHSIG, int(SIGKILL))  # again: a change of user clears it


def become_nobody() -> str:
    """Change to user `NOBODY`; where that user does not exist (a container with one user), say so and stay.

    Staying is safe only together with `libc.drop_capabilities`.
    """
    try:
        libc.change_user(NOBODY)
    except OSError as error:
        return f"programs run as the grader's own user, without its capabilities ({error.strerror})"
    return ""


def _separate(was_root: bool) -> None:
    if not was_root:
        user, group = os.geteuid(), os.getegid()
        libc.unshare(libc.CLONE_NEWUSER | _SPACES)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")
        return
    # Two users must be mapped, root (to build the new root) and nobody (to become): only a process outside may
    # write such a map, so a helper is forked first.
    ready, go = os.pipe()
    target = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(go)
        code = 1
        with contextlib.suppress(OSError):
            if os.read(ready, 1):
                _map_users(f"/proc/{target}")
            code = 0
        os._exit(code)
    os.close(ready)
    try:
        libc.unshare(libc.CLONE_NEWUSER | _SPACES)
        os.write(go, b"1")
    except OSError:
        libc.unshare(_SPACES)  # no user namespaces here; root may do without
    finally:
        os.close(go)
        _, status = os.waitpid(helper, 0)
    if status:
        raise PermissionError("user namespace: its user map cannot be written")


def _map_users(process: str) -> None:
    """Map root and `NOBODY`; root alone where the grader's own user namespace has no `NOBODY`."""
    for name in ("uid_map", "gid_map"):
        try:
            Path(process, name).write_text(f"0 0 1\n{NOBODY} {NOBODY} 1")
        except OSError:
            if name == "gid_map":
                Path(process, "setgroups").write_text("deny")
            Path(process, name).write_text("0 0 1")


def _become_first_process() -> None:
    child = os.fork()
    if child:
        # The grader's process waits here, holding nothing: closing its socket would end the wait for the zygote.
        os.closerange(0, 1024)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    libc.prctl(libc.PDEATHSIG, int(SIGKILL))
    os.setsid()


def mounts() -> list[tuple[str, set[str]]]:
    """Every mount that this process sees, oldest first: its path and its own options (`ro`, `nodev`, ...)."""
    fields = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()]
    return [(_OCTAL.sub(lambda found: chr(int(found[1], 8)), field[4]), set(field[5].split(","))) for field in fields]


def _make_read_only(root: str) -> None:
    """Remount what is still writable below `root`, each mount by itself: a remount does not reach the mounts below it.

    Raises:
        OSError: one of them stays writable, were it only one that another covers and no path reaches.
    """
    devices = {root + device for device in DEVICES}
    for path, options in mounts():
        if path.startswith(root + "/") and not {"ro", "nosuid"} <= options:
            flags = libc.MS_REMOUNT | libc.MS_BIND | libc.MS_RDONLY | libc.MS_NOSUID
            flags |= 0 if path in devices else libc.MS_NODEV
            libc.mount("", path, "", flags | sum(flag for name, flag in _KEPT.items() if name in options))
    for path, options in mounts():
        if path.startswith(root + "/") and "ro" not in options:
            raise PermissionError(f"the mount at {path.removeprefix(root)} cannot be made read-only")


def _hide_names(root: str, shown: Sequence[str]) -> None:
    """Let nobody list the folders above what is shown: their names are the host's, a user's home among them."""
    above = {folder for path in shown for folder in Path(root + path).parents if Path(root) in folder.parents}
    device = Path(root).stat().st_dev
    for folder in above:
        if folder.stat().st_dev == device:
            folder.chmod(0o111)


def _show(outside: str, inside: str) -> None:
    """Bind a file or directory with the mounts below it, or repeat a symbolic link."""
    source, target = Path(outside), Path(inside)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        if not target.is_symlink():
            target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    libc.mount(outside, inside, "", libc.MS_BIND | libc.MS_REC)
    with contextlib.suppress(OSError):  # then `_make_read_only` does it mount by mount
        libc.make_read_only(inside, devices=outside in DEVICES)
