"""Where this user's state lies: what one run leaves for the next, outside of any run directory."""

import os
from pathlib import Path


def state_file(name: str) -> Path:
    """`name` in this user's state directory (`$XDG_STATE_HOME`, else `~/.local/state`).

    Raises:
        RuntimeError: this user has no home directory.
    """
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "ssd_plugin" / name
