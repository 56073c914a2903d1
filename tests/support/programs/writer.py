"""Writes events for as long as it lives; prints the number of each that is on disk."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from midflight import Options
from midflight import events as e
from midflight.journal import Journal, JournalRecord


async def write(journal: Journal, id: str) -> None:
    """Make a session, or go on with it, and write."""
    if id in {row.id for row in await journal.sessions()}:
        _, record, _ = await journal.take(id)
    else:
        _, record = await journal.create("written", Options.build(agent="fake"), id=id)
    record.begin(lambda seq: None, lambda error: None)
    while True:
        for _ in range(3):
            seq = record.last_seq + 1
            record.append(e.Text(text="x" * 200, seq=seq, session=id, time=1.0))
        await tell(record)


async def tell(record: JournalRecord) -> None:
    """Say what is on disk."""
    seq = record.last_seq
    await record.written()
    say(f"{record.session} {seq}")


def say(line: str) -> None:
    """Print a line, in one piece."""
    os.write(1, f"{line}\n".encode())


async def main(sessions: list[str]) -> None:
    """Be a host with some sessions."""
    async with Journal(Path(sys.argv[1])) as journal:
        await journal.host.register("/writer.sock")
        await asyncio.gather(*(write(journal, session) for session in sessions))


def fork() -> None:
    """Start a host for each line that is read, one after the other; this is quick."""
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            say(f"pid {os.getpid()}")
            asyncio.run(main(sys.argv[3:]))
        os.waitpid(child, 0)
        say("ended")


if sys.argv[2] == "--fork":
    fork()
else:
    asyncio.run(main(sys.argv[2:]))
