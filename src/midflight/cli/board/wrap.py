"""Fragments laid out in lines of a width: nothing is left out, and nothing is cut.

Unlike in a stream nothing is left to the terminal, so that it is known how many lines a request
has, and a line that goes on never looks like the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, chop_cells

from midflight.cli.output import Fragment

Line = list[Fragment]

FURTHER_IN = 4
"""A line that goes on stands further in than one that is new."""

TAB, LEAST = 8, 16


def lines_of(fragments: Iterable[Fragment]) -> list[Line]:
    """Return fragments as lines, without the ends of them."""
    lines: list[Line] = [[]]
    for style, text in fragments:
        first, *more = text.expandtabs(TAB).split("\n")
        lines[-1].append((style, first))
        lines += [[(style, part)] for part in more]
    return lines if any(text for _, text in lines[-1]) else lines[:-1]


def wrap(lines: Iterable[Line], width: int) -> list[Line]:
    """Return lines no longer than the width; they are broken at blanks where there are any."""
    return [part for line in lines for part in _wrapped(line, max(width, LEAST))]


def _wrapped(line: Line, width: int) -> Iterator[Line]:
    text = "".join(part for _, part in line)
    if cell_len(text) <= width:
        yield line
        return
    own = len(text) - len(text.lstrip(" "))
    indent = " " * (min(own, width // 4) + FURTHER_IN)
    at = 0
    for first, piece in enumerate(_pieces(text, width, width - len(indent))):
        yield [*([("", indent)] if first else []), *_part(line, at, at + len(piece))]
        at += len(piece)


def _pieces(text: str, width: int, further: int) -> Iterator[str]:
    """Cut a text into pieces of so many columns, the first of ``width``, at blanks if it can be.

    A blank at the end of a piece may stand outside of its columns.
    """
    room = width
    while cell_len(text) > room:
        piece = chop_cells(text, room)[0]
        blank = len(piece) if text[len(piece)] == " " else piece.rfind(" ")
        if blank > 0 and text[:blank].strip():
            piece = text[: blank + 1]
        yield piece
        text, room = text[len(piece) :], further
    yield text


def _part(line: Sequence[Fragment], begin: int, end: int) -> Line:
    """Return the fragments between two characters of a line."""
    part, at = [], 0
    for style, text in line:
        if piece := text[max(0, begin - at) : max(0, end - at)]:
            part.append((style, piece))
        at += len(text)
    return part
