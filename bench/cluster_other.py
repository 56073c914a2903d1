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
from bench.host_work import work

if TYPE_CHECKING:
    from midflight.agents.base import Agent
    from midflight.options import Options

__all__ = ["GROUP"]

GROUP = 1_000


async def writer(url: str, sessions: str, turns: str) -> None:
    """Sessions of this machine that write as fast as they can; tells how long it took."""
    from midflight import Options
    from midflight.journal import Journal

    async with Journal(url) as kept:
        await kept.register("")
        records, told = [], []
        for number in range(int(sessions)):
            row, record = await kept.create(f"s-{number}", Options.build(agent="fake", cwd="/"))
            record.begin(lambda _: None, print)
            records.append(record)
            told.append(list(work(row.id, int(turns))))
        tell("ready")
        async for _ in said():
            began = time.perf_counter()
            for together in zip(*told, strict=True):
                for record, event in zip(records, together, strict=True):
                    record.append(event)
            for record in records:
                await record.written()
            tell(time.perf_counter() - began)
        for record in records:
            await record.close()
        await kept.leave()


async def raw_writer(url: str, sessions: str, turns: str) -> None:
    """The same rows, which are ready, by hand into a table of one's own."""
    import psycopg

    from midflight import events as e

    told = [list(work(f"{time.monotonic_ns()}-{n}", int(turns))) for n in range(int(sessions))]
    rows = [
        (event.session, event.seq, event.type, event.time, e.encode(event).decode())
        for together in zip(*told, strict=True)
        for event in together
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS raw_events (session text, seq bigint, type text,"
            " time double precision, data text, PRIMARY KEY (session, seq))"
        )
        tell("ready")
        async for _ in said():
            began = time.perf_counter()
            for first in range(0, len(rows), GROUP):
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(
                        "INSERT INTO raw_events VALUES (%s, %s, %s, %s, %s)",
                        rows[first : first + GROUP],
                    )
            tell(time.perf_counter() - began)


async def worker(url: str, label: str, capacity: str) -> None:
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

        async with Worker(url, labels=[label], capacity=int(capacity), agent=make):
            tell(os.getpid())
            async for _ in said():
                tell(time.process_time())


PROGRAMS = {each.__name__: each for each in (writer, raw_writer, worker)}

if __name__ == "__main__":
    asyncio.run(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
