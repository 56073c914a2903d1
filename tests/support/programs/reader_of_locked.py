"""Opens a journal as a user to whom its folder is read-only; prints how that went."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from midflight.errors import MidflightError
from midflight.journal import Journal


async def main() -> None:
    """Try."""
    folder = Path(sys.argv[1])
    async with Journal(Path(sys.argv[2])):
        pass  # imports what is needed: that other user may not be able to
    journal = Journal(folder)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    try:
        await journal.open()
    except MidflightError as error:
        sys.stdout.write(f"{error.code}: {error}\n")


asyncio.run(main())
