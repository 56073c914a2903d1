"""Something long on the whole screen: a request, a diff, or the keys."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from midflight.cli.board.wrap import Line, wrap
from midflight.cli.output import BOLD, DIM
from midflight.cli.terminal.table import cut


class Reading:
    """A text, and which part of it is on the screen. ``what`` is that of the act `Look`."""

    def __init__(self, what: str, title: str, lines: Sequence[Line]) -> None:
        """Begin at the top; the title may be cut, and the lines are not."""
        self.what = what
        self.end_seen = False
        self._title = title
        self._lines = lines
        self._top = 0
        self._page = 1

    def press(self, key: str) -> bool:
        """Take a key that moves the text; tell whether it was one."""
        by = {
            "j": 1, "down": 1, "enter": 1, "k": -1, "up": -1,
            " ": self._page, "pagedown": self._page, "pageup": -self._page,
            "G": len(self._lines) * 1000, "end": len(self._lines) * 1000,
            "g": -self._top, "home": -self._top,
        }.get(key)  # fmt: skip
        self.scroll(by or 0)
        return by is not None

    def scroll(self, by: int) -> None:
        """Move so many lines further down."""
        self._top += by

    def shown(self, width: int, height: int) -> list[Line]:
        """Return what is on a screen of this size, below a title."""
        lines = wrap(self._lines, width - 1)
        self._page = max(1, height - 1)
        self._top = max(0, min(self._top, len(lines) - self._page))
        end = min(self._top + self._page, len(lines))
        self.end_seen = self.end_seen or end == len(lines)
        title = cut(f" {self._title} ", width // 2)
        where = f" {end} of {len(lines)} lines  Esc " if len(lines) > self._page else " Esc "
        rest = "─" * max(0, width - cell_len(title) - len(where))
        return [[(BOLD, title), (DIM, f"{rest}{where}")], *lines[self._top : end]]
