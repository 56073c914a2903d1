"""``midflight move``: has a session go on at another worker."""

from __future__ import annotations

import argparse
import asyncio

from midflight import commands as c
from midflight._util.files import current_folder
from midflight._util.sanitize import one_line
from midflight.cli.output import write
from midflight.client.client import connect


def move(args: argparse.Namespace) -> int:
    """Move a session, and say what it waits for."""
    asyncio.run(_move(args))
    return 0


async def _move(args: argparse.Namespace) -> None:
    async with connect(door="command") as client:
        folder = current_folder(needed=args.session is None)
        info = await client.info(args.session, cwd=folder)
        await client.carry_out(info.id, c.Relocate(on=args.on, at_once=args.now))
        info = await client.info(info.id, exact=True)
    when = "" if info.host is None else " when its turn has ended"
    waits = f"; it waits for {info.waits_for}" if info.waits_for else ""
    goes = f"{info.name} goes on at a worker with the label {args.on}{when}{waits}"
    write(f"{one_line(goes, 1000)}\n")
