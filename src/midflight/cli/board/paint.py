"""Lines of fragments as what Textual draws: the one way from a text to the board's screen.

Nothing else makes a strip. No text is taken for markup, and none of it is obeyed by a terminal:
each is made inert here, whatever was done to it before, as `midflight.cli.output.write` does it.
"""

from __future__ import annotations

import functools
import sys

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from midflight._util.sanitize import inert
from midflight.cli.board.wrap import Line

_ATTRIBUTES = {
    "1": Style(bold=True),
    "2": Style(dim=True),
    "3": Style(italic=True),
    "4": Style(underline=True),
    "7": Style(reverse=True),
}
_COLOURS = {str(30 + number): Color.from_ansi(number) for number in range(8)}
_ASCII = str.maketrans({"─": "-", "│": "|", "├": "|", "└": "`", "…": ".", "·": "-", "→": ">"})
_UNICODE = (sys.stdout.encoding or "").lower().startswith("utf")


def strip(line: Line, width: int) -> Strip:
    """Return a line as a strip of exactly this width."""
    segments = []
    room = width
    for sgr, text in line:
        shown = _writable(inert(text).replace("\n", " ").expandtabs(1))
        if cell_len(shown) > room:
            shown = set_cell_size(shown, room)
        room -= cell_len(shown)
        segments.append(Segment(shown, _style(sgr)))
    return Strip([*segments, Segment(" " * room)], width)


@functools.cache
def _style(sgr: str) -> Style:
    """Return the style of the parameters of SGR: the terminal's own sixteen colours, no others."""
    style = Style()
    for part in sgr.split(";"):
        if part in _ATTRIBUTES:
            style += _ATTRIBUTES[part]
        elif part in _COLOURS:
            style += Style(color=_COLOURS[part])
    return style


def _writable(text: str) -> str:
    """Return a text with what the terminal cannot show replaced, where that is not Unicode."""
    if _UNICODE or text.isascii():
        return text
    return text.translate(_ASCII).encode("ascii", "replace").decode()
