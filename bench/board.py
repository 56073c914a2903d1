"""Measures the board: until it is there, and what it takes while 200 sessions are at work.

The raw side of the start is a table of as many rows in an application of Textual with nothing else.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from bench.base import Samples, Size
from bench.host_other import other
from bench.host_work import fill
from bench.terminal import Terminal

__all__ = ["PROBES"]

SESSIONS = 200
RATE = 10
SETTLES_S = 3.0
"""How long the first looks may take, at which every session is read."""

ROW = "session-1"
"""How a row begins: the newest stand first on one side, the oldest on the other."""

STATE = Path("state-of-board").absolute()
STORM = Path("state-of-storm").absolute()


async def opened(side: str, size: Size) -> Samples:
    """How long it takes from the process's start to the first frame, and to that with the rows."""
    os.environ["XDG_STATE_HOME"] = str(STATE)
    if not STATE.exists():
        await fill(STATE / "midflight", SESSIONS - 1, 1, 1)
    bare = (sys.executable, "-m", "bench.board_raw", str(SESSIONS))
    samples: Samples = {"frame": [], "opened": []}
    for _ in range(size.starts):
        began = time.perf_counter()
        screen = Terminal(program=bare) if side == "raw" else Terminal()
        async with screen:
            if side == "midflight":
                samples["frame"].append(await screen.shows("midflight") - began)
            samples["opened"].append(await screen.shows(ROW) - began)
    samples["frame"] = samples["frame"] or samples["opened"]  # the one frame has the rows
    return samples


async def redraw(side: str, size: Size) -> Samples:
    """What the board takes of a processor in a second, while each session writes."""
    assert side == "midflight"
    os.environ["XDG_STATE_HOME"] = str(STORM)
    count = SESSIONS if size.warm_up else 5
    async with other("storm", STORM / "midflight", count, RATE) as writer:
        await writer.told()
        async with Terminal() as screen:
            await screen.shows(f"* {count} run")
            await asyncio.sleep(SETTLES_S if size.warm_up else 0)
            program = psutil.Process(screen.pid)
            began, before = time.perf_counter(), program.cpu_times()
            await asyncio.sleep(max(1.0, size.idle / 2))
            took, after = time.perf_counter() - began, program.cpu_times()
            used = after.user + after.system - before.user - before.system
    return {"redraw": [used / took]}


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {
    "opened": opened,
    "redraw": redraw,
}
"""What is measured, by the name of the probe."""
