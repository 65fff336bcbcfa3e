"""The pictures in README: `make screenshots` takes them again. Needs Chromium (Debian: apt-get install chromium).

The terminal and the summary are of docs/ci.md's own example, run here in a terminal of 24 lines and 80 columns; the report is
that of a finished run directory, by default `make smoke`'s.
"""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
LINES, COLUMNS = 24, 80
COMMAND = ("ssd gate --policy smoke --tasks gate/tasks.jsonl",
           "--baseline gate/champion.jsonl --candidate gate/worse.jsonl --out verdict")  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def in_terminal(command: list[str], folder: Path) -> str:
    """What the command leaves on a terminal of that size; the exit status is the verdict's, so any will do."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "SSD_LEDGER": str(folder / "ledger.jsonl")}
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        os.environ.pop("COLUMNS", None)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the progress bar, which is gone in the end
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    written = bytearray()
    try:
        while chunk := os.read(terminal, 1 << 16):
            written += chunk
    except OSError:  # a terminal whose last process has ended
        pass
    os.waitpid(child, 0)
    return written.decode()


def terminal_svg(said: str) -> str:
    """The screen as SVG with the reader's own fonts: nothing is loaded from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold"), " \\\n    ".join(COMMAND)))
    console.print(Text.from_ansi(said.replace("\r\n", "\n").strip("\n")))
    svg = console.export_svg(title="ssd gate")
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)


def gate_example(folder: Path) -> str:
    """Make the files of docs/ci.md's first example, judge the worse candidate; what the terminal shows."""
    page = (ROOT / "docs/ci.md").read_text()
    (script,) = re.findall(r"^## A verdict in a minute\n.*?```sh\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    subprocess.run(["bash", "-e", "-c", script], cwd=folder, check=True)
    return in_terminal(" ".join(COMMAND).split(), folder)


def photograph(page: Path, picture: Path, width: int, height: int) -> None:
    """The top of a page, as a browser shows it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("screenshots: no Chromium here; on Debian: apt-get install chromium")
    size = f"--window-size={width},{height}"
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", size, f"--screenshot={picture}"]
    subprocess.run([browser, *options, page.resolve().as_uri()], check=True, capture_output=True)


def main(run: Path) -> None:
    """Write the three pictures of README."""
    report = run / "report/index.html"
    if not report.is_file():
        sys.exit(f"screenshots: {report} is missing; make it with: make smoke")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        said = gate_example(Path(scratch))
        (IMAGES / "terminal.svg").write_text(terminal_svg(said))
        shutil.copyfile(Path(scratch, "verdict/summary.svg"), IMAGES / "summary.svg")
    photograph(report, IMAGES / "report.png", 1000, 960)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "runs/smoke"))
