"""Measures in a process of its own: ``python -m bench.probe SIDE PROBE SIZE SESSIONS`` prints JSON.

The result maps a figure's key to its samples, in seconds or bytes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import psutil

from bench.sides import SIDES, Side

Samples = dict[str, list[float]]

SETTLE_S = 1.0
"""What a side does once in the background (a price table, for one) is over by then."""

INTERRUPT_AFTER = 20


def nothing(text: str) -> None:
    """Drop a delta."""


class First:
    """Notes when the first text comes."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.took = 0.0

    def __call__(self, text: str) -> None:
        if not self.took:
            self.took = time.perf_counter() - self.began


async def warm(side: type[Side], size: int, sessions: int) -> Samples:
    """In a process that has done it before: a new session, a follow-up, an interrupt."""
    samples: Samples = {"call": [], "follow_up": [], "interrupt": []}
    for number in range(size + 1):
        first = First()
        async with side("pong") as talk:
            await talk.listen(first)
            if number == 0:  # the first session warms the process up
                await asyncio.sleep(SETTLE_S)
                continue
            samples["call"].append(first.took)
            for _ in range(3):
                first = First()
                await talk.say("pong")
                await talk.listen(first)
                samples["follow_up"].append(first.took)
            for _ in range(3):
                samples["interrupt"].append(await interrupted(talk))
    return samples


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


async def cpu(side: type[Side], size: int, sessions: int) -> Samples:
    """Processor time of this process (not of the agent's) for many deltas."""
    seen: list[str] = []
    async with side("words 100") as talk:
        await talk.listen(nothing)
        await asyncio.sleep(SETTLE_S)
        before = time.process_time()
        await talk.say(f"words {size}")
        await talk.listen(seen.append)
        took = time.process_time() - before
    assert len(seen) == size
    return {"cpu": [took * 10_000 / size]}


async def delay(side: type[Side], size: int, sessions: int) -> Samples:
    """How old deltas are when the program sees them, with several sessions at once."""
    delays: list[float] = []

    def note(text: str) -> None:
        delays.append((time.monotonic_ns() - int(text)) / 1e9)

    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(side("pong")) for _ in range(sessions)]
        for talk in talks:
            await talk.listen(nothing)
        await asyncio.sleep(SETTLE_S)
        for talk in talks:
            await talk.say(f"stamps {size}")
        await asyncio.gather(*(talk.listen(note) for talk in talks))
    assert len(delays) == sessions * size
    delays.sort()
    return {"delay_p50": [delays[len(delays) // 2]], "delay_p99": [delays[len(delays) * 99 // 100]]}


async def memory(side: type[Side], size: int, sessions: int) -> Samples:
    """Memory of this process for each further session, after a turn of this many deltas."""
    process = psutil.Process()
    async with AsyncExitStack() as stack:

        async def session() -> None:
            talk = await stack.enter_async_context(side(f"words {size}"))
            await talk.listen(nothing)

        await session()
        await asyncio.sleep(SETTLE_S)
        gc.collect()
        before = process.memory_full_info()
        for _ in range(sessions):
            await session()
        gc.collect()
        after = process.memory_full_info()
    return {
        "memory": [(after.uss - before.uss) / sessions],
        "memory_rss": [(after.rss - before.rss) / sessions],
    }


PROBES: dict[str, Callable[[type[Side], int, int], Awaitable[Samples]]] = {
    "warm": warm,
    "cpu": cpu,
    "delay": delay,
    "memory": memory,
}


async def main(side: str, probe: str, size: str, sessions: str) -> None:
    print(json.dumps(await PROBES[probe](SIDES[side], int(size), int(sessions))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
