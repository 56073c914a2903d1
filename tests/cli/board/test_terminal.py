"""The board as a program in a terminal of its own, over sessions of a host in the test."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.events import until
from tests.support.program import watched
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.cli.board.board import HELD_S
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left", "patience")]

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Open = Callable[..., Awaitable[Terminal]]

WRITE = ToolCall("Write", {"file_path": "new.txt", "content": "by the agent"})
SGR = re.compile(r"\x1b\[([0-9;]*)m")


@pytest.fixture
async def open_board(state: None, project: Path, tmp_path: Path) -> AsyncIterator[Open]:
    """Start the program without an argument, in the state folder of the test."""
    opened: list[Terminal] = []

    async def start(**more: str) -> Terminal:
        names = ("PATH", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
        env = {name: os.environ[name] for name in names}
        env |= {"HOME": str(tmp_path), "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        opened.append(await Terminal.start([], env | watched() | more, project))
        return opened[-1]

    yield start
    for terminal in opened:
        await terminal.kill()


def colours(raw: str) -> set[str]:
    """Every parameter of SGR that names a colour, or begins the name of one."""
    parts = {part for found in SGR.findall(raw) for part in found.split(";")}
    return {part for part in parts if re.fullmatch(r"3[0-8]|4[0-8]|9\d|10\d", part)}


async def test_session_is_answered_opened_and_left_for_the_board(
    begin: Begin, open_board: Open
) -> None:
    _, session = await begin(WRITE, Text("written"), name="asks")
    await until(session, e.PermissionRequested)
    screen = await open_board()
    await screen.sees("asks: Write new.txt")
    await screen.sees("y allow")
    resolved = asyncio.create_task(until(session, e.PermissionResolved))
    while not resolved.done():  # what is asked has to be read first, and a held key is none
        screen.keys("y")
        await asyncio.wait({resolved}, timeout=2 * HELD_S)
    assert resolved.result().decision == "allow"
    await until(session, e.TurnEnded)
    await screen.sees("At rest 1")
    screen.keys("\r")
    await screen.sees("turn 1 completed")
    await screen.sees("idle; type")
    screen.types("/quit")
    await screen.sees("At rest 1")
    screen.keys("q")
    assert await screen.ends() == 0
    assert "Traceback" not in screen.text
    assert colours(screen.raw) <= {"30", "31", "32", "33", "34", "35", "36", "37"}


async def test_colours_are_left_out_where_none_are_wanted(begin: Begin, open_board: Open) -> None:
    _, session = await begin(WRITE, name="asks")
    await until(session, e.PermissionRequested)
    screen = await open_board(NO_COLOR="1")
    await screen.sees("? asks")
    await screen.sees("y allow")
    screen.keys("\x03")
    assert await screen.ends() == 0
    assert colours(screen.raw) == set()


async def test_dumb_terminal_gets_the_list(begin: Begin, open_board: Open) -> None:
    _, session = await begin(Text("done"), name="one")
    await until(session, e.TurnEnded)
    screen = await open_board(TERM="dumb")
    await screen.sees("This terminal cannot show the board")
    await screen.sees("one   fake   idle")
    assert await screen.ends() == 0
    assert "\x1b" not in screen.raw


async def test_error_of_the_board_is_a_line_and_no_traceback(open_board: Open) -> None:
    screen = await open_board(XDG_STATE_HOME="/proc/nowhere")
    await screen.sees("midflight: ")
    assert await screen.ends() != 0
    assert "Traceback" not in screen.text
