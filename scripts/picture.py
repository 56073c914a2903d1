"""Record `midflight demo` in a terminal of 92 columns, as the picture of the README."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

ASSETS = Path(__file__).resolve().parent.parent / "docs" / "assets"
COLUMNS = 92
LINES = 60
FIRST, LAST = "you> midflight", "Now a test."
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def recorded() -> str:
    """Run the demo in a terminal of its own and return what it showed, colours included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    demo = subprocess.Popen(
        [sys.executable, "-m", "midflight.cli.main", "demo"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env,
        start_new_session=True,
    )
    os.close(theirs)
    shown = io.BytesIO()
    try:
        while piece := os.read(ours, 65536):
            shown.write(piece)
    except OSError:
        pass  # this is how Linux says that the terminal's other end is closed
    if demo.wait(timeout=10) != 0:
        raise SystemExit("the demo failed, so there is nothing to show")
    return shown.getvalue().decode().replace("\r\n", "\n")


def part(shown: str) -> str:
    """Return the part of the demo that fits a picture."""
    lines = shown.splitlines()
    plain = [ESCAPE.sub("", line) for line in lines]
    begin = next(number for number, line in enumerate(plain) if line.startswith(FIRST))
    end = next(number for number, line in enumerate(plain) if line.startswith(LAST))
    # The colour of a line may be set at the end of the one before it.
    return "\n".join(lines[begin - 1 : end])


def picture(
    shown: str, title: str, width: int = COLUMNS, theme: TerminalTheme = SVG_EXPORT_THEME
) -> str:
    """Return the text as an SVG that loads nothing from anywhere."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown))
    svg = console.export_svg(title=title, theme=theme)
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    ASSETS.mkdir(exist_ok=True)
    shown = picture(part(recorded()), "midflight demo")
    (ASSETS / "demo.svg").write_text(shown, encoding="utf-8")
