"""Measures `midflight serve`: how old a delta is that a client reads, and what readers cost.

The raw side is what the agent stands on, read in process: for Claude Code the raw SDK; the `fake`
agent has no program, so there it is the sessions themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.background import end_hosts
from bench.base import Samples, Size
from bench.host_other import other
from bench.probe import delay, nothing, ranked, settle
from bench.serving import PATIENCE_S, Event, Server, serve
from bench.sides import Midflight, Raw
from midflight import commands as c
from midflight.client.client import connect
from midflight.info import SessionInfo

__all__ = ["PROBES", "Sessions", "ages", "of_fake"]

PACE_MS, SLOW_MS = 10, 50
"""The pause between the deltas of a session, and that where there are many of them or readers."""

STATE = Path("state-of-server").absolute()
"""Where the sessions of the fake agent are."""


class Sessions(NamedTuple):
    """Sessions that are idle, and what tells something to all of them."""

    ids: Sequence[str]
    say: Callable[[str], Awaitable[None]]


Hear = Callable[[Server, Sessions, str, int], Awaitable[list[float]]]
"""Say something; return how old each of so many deltas of a session was when it was there."""


@contextlib.asynccontextmanager
async def of_claude(count: int, size: Size) -> AsyncIterator[Sessions]:
    """Have so many sessions of Claude Code in the background."""
    async with connect() as client:
        options = {"model": "sonnet", "cwd": str(Path.cwd())}
        ids = [(await client.begin("pong", options)).id for _ in range(count)]
        async with asyncio.timeout(PATIENCE_S):
            while not all(map(_is_done, await client.sessions())):  # noqa: ASYNC110 - elsewhere
                await asyncio.sleep(0.1)
        await settle(size)

        async def say(text: str) -> None:
            for id in ids:  # noqa: A001 - that is what it is
                await client.carry_out(id, c.Send(text=text))

        yield Sessions(ids, say)
        await end_hosts(client)


def _is_done(session: SessionInfo) -> bool:
    return bool(session.turns) and session.status == "idle"


@contextlib.asynccontextmanager
async def of_fake(count: int) -> AsyncIterator[Sessions]:
    """Have so many sessions of the fake agent in a host of their own."""
    os.environ["XDG_STATE_HOME"] = str(STATE)
    async with other("choir", STATE / "midflight", count) as host:
        ids: list[str] = await host.told()

        async def say(text: str) -> None:
            host.say(text)

        yield Sessions(ids, say)


async def ages(side: str, size: Size, hear: Hear) -> Samples:
    """How old deltas are: of one and of several sessions of Claude Code, and of many fake ones."""
    samples: Samples = {}
    for key, count in (("one", 1), ("some", size.sessions)):
        if side == "raw":
            samples |= _of(key, await delay(Raw, size._replace(sessions=count)))
        else:
            async with of_claude(count, size) as sessions, serve() as server:
                heard = await hear(server, sessions, f"stamps {size.delay} {PACE_MS}", size.delay)
            samples |= _of(key, ranked(heard))
    few = size._replace(sessions=size.writers, delay=size.delay // 3)
    if side == "raw":
        samples |= _of("many", await in_process(few))
    else:
        async with of_fake(few.sessions) as sessions, serve() as server:
            heard = await hear(server, sessions, f"stamps {few.delay} {SLOW_MS}", few.delay)
        samples |= _of("many", ranked(heard))
    return samples


def _of(key: str, samples: Samples) -> Samples:
    return {f"{key}_{name}": values for name, values in samples.items()}


async def in_process(size: Size) -> Samples:
    """How old deltas of fake agents are that this process has."""
    from bench.model import StampingFake, script

    async with StampingFake(script) as model:
        env = model.env(Path.cwd())
        return await delay(lambda text: Midflight(text, agent="fake", env=env), size, SLOW_MS)


async def heard(server: Server, sessions: Sessions, text: str, count: int) -> list[float]:
    """See `Hear`: a second client of the server, which reads all of the sessions."""
    found: list[float] = []
    left, done = {*sessions.ids}, asyncio.Event()

    def take(event: Event) -> None:
        if event.get("type") == "text.delta" and event["text"].strip():
            found.append((time.monotonic_ns() - int(event["text"])) / 1e9)
        elif event.get("type") == "turn.ended":
            left.discard(event["session"])
            if not left:
                done.set()

    async with server.reading(sessions.ids, Reader()), server.reading(sessions.ids, take):
        await sessions.say(text)
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()
    assert len(found) == count * len(sessions.ids), (len(found), count, len(sessions.ids))
    return found


class Reader:
    """One of many readers: what it has had."""

    def __init__(self) -> None:
        self.ages: list[float] = []
        self.done = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if event.get("type") == "text.delta" and event["text"].strip():
            self.ages.append((time.monotonic_ns() - int(event["text"])) / 1e9)
        elif event.get("type") == "turn.ended":
            self.done.set()


async def readers(side: str, size: Size) -> Samples:
    """What many readers of one session cost: processor time for each delta, and memory."""
    text = f"stamps {size.delay // 3} {SLOW_MS}"
    if side == "raw":
        async with Raw("pong") as talk:
            await talk.listen(nothing)
            await settle(size)
            before = time.process_time()
            await talk.say(text)
            await talk.listen(nothing)
            return {"reader_cpu": [(time.process_time() - before) / (size.delay // 3)]}
    async with of_fake(1) as sessions, serve() as server:
        one = await _cost(server, sessions, text, 1)
        many = await _cost(server, sessions, text, size.readers)
    return {
        "reader_cpu": [(many.used - one.used) / (size.readers - 1) / (size.delay // 3)],
        "reader_memory": [(many.memory - one.memory) / (size.readers - 1)],
        "reader_p99": ranked(many.ages)["delay_p99"],
        "reader_missed": [size.readers * (size.delay // 3) - len(many.ages)],
    }


class _Cost(NamedTuple):
    used: float
    memory: int
    ages: list[float]


async def _cost(server: Server, sessions: Sessions, text: str, count: int) -> _Cost:
    async with AsyncExitStack() as stack:
        each = [Reader() for _ in range(count)]
        for reader in each:
            await stack.enter_async_context(server.reading(sessions.ids, reader))
        before = server.used()
        await sessions.say(text)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(reader.done.wait() for reader in each))
        used, memory = server.used() - before, server.memory()
        return _Cost(used, memory, [age for reader in each for age in reader.ages])


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {
    "ages": partial(ages, hear=heard),
    "readers": readers,
}
