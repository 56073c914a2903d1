"""A process may open a journal twice, for example as a host and as a client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from midflight.journal import Journal

OTHER = """
import asyncio, sys
from midflight.journal import Journal

async def main():
    async with Journal(sys.argv[1]) as journal:
        await journal.register(sys.argv[2])

asyncio.run(main())
"""


async def test_what_other_processes_write_is_seen_by_both(tmp_path: Path) -> None:
    def other(name: str) -> None:
        command = [sys.executable, "-c", OTHER, str(tmp_path / "state"), name]
        subprocess.run(command, check=True)

    async with Journal(tmp_path / "state") as first:
        await first.register("first")
        async with Journal(tmp_path / "state") as second:
            other("a")
            other("b")
            await second.register("second")
            for journal in (first, second):
                assert {host.address for host in await journal.hosts()} == {
                    *("first", "second", "a", "b")
                }
