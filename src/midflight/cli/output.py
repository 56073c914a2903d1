"""The one place that writes to the terminal, and that makes text harmless before it does.

Any text of an agent may end up here. `write` lets nothing through that a terminal would obey,
see `midflight._util.sanitize`. Styling is not part of the text: it comes beside it, as parameters
of the one escape sequence (SGR) that only changes how text looks. What else the terminal is made to
do, `notify` and its like do.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from typing import NamedTuple, TextIO

from midflight._util.sanitize import CONTROLS, inert, one_line

Fragment = tuple[str, str]
"""A style (the parameters of SGR, such as ``1;32``, or nothing) and a text."""

BOLD, DIM, REVERSE = "1", "2", "7"
RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = "31", "32", "33", "34", "35", "36"


class OutputFailed(BrokenPipeError):
    """Nothing more can be written, as where a disk is full: like a reader that has gone."""


_SGR = re.compile(r"[0-9;]+")


def json_line(encoded: bytes) -> bytes:
    """Return a line of JSON of the same meaning, without a character that a terminal obeys.

    The characters concerned can only stand inside of strings, where JSON has an escape for them.
    """
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded + b"\n"
    text = CONTROLS.sub(_json_escape, encoded.decode())
    return text.encode() + b"\n"


def _json_escape(match: re.Match[str]) -> str:
    utf16 = match.group().encode("utf-16-be")
    units = (utf16[at : at + 2].hex() for at in range(0, len(utf16), 2))
    return "".join(f"\\u{unit}" for unit in units)


def at_terminal() -> bool:
    """Tell whether a person is at both ends: types what is read, and sees what is written."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stdout.isatty())


def columns() -> int:
    """Return how wide the terminal is that the output goes to; 0 where it goes elsewhere."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def styles_wanted() -> bool:
    """Tell whether the terminal and its user want styled text (``NO_COLOR``, ``TERM=dumb``)."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


class _Control(NamedTuple):
    """A sequence that has the terminal do something; made below, and nowhere else."""

    sequence: str


Output = str | bytes | _Control | Iterable[Fragment]


def write(what: Output, *, error: bool = False, over: int = 0) -> None:
    """Write text, styled fragments, or a `json_line`, and flush. The only function that writes.

    ``over`` is how many of the lines above are wiped for it, at a terminal.
    Every text is made inert here, whatever was done to it before. Raises `BrokenPipeError`
    when the reader has gone, `OutputFailed` when nothing can be written.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        _write(stream, what, over)
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise OutputFailed(failure.errno, failure.strerror) from failure


# What the terminal does beside showing text ---------------------------------------------------


def notify(title: str, text: str) -> None:
    """Have the terminal ring, and show a notification if it can: of a title and a line.

    Of the two sequences for it a terminal that knows both would show two. tmux hands them on where
    its user lets it (``allow-passthrough``).
    """
    if os.environ.get("TERM", "").startswith(_WITH_777) or os.environ.keys() & _WITH_777_TOO:
        sequence = _command("777", "notify", title, text)
    else:
        sequence = _command("9", f"{title}: {text}")
    if os.environ.get("TMUX"):
        sequence = f"\x1bPtmux;{sequence.replace(_ESC, _ESC * 2)}\x1b\\"
    _have_done(f"\a{sequence}")


def name_window(title: str | None) -> None:
    """Give the terminal's window a title, or the one back that it had before."""
    given = "\x1b[23;2t" if title is None else f"\x1b[22;2t{_command('2', title)}"
    _have_done(given)


def report_focus(*, wanted: bool) -> None:
    """Have the terminal report when the person comes to it and leaves it, or no longer."""
    _have_done(f"\x1b[?1004{'h' if wanted else 'l'}")


def _have_done(sequence: str) -> None:
    """Have the terminal do something; where it is gone, what is written next tells it."""
    with contextlib.suppress(BrokenPipeError):
        write(_Control(sequence))


_ESC = "\x1b"
_WITH_777 = ("rxvt", "foot", "contour")
_WITH_777_TOO = {"VTE_VERSION", "KONSOLE_VERSION"}
"""Terminals that know OSC 777; most others know iTerm2's OSC 9."""


def _command(*fields: str) -> str:
    """Return an operating system command for the terminal; no field can end it or begin another.

    Some terminals look at single bytes, and would take one within a letter for the end.
    """
    lines = (one_line(field).replace(";", ",") for field in fields)
    safe = ("".join("?" if b"\x9c" in char.encode() else char for char in line) for line in lines)
    return f"\x1b]{';'.join(safe)}\a"


# ----------------------------------------------------------------------------------------------


def _write(stream: TextIO, what: Output, over: int) -> None:
    if isinstance(what, bytes):
        stream.buffer.write(what)
        stream.buffer.flush()
        return
    if isinstance(what, _Control):
        known = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        text = what.sequence if known else ""
    elif isinstance(what, str):
        text = inert(what)
    else:
        styled = styles_wanted()
        text = "".join(
            f"\x1b[{style}m{inert(part)}\x1b[0m"
            if styled and _SGR.fullmatch(style)
            else inert(part)
            for style, part in what
        )
    if over and stream.isatty():
        text = f"\x1b[{over}F\x1b[J{text}"
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
