"""Started by the supervisor as a script in a bare interpreter: `python -S -s -P -B boot.py SOCKET`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    home = str(Path(__file__).resolve().parents[2])
    sys.path.append(home)
    from ssd_plugin.sandbox.zygote import main

    sys.path.remove(home)
    main(int(sys.argv[1]))
