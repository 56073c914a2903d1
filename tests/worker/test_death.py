"""Workers of their own processes: each turn runs once, and a worker that is killed loses none."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.events import ended
from tests.support.faults import PROGRAMS
from tests.support.program import Program, watched
from tests.worker.conftest import Begin

from midflight import commands as c
from midflight.client.client import Client

Start = Callable[..., Awaitable[Program]]

SESSIONS = int(os.environ.get("MIDFLIGHT_TEST_WAITING", "8"))
TURNS = 3


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Return the file of all that the models of the workers were asked."""
    (tmp_path / "asked").touch()
    return tmp_path / "asked"


@pytest.fixture
async def start(server: str, asked: Path, tmp_path: Path) -> AsyncIterator[Start]:
    """Return a function that starts a worker, on a machine of the name that it is given."""
    started: list[Program] = []
    environment = watched() | {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path / "state")}

    async def one(machine: str, *more: str, capacity: int = 1) -> Program:
        words = [server, machine, str(capacity), str(asked), *more]
        command = (sys.executable, str(PROGRAMS / "worker.py"))
        program = await Program.start(words, environment, tmp_path, command, listens=False)
        started.append(program)
        await program.reads("there")
        return program

    yield one
    for program in started:
        await program.kill()


def _lines(asked: Path) -> list[str]:
    return asked.read_text(encoding="utf-8").splitlines()


async def _asked(asked: Path, count: int) -> None:
    """Wait until the models were asked so often."""
    while len(await asyncio.to_thread(_lines, asked)) < count:
        pass  # the test's own time ends it


async def test_each_turn_of_many_sessions_runs_once_and_in_order(
    client: Client, start: Start, asked: Path, tmp_path: Path
) -> None:
    options = {"agent": "fake", "cwd": tmp_path}
    sessions = [(await client.begin(f"{n}-1", options, on="gpu")).id for n in range(SESSIONS)]
    await start("one", capacity=2)
    await start("two", capacity=3)
    for turn in range(2, TURNS + 1):
        for n, session in enumerate(sessions):
            await client.carry_out(session, c.Send(text=f"{n}-{turn}", delivery="queue"))

    await _asked(asked, SESSIONS * TURNS)

    lines = _lines(asked)
    assert len(lines) == SESSIONS * TURNS
    for n in range(SESSIONS):
        mine = [line for line in lines if line.startswith(f"{n}-")]
        assert mine == [f"{n}-{turn}" for turn in range(1, TURNS + 1)]


async def test_session_that_was_claimed_and_not_begun_is_claimed_again(
    begin: Begin, start: Start, asked: Path
) -> None:
    session = await begin(task="go", env={})
    doomed = await start("one", "claim")
    await doomed.process.wait()

    await start("two")

    assert (await ended(session.first)).text == "heard go"
    assert _lines(asked) == ["go"]


async def test_turn_of_a_worker_that_is_killed_is_not_run_again(
    begin: Begin, client: Client, start: Start, asked: Path
) -> None:
    session = await begin(task="hang", env={})
    queued = await session.send("afterwards", delivery="queue")
    one = await start("one")
    await _asked(asked, 1)
    await start("two")

    await one.kill()

    result = await ended(session.first)
    assert (result.status, result.reason) == ("failed", "host_died")
    info = await client.info(session.id)
    assert (info.status, info.waits_for) == ("idle", "")  # what waits behind it is not begun
    more = await session.send("more", delivery="queue")
    assert (await ended(queued)).text.endswith("afterwards")
    assert (await ended(more)).text == "heard more"
    assert _lines(asked).count("hang") == 1


async def test_idle_session_of_a_worker_that_is_killed_goes_on_elsewhere(
    begin: Begin, start: Start
) -> None:
    session = await begin(task="go", env={})
    one = await start("one")
    await ended(session.first)
    await one.kill()
    await start("two")

    more = await session.send("more")

    assert (await ended(more)).text == "heard more"
