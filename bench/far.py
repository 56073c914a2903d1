"""What a session on another machine costs, by way of PostgreSQL alone.

``python -m bench.far URL`` measures at a database that is there: how old a delta is when it is
read on another machine, what that costs the server, and how long a command takes to its outcome.
The owner and the readers are processes of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from midflight import commands as c
from midflight import events as e
from midflight.client.client import connect
from midflight.host import Host
from midflight.journal.lease import MACHINE_VARIABLE
from midflight.options import Options
from midflight.testing import FakeModel, Wait, Words

PAUSE_S = 2.0
"""For what has begun to come to rest before it is measured."""


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and the worst, in milliseconds, of values in seconds."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {
        "p50_ms": round(statistics.median(ordered) * 1000, 1),
        "p99_ms": round(p99 * 1000, 1),
        "worst_ms": round(ordered[-1] * 1000, 1),
    }


async def server_of(url: str) -> psutil.Process:
    """Return the process of a server on this machine, whose children are all others of it."""
    import psycopg

    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    assert found is not None
    own = psutil.Process(found[0]).parent()
    assert own is not None
    return own


def cpu_s(server: psutil.Process) -> float:
    """Return what the processes of a server have worked so far, in seconds."""
    times = [process.cpu_times() for process in (server, *server.children())]
    return float(sum(each.user + each.system for each in times))


async def own(url: str, sessions: int, per_second: int, seconds: float) -> None:
    """Be the owner: have sessions that stream as soon as a line comes, each delta with its time."""
    os.environ[MACHINE_VARIABLE] = "the owner's machine"
    with tempfile.TemporaryDirectory() as folder:
        async with Host(url) as host:
            models = [FakeModel([Words("go "), Wait("on")]) for _ in range(sessions)]
            live = []
            for model in models:
                await model.__aenter__()
                options = Options.build(agent="fake", cwd=Path(folder), env=model.env(Path(folder)))
                live.append(await host.begin("stream", options))
            say(ids=[session.id for session in live])
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, sys.stdin.readline)
            before = time.process_time()
            begun, pause = time.monotonic(), 1 / per_second
            for number in range(int(seconds * per_second)):
                for session in live:
                    now = f"{time.monotonic():.6f}".ljust(40)
                    delta = e.TextDelta(text=now, session=session.id, time=time.time())
                    session._log.append(delta)  # noqa: SLF001 - as fast as is asked for, without an agent
                ahead = begun + (number + 1) * pause - time.monotonic()
                if ahead > 0:
                    await asyncio.sleep(ahead)
            say(cpu_s=time.process_time() - before, wall_s=time.monotonic() - begun)
            await loop.run_in_executor(None, sys.stdin.readline)
            for model in models:
                model.signal("on")


async def read(url: str, ids: Sequence[str], seconds: float) -> dict[str, Any]:
    """Read sessions as a program on another machine; return how old their deltas were."""
    ages: list[float] = []

    async def follow(client: Any, session: str) -> None:
        async with await client.session(session, attend=False) as far:
            async for event in far.events(far.last_seq):
                if isinstance(event, e.TextDelta) and not event.so_far:
                    told = event.text.strip()
                    ages.extend([time.monotonic() - float(told)] if told[0].isdigit() else [])

    async with connect(url) as client:
        tasks = [asyncio.create_task(follow(client, session)) for session in ids]
        await asyncio.sleep(PAUSE_S)
        say(ready=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.readline)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {"deltas": len(ages), **(quantiles(ages) if ages else {})}


async def command(url: str, session: str, count: int) -> dict[str, Any]:
    """Give commands one after the other; return how long each took to its outcome."""
    took = []
    async with connect(url) as client:
        for number in range(count + 1):
            begun = time.monotonic()
            await client.carry_out(session, c.SetLimits(max_turns=100 + number % 7))
            took.append(time.monotonic() - begun)
    return {"first_ms": round(took[0] * 1000, 1), **quantiles(took[1:])}


def say(**facts: Any) -> None:
    """Tell the starter something."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Process:
    """This file in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *arguments: object) -> Process:
        """Start it."""
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.far", *map(str, arguments)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )

    async def told(self) -> dict[str, Any]:
        """Return the next that it tells."""
        assert self._process.stdout is not None
        async with asyncio.timeout(120):
            line = await self._process.stdout.readline()
        assert line, "the other process has ended"
        told: dict[str, Any] = json.loads(line)
        return told

    def go_on(self) -> None:
        """Have it do the next."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def end(self) -> None:
        """Wait for its end."""
        async with asyncio.timeout(60):
            await self._process.wait()


async def measure(
    url: str,
    *,
    sessions: int = 8,
    per_second: int = 100,
    seconds: float = 10.0,
    commands: int = 200,
) -> dict[str, Any]:
    """Return the figures: of ``deltas``, of a ``command``, and of PostgreSQL's processor time.

    ``url`` is that of a database, or schema, of its own, on this machine.
    """
    owner = await Process.start("own", url, sessions, per_second, seconds)
    ids = (await owner.told())["ids"]
    reader = await Process.start("read", url, seconds, *ids)
    await reader.told()
    server = await server_of(url)
    before = cpu_s(server)
    owner.go_on()
    streamed = await owner.told()
    used = cpu_s(server) - before
    await asyncio.sleep(PAUSE_S)
    reader.go_on()
    deltas = await reader.told()
    commander = await Process.start("command", url, ids[0], commands)
    commanded = await commander.told()
    owner.go_on()
    for process in (reader, commander, owner):
        await process.end()
    return {
        "sessions": sessions,
        "per_second": per_second,
        "sent": int(seconds * per_second) * sessions,
        "deltas": deltas,
        "postgresql_cpu_percent": round(100 * used / streamed["wall_s"], 1),
        "owner_cpu_percent": round(100 * streamed["cpu_s"] / streamed["wall_s"], 1),
        "command": commanded,
    }


async def _main(what: str, *rest: str) -> None:
    if what == "own":
        await own(rest[0], int(rest[1]), int(rest[2]), float(rest[3]))
    elif what == "read":
        say(**await read(rest[0], rest[2:], float(rest[1])))
    elif what == "command":
        say(**await command(rest[0], rest[1], int(rest[2])))
    else:
        say(**await measure(what))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
