"""``midflight interrupt`` and ``stop``: a turn that is stopped, a session that is ended."""

from __future__ import annotations

import argparse
import asyncio

from midflight import commands as c
from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight.cli.output import write
from midflight.client.client import connect


def interrupt(args: argparse.Namespace) -> int:
    """Stop the turn."""
    return asyncio.run(_interrupt(args.session, keep_queued=args.keep_queued))


async def _interrupt(name: str | None, *, keep_queued: bool) -> int:
    async with connect(door="command") as client:
        info = await client.info(name, cwd=current_folder(needed=name is None))
        if info.host is None:
            write(f"{one_name(info.name)} is {info.status}: there is nothing to stop\n")
            return 0
        await client.carry_out(info.id, c.Interrupt(keep_queued=keep_queued))
        write(f"interrupted {one_name(info.name)}\n")
    return 0


def stop(args: argparse.Namespace) -> int:
    """End the session."""
    return asyncio.run(_stop(args.session))


async def _stop(name: str | None) -> int:
    async with connect(door="command") as client:
        info = await client.info(name, cwd=current_folder(needed=name is None))
        if info.status == "closed":
            write(f"{one_name(info.name)} has ended already\n")
            return 0
        await client.carry_out(info.id, c.Close())
        write(f"stopped {one_name(info.name)}\n")
    return 0
