"""Whether the nodes of one training live: each keeps a file on shared storage that changes until it says how it ended.

Clocks are not compared: a file's reader watches by its own how long it has not changed.
"""

import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.errors import DataError, TrainingError

BEAT = 2.0  # seconds between a node's signs of life, and between looks at the others'
SILENCE = 180.0  # seconds without one after which a node is given up: shared storage may lag by a minute


def read_facts(file: Path) -> dict[str, Any]:
    """What a node's file says; nothing when there is none."""
    try:
        values = read_json(file)
    except DataError:
        return {}
    return values if isinstance(values, dict) else {}


class Presence:
    """This node's file, for the time of a `with`."""

    def __init__(self, file: Path, **facts: Any) -> None:
        """`facts`: what the others should know of it."""
        self.token, self.host = secrets.token_hex(8), socket.gethostname()
        self._file, self._facts = file, {"token": self.token, "host": self.host, **facts}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def say(self, **facts: Any) -> None:
        """Write it down at once."""
        with self._lock:
            self._facts |= facts
            write_json(self._file, self._facts)

    def _live(self) -> None:
        beat = 0
        while not self._over.wait(BEAT):
            beat += 1
            self.say(beat=beat)

    def __enter__(self) -> "Presence":
        self.say()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._over.set()
        self._thread.join()
        self.say(ended=True, fault="" if kind is None else " ".join(str(error).split()) or kind.__name__)


@dataclass(kw_only=True)
class Peer:
    """Another node, known by its file and by the token that it wrote there when it came."""

    file: Path
    token: str
    _last: dict[str, Any] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def ended(self) -> bool:
        """Whether it has ended well.

        Raises:
            TrainingError: it failed, has given no sign of life for long, or was started anew.
        """
        facts = read_facts(self.file)
        if facts and facts != self._last:
            self._last, self._since = facts, time.monotonic()
        name = f"node {self.file.stem} ({self._last.get('host', 'unknown')})"
        if self._last and self._last["token"] != self.token:
            raise TrainingError(f"{name} was started anew; so must all the others be")
        if self._last.get("fault"):
            raise TrainingError(f"{name}: {self._last['fault']}")
        if not self._last.get("ended") and time.monotonic() - self._since > SILENCE:
            raise TrainingError(f"{name} has given no sign of life for {SILENCE:.0f} s")
        return bool(self._last.get("ended"))
