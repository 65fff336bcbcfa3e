"""A host of stages, for `pipeline/interpreters.py`: `python -m ssd_plugin.pipeline.stages RUN_DIR PARENT_PID DESCRIPTOR`."""

import sys

from ssd_plugin.pipeline.stages.host import main

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
