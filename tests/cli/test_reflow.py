"""A narrower terminal has wrapped the rows of the line, and all of them are taken away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from prompt_toolkit.data_structures import Point
from prompt_toolkit.layout.screen import Char, Screen
from tests.support.terminal import Terminal

from midflight.cli.terminal.reflow import reflows, rows_more
from midflight.testing import ScriptedModel, Wait, Words


def drawn(*rows: str) -> Screen:
    screen = Screen()
    for at, row in enumerate(rows):
        for column, char in enumerate(row):
            screen.data_buffer[at][column] = Char(char)
    return screen


@pytest.mark.parametrize(
    ("columns", "more"), [(80, 0), (40, 0), (39, 1), (20, 1), (19, 3), (13, 4)]
)
def test_rows_above_the_cursor_are_counted_as_the_terminal_wraps_them(
    columns: int, more: int
) -> None:
    screen = drawn("x" * 40, "", "y" * 20 + " " * 60, "> ")
    assert rows_more(screen, Point(x=2, y=3), columns) == more


def test_cursor_in_a_row_that_is_wrapped_has_gone_down_with_it() -> None:
    assert rows_more(drawn("> " + "x" * 50), Point(x=52, y=0), 20) == 2


@pytest.mark.parametrize(
    ("environment", "wraps"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm", "XTERM_VERSION": "XTerm(390)"}, False),
        ({"TERM": "screen", "STY": "1.tty"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "screen", "TMUX": "/tmp/x", "XTERM_VERSION": "XTerm(390)"}, True),
    ],
)
def test_terminals_that_do_not_wrap_anew_are_known(
    environment: dict[str, str], wraps: bool
) -> None:
    assert reflows(environment) is wraps


@pytest.mark.anyio
@pytest.mark.usefixtures("no_agent_left")
async def test_a_resize_leaves_nothing_of_what_was_being_written(
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    fake_terminal: Callable[..., Awaitable[Terminal]],
) -> None:
    scripted = await scripted_model([[Words("word " * 60), Wait("never")]])
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("\n".join([" ".join(["word"] * 15)] * 4))
    before = len(screen.raw)
    screen.resizes(40)
    await screen.sees("\n".join([" ".join(["word"] * 7)] * 8))
    assert "\r\x1b[8A\x1b[K" in screen.raw[before:]  # four rows, which were two each
    screen.keys("\x1b")
    await screen.sees("turn 1 interrupted")
    await screen.quits(130)
