"""One suite that every sandbox tier runs; what a tier does not promise is skipped with the reason."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ssd_plugin.errors import SandboxError
from ssd_plugin.grading.canaries import run_canaries
from ssd_plugin.grading.judge import Judgement, judge
from ssd_plugin.sandbox import library
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.pool import Pool
from ssd_plugin.sandbox.tiers import SandboxTier, try_tier
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.published import livecodebench
from ssd_plugin.tasks.schema import AssertCheck, FunctionCheck, Status, StdioCheck, Task


@pytest.fixture(scope="module", params=list(SandboxTier))
def tier(request: pytest.FixtureRequest) -> SandboxTier:
    found = try_tier(request.param)
    if not found.available:
        pytest.skip(f"{found.tier} is not available here: {found.reason}")
    return found.tier


@pytest.fixture(scope="module")
def worker(tier: SandboxTier) -> Iterator[Worker]:
    with Worker(tier, Limits()) as started:
        yield started


def boundary(tier: SandboxTier) -> None:
    if not tier.can_earn_go:
        pytest.skip(f"{tier} limits resources only and promises no isolation")


def call(worker: Worker, program: str, *arguments: object, expected: object = "ok", **limits: float) -> Judgement:
    check = FunctionCheck(entry_point="f", inputs=(arguments,), expected=(expected,))
    return judge(worker, Task(task_id="t", prompt="", check=check), program, Limits(**limits))  # type: ignore[arg-type]


def test_all_canaries_are_judged_right(tier: SandboxTier) -> None:
    with Pool(tier, 2, Limits()) as pool:
        assert run_canaries(pool, tier) > 45


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("def f(x): return 'ok'\n", Status.PASS),
        ("def f(x): return 'no'\n", Status.FAIL),
        ("def f(x): raise ValueError(x)\n", Status.FAIL),
        ("def g(x): return 'ok'\n", Status.FAIL),
        ("import sys\nsys.exit(0)\n", Status.FAIL),
        ("def f(x: return 'ok'\n", Status.SYNTAX),
        ("import os\ndef f(x): os._exit(0)\n", Status.CRASH),
        ("import ctypes\ndef f(x): ctypes.string_at(0)\n", Status.CRASH),
        ("def f(x): return [0] * (1 << 40)\n", Status.FAIL),
    ],
)
def test_statuses(worker: Worker, program: str, status: Status) -> None:
    assert call(worker, program, 1).status is status


def test_cpu_limit_ends_a_program_that_swallows_everything(worker: Worker) -> None:
    program = (
        "def f():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n"
    )
    found = call(worker, program, cpu_seconds=1.0, wall_seconds=60.0)
    assert (found.status, found.again) == (Status.TIMEOUT, True)
    assert "CPU" in found.detail


def test_wall_limit_ends_a_program_that_sleeps(worker: Worker) -> None:
    started = time.monotonic()
    found = call(worker, "import time\ndef f(): time.sleep(60)\n", wall_seconds=0.3)
    assert found.status is Status.TIMEOUT
    assert time.monotonic() - started < 20


def test_memory_limit(worker: Worker) -> None:
    found = call(worker, "def f(): return len(bytearray(300 << 20))\n", expected=300 << 20, memory_mib=200)
    assert found.status is Status.FAIL
    assert "MemoryError" in found.detail


def test_scratch_is_writable_and_empty_for_the_next_program(worker: Worker) -> None:
    deep = "import os\ndef f():\n    for _ in range(300):\n        os.mkdir('d'); os.chdir('d')\n    return 'ok'\n"
    used = "import tempfile, os\ndef f():\n    with tempfile.NamedTemporaryFile('w+', delete=False) as s:\n"
    used += "        s.write('ok'); s.seek(0)\n        return s.read()\n"
    for program in (deep, used, "import os\ndef f(): return 'ok' if os.listdir('.') == [] else os.listdir('.')\n"):
        assert call(worker, program).status is Status.PASS


def test_nothing_of_one_program_reaches_the_next(worker: Worker) -> None:
    secret = os.urandom(12).hex()
    assert (
        call(worker, "import json\njson.loads = None\ndef f(x): return x\n", secret, expected=secret).status
        is Status.PASS
    )
    search = "import gc, json\ndef f():\n    found = [o for o in gc.get_objects() if 'SECRET' in str(o)[:20000]]\n"
    search += "    return 'ok' if json.loads and len(found) <= 4 else 'found'\n"
    assert call(worker, search.replace("'SECRET'", f"'{secret[:6]}' + '{secret[6:]}'")).status is Status.PASS


def test_standard_library_beyond_the_preloaded_modules(worker: Worker) -> None:
    program = (
        "def f():\n    import xml.dom.minidom, sqlite3, csv, zoneinfo, asyncio, encodings.utf_16, unittest, json.tool\n"
    )
    program += "    async def g(): return 'ok'\n    return asyncio.run(g())\n"
    found = call(worker, program)
    assert found.status is Status.PASS, found.detail


def test_numpy_can_be_imported(worker: Worker) -> None:
    found = call(worker, "def f():\n    import numpy\n    return 'ok' if numpy.ones(3).sum() == 3 else 'no'\n")
    assert found.status is Status.PASS, found.detail


def test_threads_with_large_stacks_work(worker: Worker) -> None:
    program = "import threading, sys\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\nout = []\n"
    program += "def deep(n): return 0 if n == 0 else 1 + deep(n - 1)\n"
    program += "def f():\n    t = threading.Thread(target=lambda: out.append(deep(20000))); t.start(); t.join()\n"
    program += "    return out[0]\n"
    assert call(worker, program, expected=20000).status is Status.PASS


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("print(int(input()) + 1)\n", Status.PASS),
        ("import sys\nfor line in sys.stdin: print(int(line) + 1.0)\n", Status.PASS),
        ("print(int(open(0).read()) + 1, end='  \\n\\n')\n", Status.PASS),
        ("import threading\nthreading.Thread(target=lambda: print(int(input()) + 1)).start()\n", Status.PASS),
        ("import atexit\nn = int(input())\natexit.register(lambda: print(n + 1))\n", Status.PASS),
        ("import sys\nprint(int(input()) + 1)\nsys.exit()\n", Status.PASS),
        ("if __name__ == '__main__': print(int(input()) + 1)\n", Status.PASS),
        ("import sys\nprint(int(input()) + 1)\nsys.exit(3)\n", Status.PASS),
        ("import os\nprint(int(input()) + 1, flush=True)\nos._exit(0)\n", Status.PASS),
        ("import os\nprint(int(input()) + 1, flush=True)\nos._exit(3)\n", Status.FAIL),
        ("raise SystemExit(f'{int(input()) + 1}')\n", Status.FAIL),
        ("print(int(input()) + 1)\nexit()\n", Status.PASS),
        ("def main():\n    print(int(input()) + 1)\n    quit(0)\nmain()\n", Status.PASS),
        ("print(int(input()) + 1)\nexit(3)\n", Status.PASS),
        ("exit()\nprint(int(input()) + 1)\n", Status.FAIL),
        ("print(int(input()) + 1)\nraise ValueError\n", Status.FAIL),
        ("print(input())\n", Status.FAIL),
        ("print(", Status.SYNTAX),
        ("import ctypes\nctypes.string_at(0)\n", Status.CRASH),
    ],
)
def test_stdio_programs(worker: Worker, program: str, status: Status) -> None:
    task = Task(task_id="t", prompt="", check=StdioCheck(inputs=("41\n", "1\n"), expected=("42\n", "2\n")))
    found = judge(worker, task, program, Limits())
    assert found.status is status, found.detail


_FAST_IO = """
import os, sys
from io import BytesIO, IOBase
class FastIO(IOBase):
    def __init__(self, file):
        self._fd = file.fileno(); self.buffer = BytesIO(); self.write = self.buffer.write; self.writable = True
    def flush(self):
        os.write(self._fd, self.buffer.getvalue()); self.buffer.truncate(0); self.buffer.seek(0)
class IOWrapper(IOBase):
    def __init__(self, file):
        self.buffer = FastIO(file); self.flush = self.buffer.flush; self.writable = True
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
"""


@pytest.mark.parametrize(
    "program",
    [
        "import io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')\nprint(n)\n",
        "import io\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), write_through=False)\nprint(n)\n",
        _FAST_IO + "sys.stdout = IOWrapper(sys.stdout)\nprint(n)\n",
        "sys.stdout = open(1, 'w', buffering=65536)\nprint(n)\n",
        "out = open(1, 'w', closefd=False)\nprint(n, file=out)\n",
        "import os\nout = os.fdopen(1, 'w')\ndef main(): out.write(str(n))\nmain()\n",
        "out = open(1, 'wb')\nout.write(b'%d' % n)\n",
        "sys.keep = open(1, 'w')\nsys.keep.write(str(n))\n",
        "class End:\n    def __del__(self): print(n)\nend = End()\n",
        "import io\nsys.stdout = io.StringIO()\nprint('noise')\nprint(n, file=sys.__stdout__)\n",
        "import io\nsys.stdout, out = io.StringIO(), sys.stdout\nprint(n)\nout.write(sys.stdout.getvalue())\n",
        "import atexit\nout = open(1, 'w')\natexit.register(lambda: out.write(str(n)))\n",
        "import ctypes\nctypes.CDLL(None).printf(b'%d\\n', n)\n",
        "import os\nos.write(1, b'%d' % n)\n",
        "print(n, flush=True)\nsys.stdout.close()\n",
        "print(n, flush=True)\nsys.stdout = None\n",
        "import threading\nout = open(1, 'w')\nthreading.Thread(target=lambda: print(n, file=out)).start()\n",
        "print(n, file=open('/dev/stdout', 'w'))\n",
        "print(n)\nprint('noise', file=open('/dev/stderr', 'w'))\n",
        "print(n, file=open('/dev/fd/1', 'w'))\n",
    ],
)
@pytest.mark.parametrize("leave", ["", "sys.exit(0)\n", "exit()\n"])
def test_what_the_interpreter_flushes_at_its_end_is_output(worker: Worker, program: str, leave: str) -> None:
    task = Task(task_id="t", prompt="", check=StdioCheck(inputs=("41\n",), expected=("42\n",)))
    found = judge(worker, task, f"import sys\nn = int(input()) + 1\n{program}{leave}", Limits())
    assert found.status is Status.PASS, found.detail


@pytest.mark.parametrize(
    "text",
    [
        "open('/dev/stdin').read()",
        "open('/dev/fd/0').read()",
        "open('/proc/self/fd/0').read()",
        "__import__('pathlib').Path('/dev/stdin').read_text()",
        "__import__('io').open('/dev/stdin', 'rb').read()",
        "__import__('os').read(__import__('os').open('/dev/stdin', 0), 99)",
    ],
)
def test_standard_input_can_be_opened_by_name(worker: Worker, text: str) -> None:
    task = Task(task_id="t", prompt="", check=StdioCheck(inputs=("41\n",), expected=("42\n",)))
    found = judge(worker, task, f"print(int({text}) + 1)\n", Limits())
    assert found.status is Status.PASS, found.detail


@pytest.mark.parametrize(
    "body",
    [
        "    with open(os.devnull, 'w') as n, contextlib.redirect_stdout(n): print('noise')\n",
        "    sys.stderr = open('/dev/null', 'a'); print('noise', file=sys.stderr)\n",
        "    os.dup2(os.open(os.devnull, os.O_RDWR), 2)\n",
        "    open('/dev/zero', 'wb').write(b'x'); assert open('/dev/zero', 'rb').read(3) == bytes(3)\n",
        "    assert len(open('/dev/random', 'rb').read(3)) == 3\n",
        "    try: os.write(os.open('/dev/full', os.O_WRONLY), b'x')\n    except OSError as e: assert e.errno == 28\n",
        "    print('noise', file=open('/dev/stderr', 'w'))\n",
        "    with tempfile.TemporaryFile() as t: t.write(b'x')\n",
    ],
)
def test_devices_that_right_programs_use(worker: Worker, body: str) -> None:
    found = call(worker, f"import contextlib, os, sys, tempfile\ndef f():\n{body}    return 'ok'\n")
    assert found.status is Status.PASS, found.detail


@pytest.mark.parametrize("threads", [30, 60])
def test_a_burst_of_threads_within_the_limit(worker: Worker, threads: int) -> None:
    program = "import threading\ndef f(n):\n    go = threading.Event()\n"
    program += "    found = [threading.Thread(target=lambda: (go.wait(), bytearray(9999))) for _ in range(n)]\n"
    program += "    for t in found: t.start()\n    go.set()\n    for t in found: t.join()\n    return 'ok'\n"
    found = call(worker, program, threads)
    assert found.status is Status.PASS, found.detail


def test_locks_reach_nothing_outside(tier: SandboxTier, worker: Worker) -> None:
    boundary(tier)
    program = "import fcntl, os, time\ndef f():\n    s = open('/etc/ld.so.cache', 'rb')\n"
    program += "    fcntl.flock(s, fcntl.LOCK_EX | fcntl.LOCK_NB)\n    fcntl.lockf(s, fcntl.LOCK_SH | fcntl.LOCK_NB)\n"
    program += "    time.sleep(1)\n    return 'ok'\n"
    seen: list[Judgement] = []
    thread = threading.Thread(target=lambda: seen.append(call(worker, program)))
    thread.start()
    with Path("/etc/ld.so.cache").open("rb") as stream:
        while thread.is_alive():
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where the program holds a lock
            fcntl.flock(stream, fcntl.LOCK_UN)
            time.sleep(0.02)
    assert [found.status for found in seen] == [Status.PASS]


def test_a_database_in_a_file_works(worker: Worker) -> None:
    program = "import sqlite3\ndef f():\n    for _ in range(2):\n        with sqlite3.connect('x.db') as db:\n"
    program += "            db.execute('create table if not exists t(a)')\n            db.execute('insert into t values (1)')\n"
    program += "    return db.execute('select count(*) from t').fetchone()[0]\n"
    assert call(worker, program, expected=2).status is Status.PASS


_NO_LANDLOCK = """
import sys
from ssd_plugin.sandbox import libc
from ssd_plugin.sandbox.seccomp import Filter
libc.prctl(libc.NO_NEW_PRIVS, 1)
code = [(0x20, 0, 0, 0)]
for number in map(int, sys.argv[2].split(",")):
    code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38)]
Filter([*code, (0x06, 0, 0, 0x7FFF0000)]).install()
from ssd_plugin.grading.canaries import run_canaries
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.pool import Pool
from ssd_plugin.sandbox.tiers import SandboxTier
from ssd_plugin.sandbox.worker import Worker
with Pool("namespaces", 1, Limits()) as pool:
    run_canaries(pool, SandboxTier.NAMESPACES)
program = "def f(place):\\n    open(place + '/x', 'w').write('x')\\n"
with Worker("namespaces", Limits()) as worker:
    payload = {"program": program, "entry_point": "f", "inputs": [[sys.argv[1]]]}
    print(worker.run("function", [payload], Limits(), report_bytes=4096).report.decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a private mount needs root")
@pytest.mark.parametrize("missing", ["444,445,446", "442,444,445,446"], ids=["no landlock", "nor mount_setattr"])
def test_mounts_below_the_library_are_read_only_without_landlock(tier: SandboxTier, missing: str) -> None:
    if tier is not SandboxTier.NAMESPACES:
        pytest.skip("the other tiers mount nothing")
    place = next(path for path in ("/usr/lib/tmpfiles.d", "/usr/lib/sysctl.d") if Path(path).is_dir())
    script = f"mount --make-rprivate / && mount -t tmpfs none {place} && chmod 777 {place} && mkdir '{place}/a b' && "
    script += f"mount -t tmpfs none '{place}/a b' && chmod 777 '{place}/a b' && "
    script += f'"$0" -c "$1" "{place}/a b" {missing}; ls "{place}/a b"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, _NO_LANDLOCK], capture_output=True, text=True, check=False
    )
    assert "Read-only file system" in done.stdout, done.stdout + done.stderr
    assert not done.stdout.rstrip().endswith("x"), done.stdout


def test_large_standard_input_is_read_whole(worker: Worker) -> None:
    numbers = "\n".join(map(str, range(200_000)))
    task = Task(task_id="t", prompt="", check=StdioCheck(inputs=(numbers,), expected=(str(sum(range(200_000))),)))
    assert judge(worker, task, "import sys\nprint(sum(map(int, sys.stdin)))\n", Limits()).status is Status.PASS


def test_suites_call_helpers_objects_and_expect_exceptions(worker: Worker) -> None:
    test = "def check(candidate):\n    assert candidate((1, {2})) == [(1, {2})]\n    assert helper(3) == 4\n"
    test += "    assert second(Pair(5, 24)) == 24\n    try:\n        candidate(None)\n    except ValueError:\n        return\n"
    test += "    assert False\n"
    program = "class Pair:\n    def __init__(self, a, b): self.b = b\ndef second(p): return p.b\n"
    program += "def f(x):\n    if x is None: raise ValueError('none')\n    return [x]\n"
    prompt = "def helper(x):\n    return x + 1\n\n\ndef f(x):\n    '''Doc.'''\n"
    task = Task(task_id="t", prompt=prompt, check=AssertCheck(entry_point="f", test=test))
    found = judge(worker, task, program, Limits())
    assert found.status is Status.PASS, found.detail


def test_suite_that_exits_early_is_not_a_pass(worker: Worker) -> None:
    test = "import os\ndef check(candidate):\n    candidate(1)\n    os._exit(0)\n"
    task = Task(task_id="t", prompt="", check=AssertCheck(entry_point="f", test=test))
    assert judge(worker, task, "def f(x): return x\n", Limits()).status is not Status.PASS


def test_a_program_cannot_end_the_suites_loop(worker: Worker) -> None:
    test = "def check(candidate):\n    assert all(map(candidate, [1, 2]))\n"
    task = Task(task_id="s", prompt="", check=AssertCheck(entry_point="f", test=test))
    assert judge(worker, task, "def f(x): return True\n", Limits()).status is Status.PASS
    assert judge(worker, task, "def f(x): raise StopIteration\n", Limits()).status is Status.FAIL


_REACHES = {
    "System V shared memory": "libc.shmget(0, 4096, 0o1600) != -1 or libc.shmat(0, None, 0) != -1",
    "System V semaphores and queues": "libc.semget(0, 1, 0o1600) != -1 or libc.msgget(0, 0o1600) != -1",
    "POSIX shared memory": "libc.shm_open(b'/ssd', 0o102, 0o600) != -1 or os.path.exists('/dev/shm/ssd')",
    "POSIX semaphores": "libc.sem_open(b'/ssd', 0o100, 0o600, 1) != 0",
    "POSIX queues": "libc.mq_open(b'/ssd', 0o102, 0o600, None) != -1",
    "keyrings": "any(libc.syscall(n, *a) != -1 for n in keys for a in ((0, -4, 1), (b'user', b'x', b'y', 1, -4)))",
    "page faults of its own": "any(libc.syscall(n, 1) != -1 for n in (323, 282))",
    "timers of the kernel": "libc.timerfd_create(1, 0) != -1 or libc.timer_create(1, None, buffer) != -1",
    "descriptors for events and signals": "libc.eventfd(0, 0) != -1 or libc.signalfd(-1, buffer, 0) != -1",
    "priority": "libc.nice(-5) != -1 or libc.setpriority(0, 0, -5) != -1 or libc.setpriority(0, 0, 5) != -1",
    "scheduling": "libc.sched_setscheduler(0, 1, buffer) != -1 or libc.sched_setaffinity(0, 128, buffer) != -1",
    "priority of input and output": "any(libc.syscall(n, 1, 0, 0) != -1 for n in (251, 30))",
    "locked memory": "libc.mlock(buffer, 4096) != -1 or libc.mlockall(1) != -1 or libc.mmap(0, 8192, 3, 0x2022, -1, 0) != -1",
    "abstract sockets": "opens(lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + 'ssd'))",
    "watches on files": "libc.inotify_init1(0) != -1 or libc.fanotify_init(0, 0) != -1",
    "its process's attributes": "any(libc.prctl(n, 1, 0, 0, 0) != -1 for n in (1, 4, 8, 23, 24, 29, 35, 36, 47, 53, 0x59616d61))",
    "personality": "libc.personality(0x0040000) != -1 or libc.personality(-1) != -1",
    "a list of processes": "opens(lambda: os.listdir('/proc')) or opens(lambda: open('/proc/self/status'))",
    "programs in memory": "libc.memfd_create(b'x', 0) != -1 or opens(lambda: os.execve(own, ['x'], {}))",
    "programs by descriptor": "opens(lambda: os.execve(os.open(own, 0), ['x'], {})) or libc.execveat(-100, b'own', 0, 0, 0) >= 0",
    "capabilities": "libc.capset(buffer, buffer) != -1",
    "capabilities of a file": "opens(lambda: os.setxattr(own, 'security.capability', bytes(20)))",
    "attributes of a file": "opens(lambda: os.setxattr(own, 'user.x', b'x'))",
    "a file with another user's rights": "opens(lambda: os.chmod(own, 0o4755))",
    "counters and programs of the kernel": "any(libc.syscall(n, 0, buffer, 64, 0, 0) != -1 for n in (298, 241, 321, 280, 425))",
    "memory of a huge page": "libc.mmap(0, 1 << 21, 3, 0x40022, -1, 0) != -1",
    "another root": "libc.pivot_root(b'.', b'.') != -1 or opens(lambda: os.chroot('.'))",
    "the clock": "libc.adjtimex(buffer) != -1 or libc.clock_settime(0, buffer) != -1",
    "the host's name": "libc.sethostname(b'x', 1) != -1",
}
_REACH = """
import ctypes, os, socket
libc = ctypes.CDLL(None)
libc.pivot_root = lambda a, b: libc.syscall({"x86_64": 155}.get(os.uname().machine, 41), a, b)
keys = {"x86_64": (248, 249, 250)}.get(os.uname().machine, (217, 218, 219))
buffer = ctypes.create_string_buffer(256)
def opens(attempt):
    try: attempt()
    except OSError: return False
    return True
def f():
    with open("own", "w") as stream: stream.write("#!/bin/true")
    own = os.path.abspath("own")
    globals().update(own=own)
    return "reached" if REACHES else "ok"
"""


@pytest.mark.parametrize("what", _REACHES)
def test_what_a_program_shares_with_no_other(tier: SandboxTier, worker: Worker, what: str) -> None:
    boundary(tier)
    found = call(worker, _REACH.replace("REACHES", _REACHES[what]))
    assert found.status is Status.PASS, found.detail


def test_nothing_outlives_a_program(tier: SandboxTier, worker: Worker) -> None:
    boundary(tier)
    before = _descendants(os.getpid())
    program = "import os\ndef f():\n    try: pid = os.fork()\n    except OSError: return 'ok'\n    return 'forked'\n"
    assert call(worker, program).status is Status.PASS
    assert _descendants(os.getpid()) <= before


def test_daemons_are_ended_where_forking_is_possible(tier: SandboxTier, worker: Worker) -> None:
    if tier.can_earn_go:
        pytest.skip(f"{tier} forbids forking")
    before = _descendants(os.getpid())
    program = "import os, time\ndef f():\n    if os.fork() == 0:\n        os.setsid()\n"
    program += "        if os.fork() == 0: time.sleep(30)\n"
    program += "        os._exit(0)\n    return 'ok'\n"
    assert call(worker, program).status is Status.PASS
    assert _descendants(os.getpid()) <= before


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found |= {child} | _descendants(child)
    return found


def test_worker_recovers_after_its_zygote_died(tier: SandboxTier) -> None:
    with Pool(tier, 1, Limits()) as pool:

        def kill_then_judge(worker: Worker) -> Judgement:
            if not killed:
                killed.append(True)
                worker._process.kill()
                worker._process.wait()
            return call(worker, "def f(): return 'ok'\n")

        killed: list[bool] = []
        assert pool.alone(kill_then_judge).status is Status.PASS


@pytest.mark.parametrize("stopped", [False, True])
def test_a_zygote_that_dies_in_a_job_is_the_sandboxs_failure(tier: SandboxTier, stopped: bool) -> None:
    """Also one that dies before it has read the job: the socket is then reset, not just at its end."""
    mark = f"ssd-{os.urandom(4).hex()}"
    busy = f"import ctypes\nctypes.CDLL(None).prctl(15, {mark.encode()!r})\nwhile True: pass\n"
    with Worker(tier, Limits()) as worker:
        zygotes = _descendants(worker._process.pid) | {worker._process.pid}

        def kill() -> None:
            if stopped:
                time.sleep(0.3)
            else:
                _until(lambda: bool(_processes_that_say(mark)))
            for zygote in sorted(zygotes):
                os.kill(zygote, signal.SIGKILL)

        if stopped:
            for zygote in zygotes:
                os.kill(zygote, signal.SIGSTOP)
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(SandboxError, match="ended in the middle of a job"):
            call(worker, busy, cpu_seconds=60.0)
        killer.join()
    assert _until(lambda: not _processes_that_say(mark))  # the kernel kills it after its parent, at its next turn


def test_zygote_ends_when_the_grader_is_killed(tier: SandboxTier) -> None:
    program = (
        "import sys, time\nfrom ssd_plugin.sandbox.worker import Worker\nfrom ssd_plugin.sandbox.limits import Limits\n"
    )
    program += f"w = Worker({tier.value!r}, Limits())\nprint(w._process.pid, flush=True)\ntime.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as grader:
        assert grader.stdout
        zygote = int(grader.stdout.readline())
        grader.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{zygote}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{zygote}").exists() or "Z" in Path(f"/proc/{zygote}/stat").read_text().split(")")[1][:3]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary directory that the sandbox's user can walk through, as it can through /tmp."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        library._public_copy.cache_clear()
        yield Path(name)
    library._public_copy.cache_clear()


def test_a_killed_grader_leaves_nothing_behind_for_long(
    tier: SandboxTier, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(open_folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    program = (
        "import time\nfrom ssd_plugin.sandbox.worker import Worker\nfrom ssd_plugin.sandbox.limits import Limits\n"
    )
    program += f"w = Worker({tier.value!r}, Limits())\nprint(w._place, flush=True)\ntime.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as grader:
        assert grader.stdout
        left = Path(grader.stdout.readline().strip())
        assert left.parent == open_folder
        with Worker(tier, Limits()) as ours:
            assert left.exists()  # its owner lives
            grader.kill()
            grader.wait()
            assert left.exists()  # nobody could tidy up
            with Worker(tier, Limits()):
                assert not left.exists()
                assert ours._place.exists()


def test_reports_are_json_lines(worker: Worker) -> None:
    payload = {
        "program": "def f(x): return (x, {x}, b'\\xff', 1j, float('nan'))\n",
        "entry_point": "f",
        "inputs": [[7]],
    }
    report = worker.run("function", [payload], Limits(), report_bytes=4096)
    lines = [json.loads(line) for line in report.report.splitlines()]
    assert lines[0]["value"]["$tuple"][:3] == [7, {"$set": [7]}, {"$bytes": "ff"}]
    assert lines[1] == {"done": True}


def test_inputs_that_json_cannot_say(worker: Worker) -> None:
    program = "def f(*values): return [type(value).__name__ for value in values]\n"
    inputs = ({"$tuple": [1]}, {"$set": [1]}, {"$complex": [0.0, 1.0]}, {"$bytes": "ff"}, [{"$float": "nan"}])
    expected = ["tuple", "set", "complex", "bytes", "list"]
    assert call(worker, program, *inputs, expected=expected).status is Status.PASS


def test_waiting_for_a_processor_is_not_sleeping(worker: Worker) -> None:
    busy = "import time\ndef f():\n    end = time.process_time() + 0.6\n    while time.process_time() < end: pass\n"
    assert call(worker, busy + "    return 'ok'\n", wall_seconds=0.3, busy_share=0.002).status is Status.PASS
    dozing = "import time\ndef f():\n    for _ in range(200): time.sleep(0.02)\n    return 'ok'\n"
    assert call(worker, dozing, wall_seconds=0.5, busy_share=0.9).status is Status.TIMEOUT


def _processes_that_say(mark: str) -> list[int]:
    """The processes that have named themselves `mark`, as programs here do with prctl."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text().strip() == mark and ") Z" not in (entry / "stat").read_text():
                    found.append(int(entry.name))
    return found


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("end", ["grader", "zygote"])
def test_no_program_outlives_what_watches_it(tier: SandboxTier, end: str) -> None:
    """A grader that is killed in the middle of a job, and a zygote that is, take the program with them."""
    mark = f"ssd-{os.urandom(4).hex()}"
    busy = f"import ctypes\nctypes.CDLL(None).prctl(15, {mark.encode()!r})\nwhile True:\n    pass\n"
    grader = "import sys\nfrom ssd_plugin.sandbox.worker import Worker\nfrom ssd_plugin.sandbox.limits import Limits\n"
    grader += f"w = Worker({tier.value!r}, Limits())\nprint(w._process.pid, flush=True)\n"
    grader += f"job = {{'program': {busy!r}, 'entry_point': 'f', 'inputs': []}}\n"
    grader += "w.run('function', [job], Limits(cpu_seconds=120.0, wall_seconds=120.0), report_bytes=99)\n"
    with subprocess.Popen(
        [sys.executable, "-c", grader], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as started:
        assert started.stdout
        zygote = int(started.stdout.readline())
        assert _until(lambda: bool(_processes_that_say(mark)))
        if end == "grader":
            started.kill()
        else:
            os.kill(zygote, signal.SIGKILL)
        ended = _until(lambda: not _processes_that_say(mark))
        for left in _processes_that_say(mark):
            os.kill(left, signal.SIGKILL)
        started.kill()
    assert ended


def test_a_program_cannot_foresee_where_its_directories_are_moved_to(worker: Worker) -> None:
    trap = "import os\ndef f():\n    for number in range(9):\n"
    trap += "        os.makedirs(f'.moved-{os.getppid()}-{number}/c')\n    os.makedirs('a/b/c')\n    return 'ok'\n"
    look = "import os\ndef f():\n    return 'ok' if os.listdir('.') == [] else os.listdir('.')\n"
    for program in (trap, look):
        assert call(worker, program).status is Status.PASS


@pytest.mark.parametrize(
    "hide", ["os.mkdir('d', 0o300)", "[(os.mkdir(name), os.chdir(name)) for name in 21 * ['d' * 250]]"]
)
def test_what_cannot_be_counted_is_over_the_bound(tier: SandboxTier, worker: Worker, hide: str) -> None:
    if tier is SandboxTier.NAMESPACES:
        pytest.skip("the kernel bounds the scratch directory here")
    program = f"import os, time\ndef f():\n    {hide}\n    time.sleep(3)\n    return 'ok'\n"
    found = call(worker, program)
    assert (found.status, "wrote more than" in found.detail) == (Status.CRASH, True), found.detail


def test_half_a_surrogate_pair_is_a_possible_input(worker: Worker) -> None:
    task = Task(task_id="t", prompt="", check=StdioCheck(inputs=("\ud800x",), expected=("4",)))
    found = judge(worker, task, "import sys\nprint(len(sys.stdin.buffer.read()))\n", Limits())
    assert found.status is Status.PASS, found.detail


def _livecodebench(kind: str, given: str, output: str) -> Task:
    row = {"question_id": "q", "question_content": "Do it.", "metadata": '{"func_name": "g"}'}
    tests = json.dumps([{"input": given, "output": output, "testtype": kind}])
    return livecodebench(row | {"public_test_cases": tests, "private_test_cases": "[]"}, "t.jsonl:1")


BARE = "{}class Solution:\n    def g(self, numbers: List[int]) -> Optional[int]:\n        heap = deque(numbers)\n"
BARE += "        return max(Counter(heap)) if inf > 0 and cache and heappush and math.pi else pow(2, 3, 5)\n"


@pytest.mark.parametrize("first", ["", "from __future__ import annotations\n"])
def test_livecodebench_programs_may_leave_imports_out(worker: Worker, first: str) -> None:
    task, program = _livecodebench("functional", "[1, 3, 2]", "3"), BARE.format(first)
    found = judge(worker, task, program, Limits())
    assert found.status is Status.PASS, found.detail
    assert judge(worker, replace(task, prelude=""), BARE.format(""), Limits()).status is Status.FAIL
    script = program + "print(Solution().g([*map(int, stdin.read().split())]))\n"
    found = judge(worker, _livecodebench("stdin", "1 3 2\n", "3\n"), script, Limits())
    assert found.status is Status.PASS, found.detail
    suite = AssertCheck(entry_point="Solution", test="assert Solution()\n")
    found = judge(worker, replace(task, check=suite), program, Limits())
    assert found.status is Status.PASS, found.detail


def test_a_prelude_that_fails_is_no_pass(worker: Worker) -> None:
    task = replace(_livecodebench("stdin", "", "3\n"), prelude="import no_such_module\n")
    found = judge(worker, task, "print(3)\n", Limits())
    assert (found.status, "no_such_module" in found.detail) == (Status.FAIL, True)


def test_a_tasks_own_seconds_and_memory(worker: Worker) -> None:
    burn = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass\n"
    script = burn + "room = bytearray(1500 << 20)\nprint(3)\n"
    task, little = _livecodebench("stdin", "", "3\n"), Limits(cpu_seconds=0.2)
    assert judge(worker, task, script, little).status is Status.PASS
    assert judge(worker, replace(task, seconds_per_test=0), burn + "print(3)\n", little).status is Status.TIMEOUT
    assert (
        judge(worker, replace(task, seconds_per_test=0), "room = bytearray(1500 << 20)\nprint(3)", Limits()).status
        is Status.FAIL
    )
