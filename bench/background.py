"""Sessions that another process runs, as a side: through a host in the background, or ``--json``.

And what sessions in the background cost: ``run -d`` until it has begun one, and their memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from bench import opencode
from bench.base import First, MakeSide, OnText, Samples, Size
from bench.probe import delay, interrupted, nothing
from bench.sides import Raw
from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.events import TextDelta, TurnEnded

__all__ = ["PROBES", "Hosted", "Json", "end_hosts"]

MIDFLIGHT = str(Path(sys.executable).with_name("midflight"))
PATIENCE_S = 60.0


class Hosted:
    """A conversation in a host of the background, which all of this process share."""

    def __init__(self, text: str, **options: Any) -> None:
        self._text, self._options = text, options
        self._stack = AsyncExitStack()
        self._session: RemoteSession
        self.ended = 0.0

    async def __aenter__(self) -> Self:
        client = await self._stack.enter_async_context(connect())
        session = await client.dispatch(self._text, **self._options)
        self._session = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()
        await self._stack.aclose()

    async def say(self, text: str) -> None:
        await self._session.send(text)

    async def listen(self, on_text: OnText) -> None:
        async for event in self._session.stream():
            if isinstance(event, TextDelta):
                on_text(event.text)
            elif isinstance(event, TurnEnded):
                self.ended = time.perf_counter()

    async def interrupt(self) -> None:
        await self._session.interrupt()


class Json:
    """A conversation with ``midflight run --json``, as any language has one."""

    def __init__(self, text: str, *, model: str) -> None:
        self._argv = ["run", "--json", text, "--model", model]
        self._process: asyncio.subprocess.Process
        self.ended = 0.0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            MIDFLIGHT,
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tell(type="close")
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.communicate()

    def _tell(self, **command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def say(self, text: str) -> None:
        self._tell(type="send", text=text)

    async def listen(self, on_text: OnText) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            if event["type"] == "text.delta":
                on_text(event["text"])
            elif event["type"] == "turn.ended":
                self.ended = time.perf_counter()
                return

    async def interrupt(self) -> None:
        self._tell(type="interrupt")


async def end_hosts(client: Client) -> None:
    """End the hosts that were started in the background."""
    for host in await client.hosts():
        os.kill(host.pid, signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        while await client.hosts():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


# What they cost -------------------------------------------------------------------------------


async def cost(side: str, size: Size) -> Samples:
    """``run -d`` with and without a host that lives, and the memory of all but the agents."""
    assert side == "midflight"
    samples: Samples = {key: [] for key in ("run_d_cold", "run_d", "further_memory")}
    async with connect() as client:
        for _ in range(size.warm):
            samples["run_d_cold"].append(await begun())
            one = await held(client)
            more = [await begun() for _ in range(size.sessions)]
            samples["run_d"] += more
            samples["further_memory"].append((await held(client) - one) / len(more))
            await end_hosts(client)
    return samples


async def begun() -> float:
    """Return how long ``midflight run -d`` takes until it has accepted its task, and says so."""
    command = [MIDFLIGHT, "run", "-d", "pong", "--model", "sonnet"]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await process.stdout.readline()
        took = time.perf_counter() - began
        await process.stdout.read()
        assert await process.wait() == 0
    return took


async def held(client: Client) -> int:
    """Return what the hosts hold when all is quiet, with what watches over their agents."""
    async with asyncio.timeout(PATIENCE_S):
        while await working(client):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
    total = 0
    for row in await client.hosts():
        host = psutil.Process(row.pid)
        watching = [child for child in host.children() if "reaper" in child.cmdline()]
        total += sum(each.memory_full_info().uss for each in (host, *watching))
    return total


async def working(client: Client) -> bool:
    """Tell whether a session of a host is not idle."""
    return any(info.status != "idle" for info in await client.sessions() if info.host)


# What is read of them -------------------------------------------------------------------------


async def hosted(side: str, size: Size) -> Samples:
    """How old deltas are that come through a host, of several sessions at once."""
    begin: MakeSide = Raw if side == "raw" else lambda text: Hosted(text, model="sonnet")
    samples = await delay(begin, size)
    if side != "raw":
        async with connect() as client:
            await end_hosts(client)
    return {f"hosted_{key}": values for key, values in samples.items()}


async def as_json(side: str, size: Size) -> Samples:
    """The same of ``run --json``, a program each; and how long an interrupt takes there."""
    begin: MakeSide = Raw if side == "raw" else lambda text: Json(text, model="sonnet")
    samples = {"json_delay_p50": (await delay(begin, size))["delay_p50"]}
    async with begin("pong") as talk:
        await talk.listen(nothing)
        samples["json_interrupt"] = [await interrupted(talk) for _ in range(size.live)]
    return samples


# OpenCode -------------------------------------------------------------------------------------


async def one_server(side: str, size: Size) -> Samples:
    """Several sessions in the background and what serves them, beside one server as it is."""
    ages: list[float] = []

    def note(text: str) -> None:
        if text.strip().isdigit():
            ages.append((time.monotonic_ns() - int(text)) / 1e9)

    stamps = f"stamps {size.delay} 10"
    if side == "raw":
        first = First()
        async with opencode.Raw("pong") as talk:
            await talk.listen(first)
            await talk.many(size.sessions, note, stamps)
            memory = programs_of(psutil.Process(talk.server))
        again = first.took
    else:
        memory, again = await served(size, note, stamps)
    ages.sort()
    return {
        "served_memory": [memory],
        "served_again": [again],
        "served_delay_p99": [ages[len(ages) * 99 // 100]],
    }


async def served(size: Size, on_text: OnText, text: str) -> tuple[float, float]:
    """Have sessions work in the background; return their memory, and how soon the last began."""
    async with AsyncExitStack() as stack:
        talks: list[Hosted] = []
        first = First()
        for _ in range(size.sessions):
            first = First()
            talks.append(await stack.enter_async_context(Hosted("pong", agent="opencode")))
            await talks[-1].listen(first)
        for talk in talks:
            await talk.say(text)
        await asyncio.gather(*(talk.listen(on_text) for talk in talks))
        client = await stack.enter_async_context(connect())
        hosts = [psutil.Process(row.pid) for row in await client.hosts()]
        memory = sum(programs_of(child) for host in hosts for child in host.children())
        await end_hosts(client)
    return memory, first.took


def programs_of(root: psutil.Process) -> float:
    """Return the memory of a program with all that it has started; what is shared by its share."""
    programs = [root, *root.children(recursive=True)]
    return float(sum(program.memory_full_info().pss for program in programs))


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {
    "cost": cost,
    "hosted": hosted,
    "json": as_json,
    "served": one_server,
}
