"""The one place that writes to the terminal, and that makes text harmless before it does.

Any text of an agent may end up here. `write` lets nothing through that a terminal would obey,
see `midflight._util.sanitize`. Styling is not part of the text: it comes beside it, as parameters
of the one escape sequence (SGR) that only changes how text looks.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import TextIO

from midflight._util.sanitize import CONTROLS, inert

Fragment = tuple[str, str]
"""A style (the parameters of SGR, such as ``1;32``, or nothing) and a text."""

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


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


def write(what: str | bytes | Iterable[Fragment], *, error: bool = False, over: int = 0) -> None:
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


def _write(stream: TextIO, what: str | bytes | Iterable[Fragment], over: int) -> None:
    if isinstance(what, bytes):
        stream.buffer.write(what)
        stream.buffer.flush()
        return
    if isinstance(what, str):
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
