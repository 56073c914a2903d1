"""A process may open a journal twice, for example as a host and as a client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.program import unwatched

from midflight.journal import Journal

OTHER = """
import asyncio, sys
from midflight.journal import Journal

async def main():
    async with Journal(sys.argv[1]) as journal:
        await journal.hosts()
        await journal.host.register("other")
        print("here", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


def other(state: Path) -> subprocess.Popen[str]:
    """Return another process that has written, and keeps the journal open."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(state)],
        env=unwatched(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


async def test_both_journals_of_a_process_see_what_another_writes(tmp_path: Path) -> None:
    async with Journal(tmp_path / "state") as first:
        await first.host.register("first")
        await first.hosts()
        async with Journal(tmp_path / "state") as second:
            await second.hosts()
            with other(tmp_path / "state") as process:
                await first.host.beat()
                for journal in (first, second):
                    assert {host.address for host in await journal.hosts()} == {"first", "other"}
                process.communicate("")
