"""Lines broken between words where the terminal would break them anywhere."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence

from midflight._util.sanitize import inert
from midflight.cli.output import Fragment

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")

_GAP = "  "


class Wrap:
    """Breaks text as it streams; a word is held until it is known that it has ended.

    What follows in a line begins below its own first word. A word that is longer than the
    terminal is wide is left to the terminal.
    """

    def __init__(self, width: int) -> None:
        """Begin at the start of a line; ``width`` is in columns."""
        self._width = width
        self._column = 0
        self._indent = 0
        self._blank: list[Fragment] = []
        self._word: list[Fragment] = []

    def take(self, fragments: Iterable[Fragment]) -> list[Fragment]:
        """Return what can be written by now."""
        ready: list[Fragment] = []
        for style, text in fragments:
            for piece in _PIECES.findall(inert(text).expandtabs()):
                if not piece.isspace():
                    self._word.append((style, piece))
                    continue
                ready += self.flush()
                if piece == "\n":
                    ready.append((style, piece))
                    self._column, self._blank = 0, []
                else:
                    self._blank.append((style, piece))
        return _joined(ready)

    def flush(self) -> list[Fragment]:
        """Return the word that is held, for it has ended."""
        if not self._word:
            return []
        blank, wide = _wide(self._blank), _wide(self._word)
        before = self._blank
        if not self._column:
            self._indent = min(blank, self._width // 2)
        elif self._column + blank + wide > self._width:
            before = [("", "\n" + " " * self._indent)]
            self._column, blank = 0, self._indent
        self._column += blank + wide
        ready = [*before, *self._word]
        self._blank, self._word = [], []
        return ready


def wrapped(fragments: Iterable[Fragment], width: int) -> list[Fragment]:
    """Return whole lines, broken between words."""
    wrap = Wrap(width)
    return _joined([*wrap.take(fragments), *wrap.flush()])


def _joined(fragments: Iterable[Fragment]) -> list[Fragment]:
    """Return neighbours of one style as one."""
    return [
        (style, "".join(text for _, text in alike))
        for style, alike in itertools.groupby(fragments, key=lambda fragment: fragment[0])
    ]


def two_columns(rows: Sequence[tuple[str, str]], width: int) -> str:
    """Return rows of a word and what it means, which is broken between words beside the word."""
    left = max(len(word) for word, _ in rows)
    lines = []
    for word, meaning in rows:
        below = " " * (left + 2 * len(_GAP))
        first = f"{_GAP}{word.ljust(left)}{_GAP}"
        lines.append(textwrap.fill(meaning, width, initial_indent=first, subsequent_indent=below))
    return "\n".join(lines) + "\n"


def _wide(fragments: Iterable[Fragment]) -> int:
    from rich.cells import cell_len

    return sum(cell_len(text) for _, text in fragments)
