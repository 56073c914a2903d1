"""The other processes of what is measured: ``python -m bench.host_other NAME ARGUMENT …``.

Each prints a line of JSON when it is ready, does something for each line on its standard input, and
ends with that.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import queue
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

__all__ = ["DRIP_S", "Other", "other", "raw_journal", "said", "tell"]

DRIP_S = 0.004
BEAT_S = 2.0
END_S = 30.0
AT_ONCE = 25
LINE = 2**24
"""How long a line may be that one tells: all that it has measured."""


class Other:
    """One of the programs below, as its starter sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> Any:
        """Wait for its next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(4 * END_S):
            line = await self._process.stdout.readline()
        assert line, "the other process has ended"
        return json.loads(line)

    def say(self, line: object) -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


@contextlib.asynccontextmanager
async def other(
    name: str, *arguments: object, module: str = "bench.host_other"
) -> AsyncIterator[Other]:
    """Start a program of this file, or of another one like it, and end it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, name, *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE,
    )
    assert process.stdin is not None
    try:
        yield Other(process)
        process.stdin.close()
        async with asyncio.timeout(END_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def raw_journal(file: Path) -> sqlite3.Connection:
    """Return a table for events, as safe as ours."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE events (session TEXT, seq INTEGER, type TEXT, time REAL, data TEXT,"
        " PRIMARY KEY (session, seq))"
    )
    return connection


# The programs -------------------------------------------------------------------------------


def tell(what: object) -> None:
    print(json.dumps(what), flush=True)


async def said() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.strip()


def pong(_: object) -> Any:
    from midflight.testing import Text

    return Text("pong")


async def drip(folder: str) -> None:
    """A host whose session says what time it is, as often as it is told."""
    from midflight.host import Host
    from midflight.testing import FakeModel

    async with FakeModel(pong) as model, Host(Path(folder)) as host:
        session = await host.dispatch("pong", agent="fake", env=model.env(folder))
        async for _ in session.stream():
            pass
        tell(session.id)
        async for count in said():
            for _ in range(int(count)):
                session.notice("info", str(time.monotonic_ns()))
                await asyncio.sleep(DRIP_S)


async def raw_drip(folder: str) -> None:
    await asyncio.to_thread(_raw_drip, folder)


def _raw_drip(folder: str) -> None:
    """The same without a host: one row, one commit, one write to a socket."""
    from midflight import events as e

    connection = raw_journal(Path(folder, "events.sqlite"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen()
        tell("ready")
        reader, _ = listener.accept()
        with reader:
            count, said = int(sys.stdin.readline()), queue.SimpleQueue[str]()
            threading.Thread(target=_say_the_time, args=(count, said), daemon=True).start()
            for seq in range(1, count + 1):
                event = e.Notice(level="info", text=said.get(), seq=seq, session="s")
                data = e.encode(event)
                row = ("s", seq, event.type, event.time, data.decode())
                connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
                connection.commit()
                reader.sendall(data + b"\n")
            sys.stdin.readline()
    connection.close()


def _say_the_time(count: int, said: queue.SimpleQueue[str]) -> None:
    """Events come when they come, as a host's do: a slow disk keeps none from growing old."""
    for _ in range(count):
        said.put(str(time.monotonic_ns()))
        time.sleep(DRIP_S)


async def keep(folder: str, session: str) -> None:
    """A host that has taken up one session."""
    from midflight.host import Host

    async with Host(Path(folder)) as host:
        await host.session(session)
        tell(host.address())
        async for _ in said():
            pass


async def storm(folder: str, count: str, rate: str) -> None:
    """Sessions that run, each with so many events a second, in a journal and without a host."""
    from bench.host_work import work
    from midflight import Options
    from midflight.journal import Journal
    from midflight.journal.base import Summary

    async with Journal(Path(folder)) as kept:
        await kept.host.register("")
        sessions = []
        for number in range(int(count)):
            options = Options.build(agent="fake", cwd="/")
            row, record = await kept.create(f"session-{number}", options)
            record.begin(lambda _: None, print)
            sessions.append((record, work(row.id, 1_000)))
        end = asyncio.get_running_loop().create_task(anext(said(), None))
        told = beat = time.monotonic()
        while not end.done():
            for number, (record, events) in enumerate(sessions):
                record.append(next(events))
                running = Summary(status="running", turns=1, last=f"Bash grep {number} {told}")
                record.note(running)
            if told == beat:
                tell("ready")
            if time.monotonic() - beat > BEAT_S:
                beat = time.monotonic()
                await kept.host.beat()
            told += 1 / float(rate)
            await asyncio.sleep(max(0.0, told - time.monotonic()))
        for record, _ in sessions:
            await record.close()
        await kept.host.leave()


async def choir(folder: str, count: str) -> None:
    """A host with so many sessions of the `fake` agent; told something, each of them gets it."""
    from bench.model import StampingFake, script
    from midflight.host import Host

    async with StampingFake(script) as model, Host(Path(folder)) as host:
        sessions = []
        for _ in range(int(count)):
            session = await host.dispatch(
                "pong", agent="fake", env=model.env(folder), allowed_tools=["Read"]
            )
            sessions.append(session)
            async for _ in session.stream():
                pass
        tell([session.id for session in sessions])
        async for line in said():
            for session in sessions:
                await session.send(line)


async def warm(folder: str) -> None:
    """A host with an agent ready; told how many seconds that takes to come up, it says when."""
    from midflight import Options
    from midflight.host import Host

    async with Host(Path(folder)) as host:
        wanted: dict[str, Any] = {"model": "sonnet"}
        await host.keep_warm(**wanted)
        async for seconds in said():
            while not host._warm.fits(Options.build(**wanted)):  # noqa: ASYNC110, SLF001 - it tells nobody
                await asyncio.sleep(0.02)
            await asyncio.sleep(float(seconds))
            tell("warm")


async def idle(folder: str, live: str, rest: str) -> None:
    """A host with live sessions and sessions at rest; told for how long to do nothing, it does."""
    from midflight import Options
    from midflight.host import Host
    from midflight.testing import FakeModel

    async with FakeModel(pong) as model, Host(Path(folder)) as host:

        async def lived() -> None:
            session = await host.dispatch("pong", agent="fake", env=model.env(folder))
            async for _ in session.stream():
                pass

        async def rested() -> None:
            options = Options.build(agent="fake", env=model.env(folder))
            await (await host.begin(None, options)).close("parked")

        async def all_of(count: int, make: Callable[[], Awaitable[None]]) -> None:
            for first in range(0, count, AT_ONCE):
                await asyncio.gather(*(make() for _ in range(min(AT_ONCE, count - first))))
            model.agents.clear()  # a model remembers what a host does not

        # What only the first ones take (modules, the database's cache) is not what one takes.
        await lived()
        await all_of(int(rest) // 4 or 1, rested)
        before = held()
        await all_of(int(live), lived)
        await all_of(int(rest), rested)
        after = held()
        tell({name: after[name] - before[name] for name in after} | {"whole": after["memory"]})
        seconds = float(await asyncio.to_thread(sys.stdin.readline))
        used = time.process_time()
        await asyncio.sleep(seconds)
        tell((time.process_time() - used) / seconds)
        await asyncio.to_thread(sys.stdin.readline)


def held() -> dict[str, int]:
    """Return what this process holds."""
    gc.collect()
    process = psutil.Process()
    loop: Any = asyncio.get_running_loop()
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # noqa: SLF001
    return {
        "memory": process.memory_full_info().uss,
        "threads": process.num_threads(),
        "tasks": len(asyncio.all_tasks()),
        "timers": len(timers),
        "descriptors": process.num_fds(),
    }


PROGRAMS = {each.__name__: each for each in (drip, raw_drip, keep, storm, choir, warm, idle)}

if __name__ == "__main__":
    asyncio.run(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
