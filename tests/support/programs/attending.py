"""Somebody on another machine who attends a session: ``attending.py JOURNAL SESSION``."""

from __future__ import annotations

import asyncio
import os
import sys

from midflight.client.client import connect
from midflight.journal.process_identity import MACHINE_VARIABLE


async def main() -> None:
    os.environ[MACHINE_VARIABLE] = "the machine of somebody"
    async with connect(sys.argv[1]) as client, await client.session(sys.argv[2]):
        sys.stdout.write("there\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main())
