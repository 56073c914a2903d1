"""Takes away the rows that a terminal has made of the input line's when it became narrower."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prompt_toolkit import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.layout.screen import Screen
from prompt_toolkit.output import Output


def follow(app: Application[str]) -> None:
    """Have an application erase all of its rows when the terminal is resized.

    It goes up as many rows as it has drawn, and most terminals have wrapped these anew by then.
    """
    resized = app._on_resize  # noqa: SLF001 - it erases at once, and has no other way in
    columns = app.output.get_size().columns

    def erase_wrapped(_: object = None) -> None:
        nonlocal columns
        before, columns = columns, app.output.get_size().columns
        drawn = app.renderer.last_rendered_screen
        if columns != before and drawn is not None and reflows(os.environ):
            cursor = drawn.get_cursor_position(app.layout.current_window)
            _erase(app.output, cursor.y + rows_more(drawn, cursor, columns))
            app.renderer.reset(leave_alternate_screen=False)

    def erase_and_draw() -> None:
        erase_wrapped()
        resized()

    app._on_resize = erase_and_draw  # type: ignore[method-assign]  # noqa: SLF001
    app.before_render += erase_wrapped  # what draws anyway may be there before the signal


def _erase(output: Output, rows: int) -> None:
    """Erase from so many rows above the cursor on.

    Not all at once: tmux keeps in its history what is erased from the top of the screen on.
    """
    output.write_raw("\r")
    output.cursor_up(rows)
    output.erase_end_of_line()
    output.cursor_down(1)
    output.erase_down()
    output.cursor_up(1)


def reflows(environment: Mapping[str, str]) -> bool:
    """Tell whether the terminal wraps lines anew; xterm, screen and a bare console do not."""
    if environment.get("TMUX"):
        return True
    return not (environment.keys() & {"XTERM_VERSION", "STY"} or environment.get("TERM") == "linux")


def rows_more(drawn: Screen, cursor: Point, columns: int) -> int:
    """Return how many rows more there are above the cursor in a terminal of so many columns."""
    above = sum((_width(drawn, row) - 1) // columns for row in range(cursor.y))
    return above + cursor.x // columns


def _width(drawn: Screen, row: int) -> int:
    cells = drawn.data_buffer[row].items()
    return max((at + max(cell.width, 1) for at, cell in cells if cell.char.strip()), default=1)
