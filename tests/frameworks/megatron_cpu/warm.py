"""Test-only: ranks forked from one process that has Megatron imported, which takes longer than a tiny fine-tune.

`python warm.py SOCKET` serves. What torchrun starts is this file too, with the socket's path in the environment: it hands
its arguments, environment and output over, and ends when its forked rank does. Whichever of them dies takes the other along.
"""

import json
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

SOCKET = "MEGATRON_CPU_SOCKET"
DIE_AFTER = "MEGATRON_CPU_DIE_AFTER"  # the step after which a rank dies without a word
SPOIL_REHEARSAL = "MEGATRON_CPU_SPOIL_REHEARSAL"  # set: what is exported before the first step has a head out of place
DONE = b"0"


def serve(path: str) -> None:
    """Import once, then fork a rank for each connection; ends with the process that started it."""
    import ranks

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _be_a_rank(connection, ranks)
            connection.close()


def _end_with(descriptor: int) -> None:
    os.read(descriptor, 1)  # returns when the other end is gone
    os._exit(1)


def _be_a_rank(connection: socket.socket, ranks: Any) -> None:
    request, outputs, _, _ = socket.recv_fds(connection, 1 << 20, 2)
    for number, descriptor in enumerate(outputs, start=1):
        os.dup2(descriptor, number)
    asked = json.loads(request)
    os.environ.clear()
    os.environ.update(asked["environment"])
    threading.Thread(target=_end_with, args=(connection.fileno(),), daemon=True).start()
    try:
        ranks.main(asked["job"])
        connection.sendall(DONE)
    except BaseException:  # noqa: BLE001 - the process ends below, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def ask(job: str) -> int:
    """Exit status of a rank run by the server."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[SOCKET])
        request = json.dumps({"job": job, "environment": dict(os.environ)}).encode()
        socket.send_fds(connection, [request], [1, 2])
        return 0 if connection.recv(1) == DONE else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if SOCKET in os.environ:
        sys.exit(ask(sys.argv[1]))
    serve(sys.argv[1])
