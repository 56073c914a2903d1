"""A run goes on without its terminal: the same process, the same agent, the same turn."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from tests.cli.conftest import terminals
from tests.support.program import IN_ITS_TERMINAL, WITH_FAKE
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.client import Client, connect
from midflight.journal import Journal
from midflight.testing import ScriptedModel, Text, ToolCall, Wait, Words

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left", "state")]

Model = Callable[..., Awaitable[ScriptedModel]]
Start = Callable[..., Awaitable[Terminal]]


def at() -> dict[str, str]:
    """Where the test's journal is, for the program in the terminal."""
    return {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}


async def the_host() -> psutil.Process:
    async with Journal() as journal:
        [host] = [host for host in await journal.hosts() if host.alive]
    return psutil.Process(host.pid)


@pytest.fixture
async def client(state: None, no_agent_left: None) -> AsyncIterator[Client]:
    """A client of the test's journal; hosts that went on are ended at the end."""
    async with connect() as client:
        yield client
        hosts = [psutil.Process(host.pid) for host in await client.hosts() if host.alive]
        for host in hosts:
            host.terminate()
        assert not psutil.wait_procs(hosts, timeout=100)[1]


def agents_of(host: psutil.Process) -> set[int]:
    """The programs that a host has started, but for the shells that watch over them."""
    return {child.pid for child in host.children() if child.name() != "sh"}


async def test_the_session_goes_on_with_its_agent_and_its_turn(
    model: Model, terminal: Start, client: Client
) -> None:
    scripted = await model([Words("working "), Wait("go"), Text("done")], Text("more"))
    screen = await terminal(scripted, "run", "work", "--name", "fix", **at())
    await screen.sees("working")
    host = await the_host()
    agents = agents_of(host)
    assert len(agents) == 1
    screen.types("/background")
    await screen.sees("fix goes on. To come back: midflight attach fix")
    assert await screen.ends() == 0
    assert (host.is_running(), agents_of(host)) == (True, agents)
    assert (await client.info("fix")).status == "running"
    async with await client.session("fix", attend=False) as session:
        message = await session.send("and more", delivery="queue")
        scripted.signal("go")
        assert (await message.result()).text == "more"
    ends = [each for each in await client.history(session.id) if isinstance(each, e.TurnEnded)]
    assert [(end.turn, end.status, end.text) for end in ends] == [
        (1, "completed", "working done"),
        (2, "completed", "more"),
    ]
    assert agents_of(host) == agents
    assert host.terminal() is None


async def test_what_is_asked_there_is_answered_from_any_terminal(
    model: Model, fake_terminal: Start, client: Client
) -> None:
    write = ToolCall("Write", {"file_path": "new.txt", "content": "hello"})
    scripted = await model([Words("now "), Wait("go"), write], Text("done"))
    screen = await fake_terminal(scripted, "run", "work", "--name", "fix", **at())
    await screen.sees("now")
    screen.types("/background")
    assert await screen.ends() == 0
    scripted.signal("go")
    async with await client.session("fix", attend=False) as session:
        async for event in session.events():
            if isinstance(event, e.PermissionRequested):
                assert event.deadline is not None  # nobody attends
                break
    screen = await fake_terminal(scripted, "attach", "fix", **at())
    await screen.sees("Allow Write?")
    screen.types("y")
    await screen.sees("turn 1 completed")
    screen.types("/background")
    await screen.sees("Detached; fix goes on")
    assert await screen.ends() == 0
    assert (await client.info("fix")).status == "idle"


async def test_quiet_session_is_parked_once_its_terminal_has_gone(
    model: Model, fake_terminal: Start, client: Client
) -> None:
    soon = {**at(), "MIDFLIGHT_PARK_AFTER": "0.1"}
    scripted = await model(Text("one"), [Text("two"), Wait("go")])
    screen = await fake_terminal(scripted, "run", "work", "--name", "fix", **soon)
    await screen.sees("turn 1 completed")
    screen.types("go on")
    await screen.sees("two")
    screen.types("/background")
    assert await screen.ends() == 0
    scripted.signal("go")
    async with asyncio.timeout(60):
        while (info := await client.info("fix")).host is not None:
            pass
    assert (info.status, info.turns) == ("idle", 2)


async def test_session_that_nobody_could_reach_stays(model: Model, fake_terminal: Start) -> None:
    scripted = await model(Text("one"))
    screen = await fake_terminal(scripted, "run", "work", "--no-journal")
    await screen.sees("turn 1 completed")
    screen.types("/background")
    await screen.sees("it cannot go on without this terminal: no other terminal could reach it")
    await screen.quits()


async def test_run_ends_with_the_process_that_waits_for_it(
    model: Model, fake_terminal: Start, client: Client
) -> None:
    scripted = await model([Words("working "), Wait("never")])
    screen = await fake_terminal(scripted, "run", "work", "--name", "fix", **at())
    await screen.sees("working")
    screen.sends(signal.SIGKILL)
    async with await client.session("fix", attend=False) as session:
        reasons = [
            each.reason async for each in session.events() if isinstance(each, e.SessionEnded)
        ]
    assert reasons == ["closed"]


@pytest.fixture
async def window(project: Path, claude_home: Path) -> AsyncIterator[Start]:
    """Start the program with a fake agent in a terminal that a person can close."""
    async for start in terminals(project, claude_home, (*IN_ITS_TERMINAL, *WITH_FAKE)):
        yield start


@pytest.mark.parametrize("stays", [True, False])
async def test_closing_the_terminal_leaves_the_session_at_work_if_wanted(
    model: Model, window: Start, client: Client, tmp_path: Path, stays: bool
) -> None:
    config = tmp_path / "config" / "midflight" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[terminal]\nbackground = {str(stays).lower()}\n")
    config.chmod(0o600)
    scripted = await model([Words("working "), Wait("go"), Text("done")])
    where = {**at(), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    screen = await window(scripted, "run", "work", "--name", "fix", **where)
    await screen.sees("working")
    host = await the_host()
    async with await client.session("fix", attend=False) as session:
        screen.close()
        assert (await screen.ends() == 0) == stays
        if stays:
            scripted.signal("go")
        ends = [each async for each in session.stream() if isinstance(each, e.TurnEnded)]
    assert [end.text for end in ends] == (["working done"] if stays else [""])
    assert host.is_running() == stays
