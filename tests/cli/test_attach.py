"""A terminal that takes part in a session of another process: here of the test itself."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.events import so_far
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.host import Host
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Wait

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left", "patience")]

WRITE = ToolCall("Write", {"file_path": "new.txt", "content": "by the agent"})

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Open = Callable[..., Awaitable[Terminal]]


@pytest.fixture
async def attached(host: Host, project: Path) -> AsyncIterator[Open]:
    """Open terminals that are attached to the sessions of the test's host."""
    opened: list[Terminal] = []

    async def start(*arguments: str) -> Terminal:
        env = dict(os.environ) | {"TERM": "xterm-256color"}
        opened.append(await Terminal.start(("attach", *arguments), env, project))
        return opened[-1]

    yield start
    for terminal in opened:
        await terminal.kill()


async def test_several_terminals_take_part_and_leaving_stops_nothing(
    begin: Begin, attached: Open
) -> None:
    _, session = await begin([Text("Looking."), WRITE], Text("Written."), Text("And more."))
    first, second = await attached(), await attached("make")
    for screen in (first, second):
        await screen.sees("> make it")
        await screen.sees("Looking.")
        await screen.sees("Allow Write?")
    second.types("y")
    for screen in (first, second):
        await screen.sees("[allowed]")
        await screen.sees("Written.")
        await screen.sees("idle")
    first.types("and more")
    for screen in (first, second):
        await screen.sees("> and more")
        await screen.sees("And more.")
        await screen.sees("turn 2 completed")
    first.types("/detach")
    await first.sees("Detached; make-it goes on. To come back: midflight attach make-it")
    assert await first.ends() == 0
    second.keys("\x04")
    assert await second.ends() == 0
    assert session.status == "idle"


@fault("S14")
async def test_nothing_is_printed_below_an_open_request(begin: Begin, attached: Open) -> None:
    _, session = await begin([Text("Allow Bash? y, n, a > "), WRITE], Text("Well."))
    screen = await attached()
    await screen.sees("leave to use Write")
    await screen.sees("Allow Write?")
    session.notice("info", "Allow Read? y, n, a, or n and why not >")
    screen.types("n")
    await screen.sees("[denied] Write new.txt")
    await screen.sees("[notice] Allow Read?")  # what came meanwhile follows the answer
    await screen.sees("Well.")
    assert screen.text.count("Allow Read?") == 1
    assert "type to steer" not in screen.text
    screen.types("/detach")
    assert await screen.ends() == 0


@fault("S15")
async def test_a_yes_is_no_message_when_another_terminal_has_answered(
    begin: Begin, attached: Open
) -> None:
    _, session = await begin(WRITE, Text("Written."), Text("Welcome."))
    screen = await attached()
    await screen.sees("Allow Write?")
    screen.keys("y")
    await screen.sees("y")
    await session.answer(session.pending[0])
    await screen.sees("[allowed] Write new.txt (a program)")
    await screen.sees("turn 1 completed")
    screen.keys("\r")
    await screen.sees('"y" answers, and is not sent as a message: nothing is asked')
    screen.types("es, thank you")  # behind the y, which was kept
    await screen.sees("> yes, thank you")
    await screen.sees("turn 2 completed")
    texts = [event.text async for event in so_far(session) if isinstance(event, e.MessageAccepted)]
    assert texts == ["make it", "yes, thank you"]
    who = [event.who async for event in so_far(session) if isinstance(event, e.MessageAccepted)]
    assert [(each.role, each.door) for each in who if each] == [
        ("program", "library"),
        ("user", "terminal"),
    ]
    assert who[1]
    assert who[1].terminal.startswith("/dev/")
    screen.types("/detach")
    assert await screen.ends() == 0


async def test_esc_interrupts_for_every_terminal(begin: Begin, attached: Open) -> None:
    model, session = await begin([Wait("never")])
    await model.reached("never")
    screen = await attached()
    await screen.sees("waiting for the model")
    screen.keys("\x1b")
    await screen.sees("turn 1 interrupted")
    assert session.status == "idle"


async def test_only_the_last_screens_of_a_long_session_are_shown(
    begin: Begin, attached: Open
) -> None:
    plan = [ToolCall("TodoWrite", {"todos": []}) for _ in range(60)]
    _, session = await begin(*(step for step in plan), Text("The end."))
    async for event in session.stream():
        assert not isinstance(event, e.SessionEnded)
    screen = await attached()
    await screen.sees(f"… {session.last_seq - 100} earlier events: midflight logs make-it")
    await screen.sees("The end.")
    assert "make it" not in screen.text


async def test_the_end_of_a_session_ends_its_terminals(begin: Begin, attached: Open) -> None:
    _, session = await begin(Text("Done."))
    screen = await attached()
    await screen.sees("turn 1 completed")
    await session.close()
    await screen.sees("make-it has ended. To go on: midflight resume make-it")
    assert await screen.ends() == 0


async def test_a_watched_list_is_shown_again_when_something_changes(
    begin: Begin, host: Host, project: Path
) -> None:
    env = dict(os.environ) | {"TERM": "xterm-256color"}
    screen = await Terminal.start(("ls", "--watch"), env, project)
    await screen.sees("No sessions yet.")
    _, session = await begin(WRITE, Text("Written."))
    await screen.sees("asks: Write new.txt")
    await session.answer(session.pending[0])
    await screen.sees("Written.")
    assert "\x1b[2F\x1b[J" in screen.raw  # in the place of what stood there
    screen.sends(signal.SIGINT)
    assert await screen.ends() == 0
    await screen.kill()


async def test_f2_goes_to_the_session_that_has_waited_longest_and_back(
    begin: Begin, attached: Open
) -> None:
    model, waits = await begin([Wait("go"), WRITE], Text("Written."), task="write it")
    _, session = await begin(Text("Done."), Text("And that."))
    screen = await attached("make-it")
    await screen.sees("turn 1 completed")
    screen.keys("\x1bOQ")
    await screen.sees("no other session waits for you")
    model.signal("go")
    await screen.sees("write-it waits:")
    screen.keys("a draft")
    await screen.sees("a draft")
    screen.keys("\x1bOQ")
    await screen.sees("── write-it · F2: back to make-it ──")
    await screen.sees("> write it")
    await screen.sees("Allow Write?")
    await screen.sees("F2: back to make-it")
    await session.send("and that")  # is not shown meanwhile
    screen.types("y")
    await screen.sees("Written.")
    await screen.sees("turn 1 completed")
    assert "And that." not in screen.text
    screen.keys("\x1bOQ")
    await screen.sees("── make-it ──")
    await screen.sees("And that.")
    await screen.sees("a draft")
    screen.keys("\x15")
    screen.types("/detach")
    await screen.sees("Detached; make-it goes on")
    assert await screen.ends() == 0
    assert (waits.status, session.status) == ("idle", "idle")
