"""`python -m ssd_plugin.pipeline.stages RUN_DIR PARENT_PID DESCRIPTOR`: a host of stages; the line starts it, see `interpreters.py`."""

import sys

from ssd_plugin.pipeline.stages.host import main

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
