"""Writes until no file may grow any more, then again when they may; prints what came of it."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from midflight import Options
from midflight import events as e
from midflight.errors import StoreFailed
from midflight.journal import Journal, JournalRecord

LIMIT = 600_000


async def fill(record: JournalRecord) -> int:
    """Write until it fails; return what was on disk by then."""
    written = record.last_seq
    try:
        while True:
            seq = record.last_seq + 1
            said = "x" * 10_000
            record.append(e.Text(text=said, seq=seq, session=record.session, time=1.0))
            await record.written()
            written = seq
    except StoreFailed as error:
        say(f"{type(error).__name__}: {error}")
    return written


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    """Fill the disk, make room, go on."""
    shown: list[int] = []
    options = Options.build(agent="fake")
    async with Journal(Path(sys.argv[1])) as journal:
        await journal.host.register("")
        _, record = await journal.create("full", options, id="full")
        _, idle = await journal.create("idle", options, id="idle")
        record.begin(shown.append, lambda error: say("failed was told"))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
        written = await fill(record)
        await record.close()
        found = await journal.events("full")
        say(f"{written} {shown[-1]} {len(found)} {idle.stopped}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        idle.append(e.Text(text="y", seq=1, session="idle", time=1.0))
        await idle.written()
        _, again, _ = await journal.take("full")
        seq = again.last_seq + 1
        again.append(e.Text(text="on", seq=seq, session="full", time=1.0))
        await again.written()
        say(f"went on with {seq}")


asyncio.run(main())
