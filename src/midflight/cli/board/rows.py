"""A row of the list as a line of the terminal, of exactly its width."""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len

from midflight.cli.output import BOLD, DIM, Fragment
from midflight.cli.terminal.table import cut

NARROW, WIDE = 72, 100
"""Below the one all columns are narrower; from the other on there is one for folders."""

_NAME = (19, 25)
_TIME, _COST, _FOLDER = 8, 11, 14
_LEAST = 8
"""So much of a name is left beside the lines of a deep tree."""


class Cells(NamedTuple):
    """What a row says. A style is that of `Fragment`."""

    mark: str
    mark_style: str
    name: str
    folder: str
    doing: str
    doing_style: str
    time: str
    cost: str
    branch: str = ""


def row_line(cells: Cells, width: int) -> list[Fragment]:
    """Return a row without its first column. What it does is shortened first, then the folder."""
    name_width = _NAME[width >= NARROW]
    folder_width = _FOLDER if width >= WIDE else 0
    cost_width = max(_COST if width >= NARROW else _COST - 2, len(cells.cost) + 1)
    branch = cells.branch[: max(0, name_width - _LEAST)]
    room = width - 4 - name_width - folder_width - _TIME - cost_width - 1
    return [
        (DIM, f" {branch}"),
        (cells.mark_style, cells.mark),
        ("", " "),
        (BOLD, fit(cells.name, name_width - len(branch) - 1)),
        ("", " "),
        *([("", f"{fit(cells.folder, folder_width - 2)}  ")] if folder_width else []),
        (cells.doing_style, fit(cells.doing, max(0, room))),
        (DIM, f" {cells.time:>{_TIME}}{cells.cost:>{cost_width}} "),
    ]


def columns(width: int) -> str:
    """Return what stands above the times and costs."""
    return f"time{'cost':>{_COST if width >= NARROW else _COST - 2}}"


def heading(word: str, style: str, count: str, right: str, width: int) -> list[Fragment]:
    """Return a group's heading: its name, how many are in it, and a line up to the right end."""
    left = f" {word}"
    rest = width - cell_len(left) - cell_len(count) - cell_len(right) - 4
    return [(style, left), ("", f" {count} "), (DIM, f"{'─' * max(0, rest)} {right} ")]


def fit(text: str, width: int) -> str:
    """Return a text of exactly so many columns: cut, or filled with blanks."""
    shown = cut(text, width)
    return shown + " " * (width - cell_len(shown))
