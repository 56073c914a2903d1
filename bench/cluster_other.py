"""The machines of what is measured: ``python -m bench.cluster_other NAME ARGUMENT …``.

They are as the programs of `bench.host_other`, each a machine by its ``MIDFLIGHT_MACHINE``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.host_other import said, tell
from bench.host_work import rows, writing

if TYPE_CHECKING:
    from midflight.agents.base import Agent
    from midflight.client.client import Client
    from midflight.options import Options

__all__ = ["GROUP"]

GROUP = 1_000
SETTLE_S = 2.0
"""For what has begun to come to rest before it is measured."""


async def writer(url: str, sessions: str, turns: str) -> None:
    """Sessions of this machine that write as fast as they can; tells how long it took."""
    async with writing(url, int(sessions), int(turns)) as write:
        tell("ready")
        async for _ in said():
            tell(await write())


async def raw_writer(url: str, sessions: str, turns: str) -> None:
    """The same rows, which are ready, by hand into a table of one's own."""
    import psycopg

    told = rows((f"{time.monotonic_ns()}-{n}" for n in range(int(sessions))), int(turns))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")  # who makes it beside another is refused
        connection.execute(
            "CREATE TABLE IF NOT EXISTS raw_events (session text, seq bigint, type text,"
            " time double precision, data text, PRIMARY KEY (session, seq))"
        )
        connection.execute("SELECT pg_advisory_unlock(1)")
        tell("ready")
        async for _ in said():
            began = time.perf_counter()
            for first in range(0, len(told), GROUP):
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(
                        "INSERT INTO raw_events VALUES (%s, %s, %s, %s, %s)",
                        told[first : first + GROUP],
                    )
            tell(time.perf_counter() - began)


async def worker(url: str, label: str, capacity: str, work: str = "") -> None:
    """A worker; for each line it tells how much processor time it has used."""
    from bench.model import StampingFake, script
    from midflight.agents import create
    from midflight.worker import Worker

    async with StampingFake(script) as model:
        env = model.env(Path.cwd())

        def make(options: Options) -> Agent:
            if options.agent == "fake":
                options = msgspec.structs.replace(options, env=env)
            return create(options)

        where = Path(work) if work else None
        async with Worker(url, labels=[label], capacity=int(capacity), agent=make, work=where):
            tell(os.getpid())
            async for _ in said():
                tell(time.process_time())


async def streams(url: str, sessions: str, per_second: str) -> None:
    """Sessions of this machine; told for how many seconds, each of them streams, told what time
    it is in each delta. Without an agent behind it, which could not be as fast.
    """
    from midflight import Options
    from midflight import events as e
    from midflight.host import Host
    from midflight.testing import FakeModel, Wait, Words

    model = FakeModel(lambda _: [Words("go "), Wait("on")])
    async with model, Host(url) as host:
        options = Options.build(agent="fake", env=model.env(Path.cwd()))
        live = [await host.begin("stream", options) for _ in range(int(sessions))]
        tell([session.id for session in live])
        async for seconds in said():
            began, pause = time.monotonic(), 1 / int(per_second)
            for number in range(int(float(seconds) * int(per_second))):
                for session in live:
                    now = f"{time.monotonic_ns():040d}"
                    session._log.append(e.TextDelta(text=now, session=session.id, time=time.time()))  # noqa: SLF001
                await asyncio.sleep(max(0.0, began + (number + 1) * pause - time.monotonic()))
            tell("done")
        model.signal("on")


async def reader(url: str, *ids: str) -> None:
    """Reads sessions of another machine; tells how old their deltas were."""
    from midflight.client.client import connect
    from midflight.events import Event, TextDelta

    ages: list[float] = []

    def take(event: Event) -> None:
        if isinstance(event, TextDelta) and event.text.isdigit():
            ages.append((time.monotonic_ns() - int(event.text)) / 1e9)

    async def follow(client: Client, id: str) -> None:
        async with await client.session(id, attend=False) as session:
            async for event in session.events(session.last_seq):
                take(event)

    async with connect(url) as client:
        following = [asyncio.create_task(follow(client, each)) for each in ids]
        await asyncio.sleep(SETTLE_S)
        tell("ready")
        async for _ in said():
            tell(ages)
        for each in following:
            each.cancel()
        await asyncio.gather(*following, return_exceptions=True)


PROGRAMS = {each.__name__: each for each in (writer, raw_writer, worker, streams, reader)}

if __name__ == "__main__":
    asyncio.run(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
