"""Canary programs that try to get out of the sandbox, or to take more than their share.

Each defines `f(secret_file, folder, port, unix_socket, pid, mounts)` and returns "blocked", or says how it got out; so a pass
shows that it ran to its end and found every door shut.
"""

_HEAD = """
import ctypes, os, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def tried(*attempts):
    for number, attempt in enumerate(attempts):
        try:
            result = attempt()
        except (OSError, MemoryError, RuntimeError, ValueError):
            continue
        if result is not None and result is not False and result != -1:
            return f"escaped by way {number}: {str(result)[:60]}"
    return "blocked"

def read(path):
    with open(path, "rb") as stream:
        return stream.read(40) or None

def write(path):
    with open(path, "wb") as stream:
        stream.write(b"x")
    return path

def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.settimeout(0.2)
        s.connect(address)
        return s.send(b"x")
"""

_ESCAPES = {
    "reads the user's files": """
def f(secret, folder, port, path, pid, mounts):
    def through_link():
        os.symlink(secret, "link")
        return read("link")
    return tried(
        lambda: read(secret), lambda: read("/etc/shadow"), lambda: read("/etc/passwd"), through_link,
        lambda: read("/proc/self/root" + secret), lambda: read("../" * 30 + secret[1:]), lambda: os.listdir("/root"),
        lambda: os.listdir(folder), lambda: os.listdir("/home"), lambda: libc.open(secret.encode(), 0),
        lambda: read(os.path.join("/proc/1/root", secret[1:])),
    )
""",
    "reads other processes": """
def f(secret, folder, port, path, pid, mounts):
    ways = []
    for number in (1, pid, os.getppid(), os.getpid(), "self", "thread-self"):
        for name in ("environ", "cmdline", "maps", "mem"):
            ways.append(lambda p=f"/proc/{number}/{name}": read(p))
    for number in range(3, 20):
        ways.append(lambda p=f"/proc/{pid}/fd/{number}": read(p))
    ways += [lambda: libc.ptrace(16, pid, 0, 0), lambda: libc.ptrace(0, 0, 0, 0),
             lambda: libc.process_vm_readv(pid, None, 0, None, 0, 0), lambda: os.pidfd_open(pid)]
    return "escaped: environment" if "PATH" in os.environ else tried(*ways)
""",
    "writes outside": """
def f(secret, folder, port, path, pid, mounts):
    places = [folder + "/x", "/tmp/ssd-canary", "/dev/shm/ssd-canary", "/var/tmp/ssd-canary", os.__file__, secret]
    ways = [lambda p=p: write(p) for p in places]
    ways += [lambda: os.unlink(secret) or True, lambda: libc.unlink(secret.encode()), lambda: os.chmod(secret, 0) or True,
             lambda: os.utime(secret) or True, lambda: os.truncate(secret, 0) or True, lambda: os.mkdir(folder + "/d") or True,
             lambda: os.rename(secret, "mine") or True, lambda: os.link(secret, "mine") or True,
             lambda: os.open(secret, os.O_RDONLY | os.O_TRUNC), lambda: os.mknod(folder + "/n") or True,
             lambda: os.symlink("x", folder + "/s") or True, lambda: os.chown(secret, 65534, 65534) or True]
    return tried(*ways)
""",
    "writes under every mount": """
def f(secret, folder, port, path, pid, mounts):
    def new(place):
        return os.open(place + "/ssd-canary", os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK) or True
    def old(place):
        return os.open(place, os.O_WRONLY | os.O_NONBLOCK) or True
    return tried(*[lambda w=way, p=place: w(p) for place in mounts for way in (new, old)])
""",
    "locks files of the library": """
def f(secret, folder, port, path, pid, mounts):
    import fcntl
    stream = open(sys.path[0] + "/os.py", "rb")
    return tried(lambda: fcntl.fcntl(stream, 1024, 0) or True, lambda: fcntl.fcntl(stream, 1026, 1) or True,
        lambda: fcntl.fcntl(stream, 37, bytes(32)), lambda: libc.inotify_init(), lambda: libc.fanotify_init(0, 0))
""",
    "opens connections": """
def f(secret, folder, port, path, pid, mounts):
    def asks():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            return s.sendto(b"x", ("127.0.0.1", port))
    def listens():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0)); s.listen()
            return "listens"
    def through_pair():
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return a.sendto(b"x", path)
    return tried(lambda: connect(socket.AF_INET, ("127.0.0.1", port)), lambda: connect(socket.AF_INET6, ("::1", port)),
        lambda: connect(socket.AF_UNIX, path), lambda: connect(socket.AF_UNIX, chr(0) + path), asks, listens, through_pair,
        lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0), lambda: libc.socket(2, 1, 0))
""",
    "signals others": """
def f(secret, folder, port, path, pid, mounts):
    import fcntl, signal
    def by_descriptor():
        a, b = os.pipe()
        fcntl.fcntl(a, fcntl.F_SETOWN, pid)
        return True
    return tried(lambda: os.kill(pid, 0) or True, lambda: os.kill(os.getppid() or pid, 0) or True,
        lambda: libc.kill(pid, 0), lambda: os.killpg(os.getpgid(0), 0) or True, by_descriptor,
        lambda: libc.syscall(424, 3, 0, 0, 0), lambda: libc.tgkill(pid, pid, 0))
""",
    "starts processes": """
def f(secret, folder, port, path, pid, mounts):
    def fork():
        child = os.fork()
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
        return child
    def daemon():
        child = libc.fork()
        if child == 0:
            os.setsid()
            if libc.fork() == 0: time.sleep(0.2)
            os._exit(0)
        return child
    def bomb():
        for _ in range(20):
            if libc.vfork() == 0: libc._exit(0)
        return True
    import subprocess
    return tried(fork, daemon, lambda: subprocess.run([sys.executable or "/bin/true"]).returncode,
        lambda: os.execv("/bin/true", ["true"]), lambda: os.posix_spawn("/bin/true", ["true"], {}))
""",
    "changes its confinement": """
def f(secret, folder, port, path, pid, mounts):
    import resource
    return tried(lambda: os.setuid(0) or True, lambda: libc.unshare(0x10000000), lambda: libc.setns(0, 0),
        lambda: libc.mount(b"none", b"/", b"tmpfs", 0, None), lambda: libc.chroot(b"."), lambda: libc.prctl(22, 0, 0, 0, 0),
        lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)) or True, lambda: os.nice(-5),
        lambda: libc.personality(0xffffffff), lambda: libc.syscall(425, 8, 0), lambda: libc.syscall(321, 0, 0, 0),
        lambda: libc.syscall(323, 0), lambda: libc.memfd_create(b"x", 0), lambda: libc.shmget(0, 4096, 0o1600),
        lambda: libc.semget(0, 1, 0o1600), lambda: libc.msgget(0, 0o1600), lambda: libc.timerfd_create(1, 0),
        lambda: libc.syscall(248 if os.uname().machine == "x86_64" else 217, b"user", b"x", b"y", 1, -4))
""",
}

_GREEDY = {
    "allocates 2 GiB": """
def f(secret, folder, port, path, pid, mounts):
    return tried(lambda: len(bytearray(2 << 30)), lambda: len([0] * (1 << 28)))
""",
    "starts threads without end": """
def f(secret, folder, port, path, pid, mounts):
    threading.stack_size(65536)
    done, started = threading.Event(), []
    try:
        for _ in range(600):
            t = threading.Thread(target=done.wait, daemon=True); t.start(); started.append(t)
    except (RuntimeError, MemoryError):
        return "blocked"
    finally:
        done.set()
    return "escaped: 600 threads"
""",
    "unpacks a bomb": """
def f(secret, folder, port, path, pid, mounts):
    import zlib
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # a megabyte in a kilobyte, repeatable
    return tried(lambda: len(zlib.decompress(block * 256 + packer.flush(), -15)))
""",
    "floods the scratch": """
def f(secret, folder, port, path, pid, mounts):
    files = 0
    try:
        for files in range(4000):
            with open(f"flood-{files}", "wb") as stream: stream.write(bytes(1 << 16))
    except OSError:
        return "blocked"
    return f"escaped: {files} files"
""",
    "writes one big file": """
def f(secret, folder, port, path, pid, mounts):
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def big():
        with open("big", "wb") as stream:
            for _ in range(128): stream.write(bytes(1 << 20))
        return True
    return tried(big)
""",
}

ESCAPES = {name: _HEAD + body for name, body in _ESCAPES.items()}
GREEDY = {name: _HEAD + body for name, body in _GREEDY.items()}

# Must be ended from outside, by the limit on CPU time.
ENDLESS = {
    "swallows every exception": "def f(x):\n    while True:\n        try:\n            while True: pass\n"
    "        except BaseException: pass\n",
    "catastrophic pattern": "import re\ndef f(x): return re.match('(a+)+$', 'a' * 40 + 'b')\n",
    "never loads": "while True: pass\n",
}

# Must be ended from outside, by the limit on wall time.
SLEEPING = {
    "ignores every signal": "import signal, time\nfor s in signal.valid_signals():\n    try: signal.signal(s, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\ndef f(x):\n    while True: time.sleep(9)\n",
}
