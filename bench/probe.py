"""Measures in a process of its own: ``python -m bench.probe AGENT SIDE PROBE SIZE``.

SIZE is JSON. It prints JSON too, which maps a figure's key to its samples, in seconds or bytes.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil

from bench.base import First, MakeSide, Samples, Side, Size, followed_up
from bench.sides import side

SETTLE_S = 1.0

INTERRUPT_AFTER = 20


async def settle(size: Size) -> None:
    """Wait for what a side does once in the background (a price table, for one)."""
    if size.warm_up:
        await asyncio.sleep(SETTLE_S)


def nothing(text: str) -> None:
    """Drop a delta."""


async def warm(begin: MakeSide, size: Size) -> Samples:
    """In a process that has done it before: a new session, a follow-up, an interrupt."""
    samples: Samples = {"call": [], "follow_up": [], "interrupt": []}
    if size.warm_up:
        async with begin("pong") as talk:
            await talk.listen(nothing)
            await settle(size)
    for _ in range(size.warm):
        first = First()
        async with begin("pong") as talk:
            await talk.listen(first)
            samples["call"].append(first.took)
            for _ in range(3):
                samples["follow_up"].append(await followed_up(talk))
            for _ in range(3):
                samples["interrupt"].append(await interrupted(talk))
    return samples


async def live(begin: MakeSide, size: Size) -> Samples:
    """In one session, because a server takes long to start."""
    async with begin("pong") as talk:
        await talk.listen(nothing)
        await settle(size)
        return {
            "follow_up": [await followed_up(talk) for _ in range(size.live)],
            "interrupt": [await interrupted(talk) for _ in range(size.live)],
            "cpu": [await worked(talk, size.cpu)],
        }


async def edits(begin: MakeSide, size: Size) -> Samples:
    """How long an edit takes, in turns of many; the side accepts them."""
    samples = []
    async with begin("pong") as talk:
        await talk.listen(nothing)
        await settle(size)
        for _ in range(3):
            began = time.perf_counter()
            await talk.say(f"edits {size.edits} {Path.cwd()}")
            await talk.listen(nothing)
            samples.append((talk.ended - began) / size.edits)
    assert len(list(Path.cwd().glob("edit-*"))) >= 3 * size.edits
    return {"edit": samples}


async def servers(begin: MakeSide, size: Size) -> Samples:
    """What the agent's programs hold for several sessions in one folder."""
    async with AsyncExitStack() as stack:

        async def session() -> None:
            talk = await stack.enter_async_context(begin(f"words {size.memory}"))
            await talk.listen(nothing)

        await asyncio.gather(*(session() for _ in range(size.servers)))
        await settle(size)
        programs = psutil.Process().children(recursive=True)
        held = sum(_held(program.memory_full_info()) for program in programs)
        return {"servers": [held / size.servers]}


def _held(info: Any) -> int:
    """Return the memory of a process; where that is known, what it shares counts by its share."""
    return int(getattr(info, "pss", info.uss))


async def interrupted(talk: Side) -> float:
    """Stop a turn in the middle of its text, and return how long its end took."""
    seen = 0
    flowing = asyncio.Event()

    def count(text: str) -> None:
        nonlocal seen
        seen += 1
        if seen == INTERRUPT_AFTER:
            flowing.set()

    await talk.say("drip 2000")
    listening = asyncio.ensure_future(talk.listen(count))
    await flowing.wait()
    began = time.perf_counter()
    await talk.interrupt()
    await listening
    assert INTERRUPT_AFTER <= seen < 2000
    return talk.ended - began


async def cpu(begin: MakeSide, size: Size) -> Samples:
    """Processor time, in a session that has streamed before."""
    async with begin("words 100") as talk:
        await talk.listen(nothing)
        await settle(size)
        return {"cpu": [await worked(talk, size.cpu)]}


async def worked(talk: Side, count: int) -> float:
    """Return the processor time of this process (not of the agent's) for 10,000 deltas."""
    seen: list[str] = []
    before = time.process_time()
    await talk.say(f"words {count}")
    await talk.listen(seen.append)
    took = time.process_time() - before
    assert len(seen) == count
    return took * 10_000 / count


async def delay(begin: MakeSide, size: Size, pace_ms: int = 10) -> Samples:
    """How old deltas are when the program sees them, with several sessions at once."""
    delays: list[float] = []

    def note(text: str) -> None:
        delays.append((time.monotonic_ns() - int(text)) / 1e9)

    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(begin("pong")) for _ in range(size.sessions)]
        for talk in talks:
            await talk.listen(nothing)
        await settle(size)
        for talk in talks:
            await talk.say(f"stamps {size.delay} {pace_ms}")
        await asyncio.gather(*(talk.listen(note) for talk in talks))
    assert len(delays) == size.sessions * size.delay
    return ranked(delays)


def ranked(delays: list[float]) -> Samples:
    """Return the median and the 99th percentile."""
    delays.sort()
    return {"delay_p50": [delays[len(delays) // 2]], "delay_p99": [delays[len(delays) * 99 // 100]]}


async def memory(begin: MakeSide, size: Size) -> Samples:
    """Memory of this process for each further session, after a turn of this many deltas."""
    process = psutil.Process()
    async with AsyncExitStack() as stack:

        async def session() -> None:
            talk = await stack.enter_async_context(begin(f"words {size.memory}"))
            await talk.listen(nothing)

        if size.warm_up:
            await session()
            await settle(size)
        gc.collect()
        before = process.memory_full_info()
        for _ in range(size.sessions):
            await session()
        gc.collect()
        after = process.memory_full_info()
    return {
        "memory": [(after.uss - before.uss) / size.sessions],
        "memory_rss": [(after.rss - before.rss) / size.sessions],
    }


PROBES: dict[str, Callable[[MakeSide, Size], Awaitable[Samples]]] = {
    "warm": warm,
    "live": live,
    "edits": edits,
    "servers": servers,
    "cpu": cpu,
    "delay": delay,
    "memory": memory,
}


async def main(agent: str, name: str, probe: str, size: str) -> None:
    given = Size(**json.loads(size))
    if agent not in ("claude", "opencode"):
        comparison = importlib.import_module(f"bench.{agent}")
        samples = await comparison.PROBES[probe](name, given)
    else:
        samples = await PROBES[probe](side(agent, name, accepts=probe == "edits"), given)
    print(json.dumps(samples))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
