"""Is a host of a journal until it is killed; prints its id when its server sees it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from midflight.journal import Journal


async def main(where: str, state: Path) -> None:
    """Be a host."""
    async with Journal(where, state=state) as journal:
        await journal.host.register("/present.sock")
        async with asyncio.TaskGroup() as group:
            group.create_task(journal.host.stay())
            while True:
                await journal.host.until_beat()
                await journal.host.beat()
                os.write(1, f"{journal.host.id}\n".encode())


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
