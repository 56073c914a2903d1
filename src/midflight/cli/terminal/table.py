"""Lists at the terminal: what sorts and dates them, aligned columns, and lines cut to its width."""

from __future__ import annotations

from collections.abc import Sequence

STATUS_ORDER = ("waiting", "running", "starting", "idle", "closed")
"""Sessions in a list: what waits for the person, what runs, what is idle, what has ended."""

_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_FOREVER = 1e10
"""More seconds than that are no more; a row that somebody has written may say infinity."""

_LEAST_WIDTH = 20
"""A last column that would be narrower than that is left out."""


def align(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Return a line for each row, the columns aligned, without what would follow the last cell.

    No line is longer than ``width``, if there is one: on a narrow terminal the last column goes
    first, then the end of the line.
    """
    widths = [max(map(_wide, column)) for column in list(zip(*rows, strict=True))[:-1]]
    lines = []
    for row in rows:
        cells = [_fit(cell, room) for cell, room in zip(row, widths, strict=False)]
        last = row[-1]
        if width is not None:
            rest = width - sum(widths) - 2 * len(widths)
            last = cut(last, rest if rest >= _LEAST_WIDTH else 0)
        line = "  ".join([*cells, last]).rstrip()
        lines.append(line if width is None else cut(line, width))
    return lines


def age(seconds: float) -> str:
    """Return a span of time in its largest unit."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(min(seconds, _FOREVER) // size)}{unit}"
    return "0s"


def cut(text: str, width: int) -> str:
    """Return a line, cut to so many columns of a terminal."""
    from rich.cells import set_cell_size

    if _wide(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def _wide(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _fit(text: str, width: int) -> str:
    return text + " " * max(0, width - _wide(text))
