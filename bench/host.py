"""Measures the journal, hosts and clients: the probes of ``python -m bench.probe host …``.

The raw side is what stands below: `sqlite3` and Unix sockets of the standard library, and for the
agent the raw SDK.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.background import end_hosts
from bench.base import First, Samples, Size, followed_up
from bench.host_other import other, raw_journal
from bench.host_work import LAST_WORDS, LONG, fill, rows, writing
from midflight import Text, TextDelta
from midflight import events as e
from midflight.client.client import Client, connect

if TYPE_CHECKING:
    from midflight.session import BaseSession

__all__ = ["PROBES"]

GROUP = 1_000
SETTLED = 20
"""How many events pass before the time of one is taken."""

MIDFLIGHT = str(Path(sys.executable).with_name("midflight"))
PATIENCE_S = 60.0
SCREEN = 100
UP_S = 1.5
"""How long an agent that has been started is given to come up."""

EVENTS_IN_A_TURN = 45


# Writing and reading ------------------------------------------------------------------------


async def journal(side: str, size: Size) -> Samples:
    """Durable events: how long many take, and how old one is when another process sees it."""
    samples: Samples = {}
    write = through_records if side == "midflight" else through_sqlite
    ages = ages_from_host if side == "midflight" else ages_from_socket
    for key, writers in (("append_1", 1), ("append_many", size.writers)):
        with tempfile.TemporaryDirectory() as folder:
            turns = max(1, size.writes // EVENTS_IN_A_TURN // writers)
            took = await write(Path(folder), writers, turns)
            samples[key] = [took / (writers * turns * EVENTS_IN_A_TURN) * 1_000]
    with tempfile.TemporaryDirectory() as folder:
        seen = sorted((await ages(Path(folder), size.drips + SETTLED))[SETTLED:])
    samples["seen_p50"], samples["seen_p99"] = [seen[len(seen) // 2]], [seen[len(seen) * 99 // 100]]
    return samples


async def through_records(folder: Path, writers: int, turns: int) -> float:
    """Return how long it takes until all are on disk."""
    async with writing(folder / "state", writers, turns) as write:
        return await write()


async def through_sqlite(folder: Path, writers: int, turns: int) -> float:
    """The same rows, which are ready, into one table."""
    told = rows((f"s-{number}" for number in range(writers)), turns)
    connection = raw_journal(folder / "events.sqlite")
    began = time.perf_counter()
    for first in range(0, len(told), GROUP):
        group = told[first : first + GROUP]
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", group)
        connection.commit()
    took = time.perf_counter() - began
    connection.close()
    return took


async def ages_from_host(folder: Path, count: int) -> list[float]:
    """Return how old each event is when a client sees it."""
    ages: list[float] = []
    async with other("drip", folder / "state") as host:
        name = await host.told()
        async with (
            connect(folder / "state") as client,
            await client.session(name, attend=False) as session,
        ):
            host.say(count)
            async for event in session.events(session.last_seq):
                if isinstance(event, e.Notice):
                    ages.append((time.monotonic_ns() - int(event.text)) / 1e9)
                    if len(ages) == count:
                        break
    return ages


async def ages_from_socket(folder: Path, count: int) -> list[float]:
    """The same from the other end of a bare socket."""
    ages: list[float] = []
    async with other("raw_drip", folder) as writer:
        await writer.told()
        with socket.socket(socket.AF_UNIX) as reader:
            reader.connect(f"{folder}/socket")
            writer.say(count)
            await asyncio.to_thread(_read_ages, reader, count, ages)
            writer.say("enough")
    return ages


def _read_ages(reader: socket.socket, count: int, ages: list[float]) -> None:
    with reader.makefile("rb") as lines:
        while len(ages) < count:
            event = json.loads(lines.readline())
            ages.append((time.monotonic_ns() - int(event["text"])) / 1e9)


# Looking ------------------------------------------------------------------------------------


# The state folder of the commands that are run here; it stays for the rounds that follow.
STATE = Path("state").absolute()


async def lists(side: str, size: Size) -> Samples:
    """In a journal with many sessions: list them, and attach to a long one that is live."""
    assert side == "midflight"
    os.environ["XDG_STATE_HOME"] = str(STATE)
    state = STATE / "midflight"
    if not STATE.exists():
        await fill(state, size.listed, size.turns, size.long)
    samples: Samples = {key: [] for key in ("ls", "ls_cli", "attach", "attach_cli")}
    async with other("keep", state, LONG) as keeper, connect() as client:
        await keeper.told()
        for _ in range(size.starts):
            began = time.perf_counter()
            found = await client.sessions()
            samples["ls"].append(time.perf_counter() - began)
            assert len(found) == size.listed + 1
            samples["attach"].append(await attached(client))
            samples["ls_cli"].append(await asyncio.to_thread(listed))
            samples["attach_cli"].append(await asyncio.to_thread(at_terminal))
    return samples


async def attached(client: Client) -> float:
    """Return how long it takes until the last screen is there and the session is followed."""
    began = time.perf_counter()
    async with await client.session(LONG) as session:
        screen = await client.tail(session.id, SCREEN)
        took = time.perf_counter() - began
        assert any(isinstance(event, e.Text) and event.text == LAST_WORDS for event in screen)
        assert session.last_seq >= (screen[-1].seq or 0) - 1
    return took


def listed() -> float:
    """Return how long ``midflight ls --json`` lives."""
    began = time.perf_counter()
    command = [MIDFLIGHT, "ls", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    took = time.perf_counter() - began
    assert LONG.encode() in done.stdout
    return took


def at_terminal() -> float:
    """Return how long ``midflight attach`` takes until the last words are on the terminal."""
    ours, theirs = pty.openpty()
    began = time.perf_counter()
    with subprocess.Popen(
        [MIDFLIGHT, "attach", LONG], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while LAST_WORDS.encode() not in seen:
                readable, _, _ = select.select([ours], [], [], PATIENCE_S)
                assert readable, seen.decode(errors="replace")
                seen = seen[-200:] + os.read(ours, 65_536)
            took = time.perf_counter() - began
        finally:
            process.kill()
            os.close(ours)
    return took


# Doing nothing ------------------------------------------------------------------------------


async def idle(side: str, size: Size) -> Samples:
    """What hosts cost in which nothing happens."""
    assert side == "midflight"
    hosts = [idled(size, live=1)]
    if size.warm_up:  # a try needs no more than one of them
        hosts += [idled(size, live=size.sessions), idled(size, rest=size.rest)]
    told = await asyncio.gather(*hosts)
    one, many, rest = told[0], *(told[1:] or told * 2)
    return {
        "idle_1": [one["used"]],
        "idle_many": [many["used"]],
        "idle_rest": [rest["used"]],
        "host_memory": [one["whole"]],
        "live_memory": [many["memory"] / size.sessions],
        "rest_memory": [rest["memory"]],
        "rest_held": [sum(max(0, rest[n]) for n in ("threads", "tasks", "timers", "descriptors"))],
    }


async def idled(size: Size, *, live: int = 0, rest: int = 0) -> dict[str, float]:
    """Return what one host holds, and what it uses while it does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        async with other("idle", f"{folder}/state", live, rest) as host:
            held: dict[str, float] = await host.told()
            host.say(size.idle)
            return held | {"used": await host.told()}


# Real agents --------------------------------------------------------------------------------


async def agents(side: str, size: Size) -> Samples:
    """Waking a session at rest, following up on a live one, and a task for an agent kept warm."""
    if side == "raw":
        return await raw_agents(size)
    samples: Samples = {"wake": [], "wake_gone": [], "follow_up": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state")
        name = await woken(state, size, samples)
        async with connect(state) as client:
            async with await client.session(name) as session:
                samples["wake_gone"].append(await first_text(session, "pong"))
                for _ in range(size.live // 3 or 1):
                    samples["follow_up"].append(await first_text(session, "pong"))
            await end_hosts(client)
        async with other("warm", state) as host, connect(state) as client:
            for _ in range(size.warm):
                host.say(UP_S)
                await host.told()
                began = time.perf_counter()
                async with await client.dispatch("pong", model="sonnet") as session:
                    samples["warm"].append(await text_after(session, began))
                    await session.close()
    return samples


async def woken(state: Path, size: Size, samples: Samples) -> str:
    """Lay a session to rest and wake it, in the same host; return its id."""
    from midflight.host import Host

    async with Host(state) as host:
        session = await host.dispatch("pong", model="sonnet")
        await text_after(session, 0.0)
        for _ in range(size.warm):
            await session.close("parked")
            began = time.perf_counter()
            session = await host.session(session.id)
            await session.send("pong")
            samples["wake"].append(await text_after(session, began))
    return session.id


async def first_text(session: BaseSession, text: str) -> float:
    began = time.perf_counter()
    await session.send(text)
    return await text_after(session, began)


async def text_after(session: BaseSession, began: float) -> float:
    """Read on until the session is quiet; return when the first text came.

    A warm agent can have answered before the reader is there, which then sees the whole text only.
    """
    took = 0.0
    async for event in session.stream():
        if isinstance(event, (Text, TextDelta)) and not took:
            took = time.perf_counter() - began
    assert took
    return took


async def raw_agents(size: Size) -> Samples:
    """The raw SDK: a conversation gone on with, a further message, and a new conversation."""
    import claude_agent_sdk  # noqa: F401 - a process that runs already has it

    samples: Samples = {"wake": [], "wake_gone": [], "follow_up": [], "warm": []}
    for _ in range(size.warm):
        async with raw_talk(None) as (took, conversation, _):
            samples["warm"].append(took)
        async with raw_talk(conversation) as (took, _, follow_up):
            samples["wake"].append(took)
            samples["wake_gone"].append(took)
            for _ in range(size.live // 9 or 1):
                samples["follow_up"].append(await follow_up())
    return samples


@contextlib.asynccontextmanager
async def raw_talk(
    resume: str | None,
) -> AsyncIterator[tuple[float, str, Callable[[], Awaitable[float]]]]:
    """Begin; yield how long the first text took, the conversation's id, and how to follow up."""
    from bench.sides import Raw

    first = First()
    async with Raw("pong", resume=resume) as talk:
        await talk.listen(first)
        yield first.took, talk.conversation, lambda: followed_up(talk)


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {
    "journal": journal,
    "lists": lists,
    "idle": idle,
    "agents": agents,
}
